# PYTHON_ARGCOMPLETE_OK
"""The command: parse, dispatch, exit status. Nothing defined here is ever pickled.

python bench/run.py --table cifar_depth --schedule smoke
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

try:
    os.getcwd()
except OSError:
    print("run.py: the current folder is gone: change to another one", file=sys.stderr)
    sys.exit(2)


def _root() -> Path:
    """The checkout, by the path that a person typed where links lead there; Python knows the current folder without them."""
    file, here, typed = Path(__file__), Path.cwd(), Path(os.environ.get("PWD", ""))
    if typed.is_absolute() and file.is_relative_to(here):
        file = typed / file.relative_to(here)
    found = Path(os.path.normpath(file)).parent.parent
    main = Path(__file__).resolve()
    same = (found / "bench" / "run.py").exists() and (found / "bench" / "run.py").samefile(main)
    return found if same else main.parent.parent  # this file may be a link itself


ROOT = _root()
if sys.path[0] != str(ROOT):  # Python puts this file's folder first, where any name could hide a standard module
    inside = (ROOT / "bench").resolve()
    sys.path[:] = [str(ROOT), *(p for p in sys.path if Path(p or ".").resolve() != inside)]

from bench.command import pages, report  # noqa: E402
from bench.command.consistency import check_results  # noqa: E402
from bench.command.options import Options  # noqa: E402
from bench.command.parse import parse  # noqa: E402
from bench.command.streams import take_any_text  # noqa: E402
from bench.command.tables import TABLES  # noqa: E402
from bench.errors import Interrupted, UserError  # noqa: E402
from bench.files import AWAY  # noqa: E402

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""
LEFT_OUT = ("torch", "torchvision", "fvcore", "submitit", "sklearn")
"""Packages that requirements-report.txt leaves out: reading results needs none of them."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line asks. Returns the exit status: 0 done, 1 a run or check failed, 2 a person's mistake."""
    try:
        if arguments is None:
            take_any_text()
        options = parse(arguments)
        check_results(options)
        trains = options.subcommand == "doctor" or any(TABLES[name].planner for name in options.table)
        if arguments is None and options.trains_here and trains:
            from bench.device import environment

            environment.restart()  # where another program calls this, that is not ours to start again
        return dispatch(options)
    except UserError as error:
        print(f"run.py: {error}", file=sys.stderr)
        return 2
    except (Interrupted, KeyboardInterrupt) as error:
        words = arguments if arguments is not None else sys.argv[1:]
        again = shlex.join(["python", sys.argv[0], *(word for word in words if word != "--force")])
        print(f"\n{error or 'stopped'}; to go on, give the same command: {again}", file=sys.stderr)
        return INTERRUPTED
    except ModuleNotFoundError as error:
        if error.name not in LEFT_OUT:
            raise
        print(f"run.py: this command needs {error.name}, which is not installed: pip install -e .", file=sys.stderr)
        return 2
    except BrokenPipeError:  # `| head` has seen enough; what had to be written was written before it was printed
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno not in AWAY:
            raise
        where = error.filename or "the file system"
        print(f"run.py: {where}: {error.strerror}: mend that and give the same command again", file=sys.stderr)
        return 2


def dispatch(options: Options) -> int:
    """Hand the options to what answers them. Returns the exit status; raises UserError."""
    if options.subcommand == "doctor":
        from bench.command.doctor import doctor

        return doctor(options)
    if options.elsewhere.evaluate:
        from bench.command import pretrained

        return pretrained.evaluate_cifar(options)
    if options.moving.data:
        from bench.command import export_data

        return export_data.export(options)
    if options.moving.export or options.moving.imports:
        from bench.command import transfer

        return transfer.export(options) if options.moving.export else transfer.import_(options)
    if options.check:
        from bench.command.check import check

        return check(options)
    before = pages.present(options.tables)
    tables = [TABLES[name] for name in options.table]
    if len(tables) > 1:
        for table in tables:
            table.plan(options)  # a mistake in one is said before another is begun
    status = max(table.do(table, options) for table in tables)
    if options.publish and any(table.planner for table in tables):
        report.write_committed(options.tables)
    if pages.present(options.tables) != before:
        print(f"wrote {report.write_report(options.results, options.tables)}")
    return status


if __name__ == "__main__":
    sys.exit(main())
