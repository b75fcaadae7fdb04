# make demo: from nothing to a table.  make report: every table as one page to open in a browser.  make test: everything that can be tested here.
# make slurm-up: a real Slurm of several nodes on this machine; make slurm-down ends it.  make test-slurm: what needs one.
# make test-newer: the tests of Slurm on Debian 13, with Slurm 24.11 and Python 3.13; as root, with debootstrap.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo report test test-rest test-slurm test-newer benchmarks slurm-up slurm-down check regression regression-throughput clean

demo: .venv/ready
	$(BIN)/python bench/run.py --table cifar_depth --schedule smoke

report: .venv/ready
	$(BIN)/python bench/run.py report

test: .venv/ready test-rest test-slurm

# Apart, since what computes would keep the clocks of the tests of Slurm waiting.
test-rest: .venv/ready
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile -m "not slurm"

test-slurm: .venv/ready
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile -m slurm

test-newer:
	tests/newer/run.sh test --numprocesses 2 --dist loadfile -m "$(or $(MARK),slurm or newer)"

benchmarks: .venv/ready
	$(BIN)/python -m pytest tests/benchmarks/test_harness.py --benchmark-json=/dev/null --publish
	$(BIN)/python -m pytest tests/benchmarks/test_loading.py --benchmark-json=/dev/null --publish
	$(BIN)/python -m pytest tests/benchmarks/test_overhead.py --benchmark-json=/dev/null --publish
	$(BIN)/python -m pytest tests/benchmarks/test_beside.py --benchmark-json=/dev/null --publish
	$(BIN)/python bench/run.py --table harness loading

slurm-up: .venv/ready
	$(BIN)/python -m slurm.onemachine up --folder .slurm

slurm-down: .venv/ready
	$(BIN)/python -m slurm.onemachine down --folder .slurm

check: .venv/ready
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy

regression: .venv/ready
	$(BIN)/python bench/run.py check

# Times anew, for the better part of an hour; make regression-throughput NETS=resnet-20-A takes minutes.
regression-throughput: .venv/ready
	$(BIN)/python -m pytest tests/throughput --against tables/measured/throughput.json $(if $(NETS),--nets '$(NETS)')

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 demo")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv results tables/report.html tables/*.smoke* tables/figures/*.smoke*
