"""Arrows between rooms point one way; the command answers before anything heavy is imported."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

ALLOWED = {
    "models": {"models"},
    "slurm": {"slurm"},
    "bench.spec": set(),
    "bench.errors": set(),
    "bench.inside": {"bench.spec"},
    "bench.studies": {"bench.spec", "bench.inside", "bench.studies"},
    "bench.files": {"bench.errors"},
    "bench.scores": {"bench.errors", "bench.files"},
    "bench.store": {"bench.spec", "bench.inside", "bench.errors", "bench.files", "bench.scores"},
    "bench.nets": {"bench.spec", "bench.inside", "models"},
    "bench.images": {"bench.spec", "bench.errors", "bench.files", "bench.images"},
    "bench.testing": {
        "bench.spec",
        "bench.errors",
        "bench.scores",
        "bench.store",
        "bench.nets",
        "bench.images",
        "bench.training",
        "bench.testing",
        "models",
    },
    "bench.training": {
        "bench.inside",
        "bench.spec",
        "bench.errors",
        "bench.files",
        "bench.scores",
        "bench.store",
        "bench.nets",
        "bench.images",
        "bench.testing",
        "bench.training",
        "models",
    },
    "bench.measure": {
        "bench.inside",
        "bench.spec",
        "bench.errors",
        "bench.files",
        "bench.store",
        "bench.environment",
        "bench.nets",
        "bench.training",
        "bench.measure",
        "models",
    },
    "bench.report.figures": {
        "bench.inside",
        "bench.spec",
        "bench.store",
        "bench.studies",
        "bench.measure",
        "bench.report.figures",
        "bench.report.published",
        "bench.report.speeds",
    },
    "bench.report.verdicts": {
        "bench.changes",
        "bench.spec",
        "bench.store",
        "bench.studies",
        "bench.measure",
        "bench.report.page",
        "bench.report.published",
        "bench.report.runs",
        "bench.report.verdicts",
    },
    "bench.report": {
        "bench.changes",
        "bench.inside",
        "bench.spec",
        "bench.errors",
        "bench.files",
        "bench.scores",
        "bench.store",
        "bench.studies",
        "bench.measure",
        "bench.training.saving",
        "bench.report",
    },
}
"""Room -> the rooms that it may import; one within another stands before it. What is not named here (run, plan, job, ...) is
the command itself."""

OURS = ("bench", "models", "slurm")


def modules() -> dict[str, Path]:
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for room in OURS
        for path in sorted((ROOT / room).rglob("*.py"))
    }


def imports(path: Path) -> set[str]:
    """Modules of ours that a file imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    known = modules()
    return {name for name in found if name in known and name not in OURS}


def inside(module: str, room: str) -> bool:
    return module == room or module.startswith(room + ".")


def forbidden(module: str, imported: set[str]) -> set[str]:
    room = next((room for room in ALLOWED if inside(module, room)), None)
    if room is None:
        return set()
    ours = {name for name in imported if not inside(room, name)}  # the house around a room is no room
    return {name for name in ours if not any(inside(name, allowed) for allowed in ALLOWED[room])}


@pytest.mark.parametrize("module", modules())
def test_arrows_point_one_way(module: str) -> None:
    assert forbidden(module, imports(modules()[module])) == set()


def test_a_wrong_arrow_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "wrong.py"
    file.write_text("def f():\n    from bench.training import loop\n")
    assert forbidden("models.blocks", imports(file)) == {"bench.training", "bench.training.loop"}
    file.write_text("from bench.report.tables import cifar_depth\n")
    assert forbidden("bench.report.figures.chart", imports(file)) == {
        "bench.report.tables",
        "bench.report.tables.cifar_depth",
    }
    assert forbidden("bench.report.contents", imports(file)) == set()


def test_there_are_no_circles() -> None:
    graph = {name: imports(path) - {name} for name, path in modules().items()}
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, " -> ".join([*above, name])
        if name not in done:
            for other in graph[name]:
                if not inside(name, other):  # a package's __init__ is imported before its members
                    visit(other, (*above, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def imported_by(statements: str) -> set[str]:
    """The top-level modules that a fresh interpreter holds after running `statements`."""
    script = f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n{statements}\nprint('\\n', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    return {name.split(".")[0] for name in done.stdout.splitlines()[-1].split()}


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--table", "cifar_depth", "--dry-run"], ["--table", "claims", "--dry-run"]]
)
def test_the_command_answers_before_anything_heavy_is_imported(arguments: list[str]) -> None:
    modules = imported_by(f"from bench import run\ntry: run.main({arguments})\nexcept SystemExit: pass")
    heavy = {"torch", "torchvision", "submitit", "seaborn", "matplotlib", "pandas", "scipy", "numpy", "fvcore"}
    heavy |= {"jinja2", "bokeh", "markdown_it"}
    assert "tyro" in modules
    assert modules & heavy == set()


def test_the_training_path_imports_only_what_it_uses() -> None:
    """A machine that only trains needs torch, numpy and filelock, and nothing that draws, counts or submits."""
    modules = imported_by("from bench import job\nfrom bench.training import loop, data")
    extra = {"submitit", "seaborn", "matplotlib", "pandas", "scipy", "fvcore", "tyro", "tabulate", "torchvision"}
    assert "torch" in modules
    assert modules & extra == set()
