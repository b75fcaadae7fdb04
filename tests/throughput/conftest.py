"""The machine that is timed, and which loops."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from bench.errors import UserError
from bench.measure.speed import ceilings, settings
from bench.measure.speed.records import Machine, Session
from bench.measure.speed.throughput import References
from bench.runs import provenance
from bench.runs.provenance import cores

if TYPE_CHECKING:
    import torch

CHOSEN = pytest.StashKey[settings.Selection]()


def pytest_sessionstart(session: pytest.Session) -> None:
    """The loops that --nets and --execution ask for; whole runs only where they are asked for."""
    options = session.config.getoption
    try:
        session.config.stash[CHOSEN] = settings.select(settings.kind(), options("--nets"), options("--execution"))
    except UserError as error:
        raise pytest.UsageError(str(error).replace("--only", "--nets")) from None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    chosen = metafunc.config.stash[CHOSEN]
    if "setting" in metafunc.fixturenames:
        metafunc.parametrize("setting", chosen.settings, ids=lambda setting: setting.name)
    if "asked" in metafunc.fixturenames:
        nets = [tuple(found) for _, found in groupby(chosen.wholes, lambda whole: whole.net)]
        metafunc.parametrize("asked", nets, ids=lambda wholes: "+".join(whole.name for whole in wholes))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests of nothing: where only whole runs are asked for, or none."""
    empty = [item for item in items if "NOTSET" in item.nodeid]
    config.hook.pytest_deselected(items=empty)
    items[:] = [item for item in items if item not in empty]


def torch_device() -> torch.device:
    import torch

    return torch.device(settings.kind())


@pytest.fixture(scope="session")
def machine() -> dict[str, Any]:
    """Where this is measured, in what state, and what it does at best."""
    import torch

    load = psutil.cpu_percent(interval=1.0) / 100 * (psutil.cpu_count() or 1)
    device = torch_device()
    torch.set_num_threads(cores())
    precisions = [setting.precision for setting in settings.settings(settings.kind())]
    best = ceilings.ceilings(device, precisions)
    clocks = provenance.clocks(device)  # while they are still up
    facts = provenance.collect("fp32", device)
    known = {key: facts[key] for key in ("device", "cpu", "python", "packages", "code", "platform", "threads")}
    return {**known, "date": provenance.now(), "load": load, "clocks": clocks, "flops": best.flops, "bytes": best.bytes}


@pytest.fixture(scope="session")
def nothing_measured(machine: dict[str, Any]) -> Machine:
    """The machine as the page names it."""
    return Machine(machine["device"]["name"], settings.kind())


@pytest.fixture
def session(machine: dict[str, Any]) -> Session:
    """What is true while one figure is measured: the ceilings are measured anew before each, and the best of them count."""
    found = ceilings.ceilings(torch_device(), machine["flops"])
    best = found | ceilings.Ceilings(machine["flops"], machine["bytes"])
    machine |= {"flops": best.flops, "bytes": best.bytes}
    device, code = machine["device"], machine["code"]
    versions = {"Python": machine["python"], **machine["packages"]}
    software = ", ".join(f"{name} {versions[name]}" for name in ("Python", "torch", "torchvision"))
    software += "".join(f", {name} {device[name]}" for name in ("driver", "cuda", "cudnn") if device.get(name))
    commit = (code["commit"] or "unknown")[:10] + (" + patch" if code["patch"] else "")
    clocks = tuple(machine["clocks"].items())
    return Session(machine["date"], software, commit, best, machine["threads"], clocks, machine["load"])


@pytest.fixture(scope="session")
def references() -> Iterator[References]:
    """The reference loop, shared by loops of the same net and batch."""
    found = References()
    yield found
    found.close()
