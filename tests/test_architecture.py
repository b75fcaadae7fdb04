"""Arrows between rooms point one way; the command answers before anything heavy is imported."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

ROOMS = (
    "bench.run",  # the door: parse, dispatch, exit status
    "bench.command",
    "bench.doctor",
    "bench.cluster",
    "bench.report",
    "bench.verdicts",
    "bench.exchange",
    "bench.compute",
    "bench.measure",
    "bench.training",
    "bench.testing",
    "bench.images",
    "bench.device",
    "bench.studies",
    "bench.runs",
    "models",
)
"""From the top of the house to its foundations: a room may import those below it, and none above."""
SHARED = {"bench.files", "bench.errors"}
"""Two files that every room of bench/ may import, and that know no room."""
WITHIN = {
    "bench.report": ("documents", "tables", "sections", "render", "page", "figures"),
    "bench.measure": ("speed", "probes", "counts"),
}
"""Room -> its folders and files, in the same order."""

DOORS = {("bench", "bench.exchange"), ("bench", "bench.exchange.frames")}
"""What `import bench` offers to other programs: `bench.results`, which imports when it is called."""

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


def room_of(module: str) -> str | None:
    """The room that a module lies in; None of one that is in no named room."""
    return next((room for room in (*ROOMS, *sorted(SHARED), "slurm") if inside(module, room)), None)


def allowed(module: str, other: str) -> bool:
    """Whether a module may import another one of ours."""
    room, there = room_of(module), room_of(other)
    if (module, other) in DOORS:
        return True
    if room is None or there is None:
        return inside(module, other)  # a folder's own __init__
    if room == there:
        return room not in WITHIN or _within(WITHIN[room], module, other, room)
    if room in ("models", "slurm"):
        return False
    if there in SHARED:
        return room not in SHARED or (room, there) == ("bench.files", "bench.errors")
    if room in SHARED:
        return False
    if there == "slurm":
        return room in ("bench.command", "bench.doctor", "bench.cluster")
    return ROOMS.index(room) < ROOMS.index(there)


def _within(order: tuple[str, ...], module: str, other: str, room: str) -> bool:
    """Whether the arrow goes down between the folders of one room."""
    one, two = (name.removeprefix(f"{room}.").split(".")[0] for name in (module, other))
    return one not in order or two not in order or order.index(one) <= order.index(two)


def forbidden(module: str, imported: set[str]) -> set[str]:
    return {name for name in imported if name != module and not allowed(module, name)}


@pytest.mark.parametrize("module", modules())
def test_arrows_point_down(module: str) -> None:
    assert forbidden(module, imports(modules()[module])) == set()


def test_every_file_lies_in_a_named_room() -> None:
    assert [name for name in modules() if room_of(name) is None and name != "bench"] == []


def test_every_folder_of_the_divided_rooms_is_named() -> None:
    for room, order in WITHIN.items():
        inside_it = {name.removeprefix(f"{room}.").split(".")[0] for name in modules() if name.startswith(f"{room}.")}
        assert inside_it == set(order)


def test_no_file_lies_flat_in_bench() -> None:
    flat = {path.name for path in (ROOT / "bench").glob("*.py")}
    assert flat == {"__init__.py", "run.py", "errors.py", "files.py"}


def test_a_wrong_arrow_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "wrong.py"
    file.write_text("def f():\n    from bench.training import loop\n")
    assert forbidden("models.blocks", imports(file)) == {"bench.training", "bench.training.loop"}
    assert forbidden("bench.runs.spec", imports(file)) == {"bench.training", "bench.training.loop"}
    assert forbidden("bench.compute.job", imports(file)) == set()
    file.write_text("from bench.report.tables import cifar_depth\n")
    upwards = {"bench.report.tables", "bench.report.tables.cifar_depth"}
    assert forbidden("bench.report.figures.chart", imports(file)) == upwards
    assert forbidden("bench.verdicts.claims", imports(file)) == upwards
    assert forbidden("bench.command.tables", imports(file)) == set()


def folders_of(module: str) -> str:
    return module if (ROOT / module.replace(".", "/")).is_dir() else module.rpartition(".")[0]


def test_no_circle_goes_through_folders() -> None:
    graph: dict[str, set[str]] = {}
    for name, path in modules().items():
        graph.setdefault(folders_of(name), set()).update(folders_of(other) for other in imports(path))
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, " -> ".join([*above, name])
        if name not in done:
            for other in graph.get(name, set()) - {name, "bench"}:
                if not inside(name, other):
                    visit(other, (*above, name))
            done.add(name)

    for name in sorted(graph):
        visit(name, ())


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
    heavy |= {"jinja2", "markdown_it", "rich", "argcomplete"}
    assert "argparse" in modules
    assert modules & heavy == set()


def test_the_training_path_imports_only_what_it_uses() -> None:
    """A machine that only trains needs torch and numpy, and nothing that draws, counts or submits."""
    modules = imported_by(
        "from bench.compute import job\nfrom bench.images import memory\nfrom bench.training import loop"
    )
    extra = {"submitit", "seaborn", "matplotlib", "pandas", "scipy", "fvcore", "argcomplete", "tabulate", "torchvision"}
    assert "torch" in modules
    assert modules & extra == set()
