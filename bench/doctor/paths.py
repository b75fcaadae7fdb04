"""Each way to train on this machine, run for 30 iterations of ResNet-20 on the digits, and compared with eager fp32.

Runs go through the harness's own jobs and processes, in a folder that is removed again.
"""

from __future__ import annotations

import math
import os
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

from bench.compute import job
from bench.compute.context import Context
from bench.compute.local import find_places
from bench.compute.progress import Lines
from bench.compute.side_by_side import Outcome, Place, Supervisor, share_a_process
from bench.doctor.finding import Finding, Question
from bench.errors import Interrupted
from bench.files import read_json
from bench.runs.folder import RunFolder
from bench.runs.spec import Execution, Precision, RunSpec
from bench.studies import cifar_depth
from bench.training.report import Report
from bench.training.source import Source
from models.arch import Arch

SECTION = "paths"
ITERATIONS, POINT = 30, 10
"""Of each run, and between two evaluation points, each of which leaves a checkpoint."""
RATE = 0.001
"""Learning rate at which rounding does not grow in so few iterations."""
TOLERANCE: dict[Precision, float] = {"fp32": 0.005, "tf32": 0.02, "bf16": 0.05, "fp16": 0.05}
"""Share by which the loss of any ten iterations may differ from that of eager fp32."""
STOP, KILL = 7, 15
"""Iterations after which a run is stopped, and in the next attempt killed."""
LIMIT = 300.0
"""Seconds after which a path counts as hung."""


@dataclass(frozen=True)
class Way:
    """A way to train."""

    name: str
    execution: Execution
    precision: Precision = "fp32"
    pack: int = 1
    """Runs side by side."""
    needed: bool = False
    """Whether it is what a run does by default."""
    remedy: str = "leave out --execution"


@dataclass(frozen=True)
class Ran:
    """What one run of a way did."""

    losses: tuple[float, ...] = ()
    """Mean loss of each ten iterations."""
    images_per_second: float = 0.0
    """After the first iteration."""
    first: float = 0.0
    """Seconds of the first iteration, which compiles or captures."""
    seconds: float = 0.0
    trouble: str = ""
    """Why it failed; empty where it did not."""


def ways(on_gpu: bool, compiler: bool) -> tuple[Way, ...]:
    """The ways that this machine would take, after eager fp32."""
    pack = "leave out --pack"
    if not on_gpu:
        compiled = (Way("compiled", "compiled", needed=True, remedy="give --execution eager"),) if compiler else ()
        return (*compiled, *(Way(f"packed {k}", "eager", pack=k, remedy=pack) for k in (2, 4)))
    found = [Way("captured", "captured", needed=True, remedy="give --execution eager")]
    found += [Way(f"packed {k}", "captured", pack=k, remedy=pack) for k in (2, 4)]
    for precision in _half_precisions():
        remedy = f"leave out --set precision={precision}"
        found.append(Way(f"captured {precision}", "captured", precision, remedy=remedy))
        found.append(Way(f"packed 2 {precision}", "captured", precision, 2, remedy=remedy))
    return tuple(found)


def _half_precisions() -> list[Precision]:
    """Beside fp32, those for which a GPU has instructions."""
    import torch

    return ["tf32", "bf16", "fp16"] if torch.cuda.get_device_capability() >= (8, 0) else ["fp16"]


def spec(seed: int, precision: Precision = "fp32", batch: int = 32) -> RunSpec:
    """The run that every way takes."""
    arch = Arch("cifar", 20, "A")
    recipe = replace(
        cifar_depth.recipe(arch, "smoke", "digits"),
        iterations=ITERATIONS, drops=(), batch=batch, lr=RATE, evaluate_every=POINT, precision=precision,
    )  # fmt: skip
    return RunSpec(arch, recipe, "digits", seed)


def check_paths(question: Question) -> Iterator[Finding]:
    """Run each way, and say how it compares with eager fp32."""
    from bench.training import execution

    with tempfile.TemporaryDirectory(prefix="doctor-") as name, quiet(Path(name) / "stderr"):
        folder, places = Path(name), find_places(4)
        on_gpu = places[0].gpu is not None
        batch = 128 if on_gpu else 32
        eager = Way("eager", "eager", needed=True, remedy="send this report with --json to the project")
        reference = run(eager, [spec(seed, batch=batch) for seed in range(4)], folder, question.source)
        yield judge(eager, reference, reference)
        if any(one.trouble for one in reference):
            yield Finding(SECTION, "others", "skip", "nothing to compare them with: eager fp32 failed")
            return
        for way in ways(on_gpu, execution.compiler() is not None):
            specs = [spec(seed, way.precision, batch) for seed in range(way.pack)]
            yield judge(way, run(way, specs, folder, question.source), reference)
        mode: Execution = "captured" if on_gpu else "eager"
        yield from _in_processes(folder, question.source, spec(0, batch=batch), mode)


def run(way: Way, specs: Sequence[RunSpec], folder: Path, source: Source) -> list[Ran]:
    """Run these side by side, or if there is no packing one after another in one fresh process."""
    began, results = time.monotonic(), folder / way.name.replace(" ", "-")
    gpu = find_places(1)[0].gpu
    if way.pack > 1:
        places = [place for place in find_places(way.pack) if place.gpu == gpu]
        threads = gpu is not None and share_a_process(specs, way.execution)
    else:
        places, threads = [Place(gpu, None)], len(specs) > 1
    context = Context(results, replace(source, execution=way.execution))
    outcomes = _Limited(list(specs), context, places, threads, _Silent()).bounded(LIMIT)
    seconds = time.monotonic() - began
    return [
        read(results, each, seconds) if outcome.kind == "done" else Ran(seconds=seconds, trouble=outcome.text)
        for each in specs
        for outcome in [outcomes[each.run_id]]
    ]


def read(results: Path, one: RunSpec, seconds: float) -> Ran:
    """What a finished run did."""
    folder = RunFolder(results, one.run_id)
    noted = read_json(folder.provenance)["seconds"]
    losses = tuple(float(point["train_loss"]) for point in folder.read_metrics())
    steady = max(noted["training"] - noted["first"], 1e-9)
    return Ran(losses, (ITERATIONS - 1) * one.recipe.batch / steady, noted["first"], seconds)


def judge(way: Way, found: Sequence[Ran], reference: Sequence[Ran]) -> Finding:
    """The line on a way: each of its runs is compared with the run of the same seed in eager fp32."""
    seconds = max(each.seconds for each in found)
    if trouble := next((each.trouble for each in found if each.trouble), ""):
        said = " ".join(trouble.split())[:300]
        return Finding(SECTION, way.name, "fail", said, way.remedy, way.needed, seconds)
    apart = max(difference(one.losses, other.losses) for one, other in zip(found, reference, strict=False))
    speed = sum(each.images_per_second for each in (found if way.pack > 1 else found[:1]))
    said = f"{speed:,.0f} images/s"
    if found is reference:
        said += f", loss {found[0].losses[0]:.3f} to {found[0].losses[-1]:.3f}"
        falls = all(each.losses[-1] < each.losses[0] for each in found)
        verdict, remedy = ("ok", "") if falls else ("fail", way.remedy)
        return Finding(SECTION, way.name, "ok" if verdict == "ok" else "fail", said, remedy, way.needed, seconds)
    said += f" ({speed / max(reference[0].images_per_second, 1e-9):.1f}x eager)"
    if way.execution != "eager":
        said += f", first iteration {max(each.first for each in found):.1f} s"
    allowed = TOLERANCE[way.precision]
    said += f", loss {apart:.2%} from eager fp32"
    if not apart <= allowed:
        return Finding(
            SECTION, way.name, "fail", f"{said}, and {allowed:.1%} is allowed", way.remedy, way.needed, seconds
        )
    return Finding(SECTION, way.name, "ok", said, "", way.needed, seconds)


def difference(losses: Sequence[float], others: Sequence[float]) -> float:
    """Largest difference of two curves as a share of the second; infinite where one is not finite, or shorter."""
    if len(losses) != len(others) or not all(map(math.isfinite, (*losses, *others))):
        return math.inf
    return max(abs(one - other) / abs(other) for one, other in zip(losses, others, strict=True))


class _Silent(Lines):
    """Shows nothing."""

    def begin(self, number: int, total: int, run_id: str) -> None:
        pass

    def report(self, run_id: str, report: Report) -> None:
        pass

    def end(self, run_id: str, text: str) -> None:
        pass


class _Limited(Supervisor):
    """A supervisor that ends processes which take too long: what hangs in a driver hears no request."""

    def bounded(self, limit: float) -> dict[str, Outcome]:
        """Outcomes by id."""
        end = time.monotonic() + limit

        def overdue() -> bool:
            if time.monotonic() < end:
                return False
            for child in self.children:
                child.process.kill()
            return True

        self.context = replace(self.context, should_stop=overdue)
        outcomes = self.run()
        late = Outcome("failed", f"no end within {limit:.0f} s")
        return {each.run_id: late if time.monotonic() > end else outcomes.get(each.run_id, late) for each in self.specs}


@contextmanager
def quiet(path: Path) -> Iterator[None]:
    """Write to a file what processes of ours, and libraries, say on standard error meanwhile."""
    before = os.dup(2)
    with path.open("ab") as file:
        os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)


def _in_processes(folder: Path, source: Source, one: RunSpec, mode: Execution) -> Iterator[Finding]:
    """Stop, kill and resume a run; then test its net, and try the precisions that are left."""
    began, results = time.monotonic(), folder / "resumed"
    context = Context(results, replace(source, execution=mode))
    try:
        with _process() as pool:
            pool.submit(stop_and_kill, one, context).result(LIMIT)
        yield Finding(SECTION, "kill", "fail", "a killed run went on to its end", "send this report to the project")
    except BrokenProcessPool:
        pass
    with _process() as pool:
        try:
            pool.submit(job.run, one, context).result(LIMIT)
            whole = folder / ("eager" if mode == "eager" else mode)
            yield resumed(RunFolder(whole, one.run_id), RunFolder(results, one.run_id), time.monotonic() - began)
            yield pool.submit(evaluated, one, results, source).result(LIMIT)
        except Exception as error:
            remedy = "send this report with --json to the project"
            yield Finding(SECTION, "resume", "fail", f"{type(error).__name__}: {error}"[:300], remedy, needed=True)
            return
        if mode == "eager":
            for precision in ("bf16", "fp16"):
                yield pool.submit(half, precision, source).result(LIMIT)


def _process() -> ProcessPoolExecutor:
    """One fresh process; a forked one could not use CUDA."""
    return ProcessPoolExecutor(1, mp_context=get_context("spawn"))


def stop_and_kill(one: RunSpec, context: Context) -> None:
    """Begin a run and stop it as Ctrl-C does; go on, and kill this process as a machine does that loses its power."""
    asked = iter(range(1, 1 << 20))
    with suppress(Interrupted):
        job.run(one, replace(context, should_stop=lambda: next(asked) == STOP))

    def kill() -> bool:
        if next(asked) == KILL:
            os.kill(os.getpid(), signal.SIGKILL)
        return False

    asked = iter(range(STOP + 1, 1 << 20))
    job.run(one, replace(context, should_stop=kill))


def resumed(whole: RunFolder, parts: RunFolder, seconds: float) -> Finding:
    """The line on saving and resuming: a run in three attempts, compared with the same run in one."""
    import torch

    attempts = read_json(parts.provenance)["restarts"] + 1
    nets = [torch.load(each.checkpoint, map_location="cpu", weights_only=True)["net"] for each in (whole, parts)]
    same = all(torch.equal(value, nets[1][key]) for key, value in nets[0].items())
    cost = read_json(parts.provenance)["seconds"]["checkpoints"]
    size = parts.checkpoint.stat().st_size / (1 << 20)
    said = (
        f"stopped at {STOP}, killed at {KILL}: {attempts} attempts; checkpoint of {size:.1f} MiB, {cost:.2f} s in all"
    )
    curves = [[float(point["train_loss"]) for point in each.read_metrics()] for each in (whole, parts)]
    apart = difference(curves[1], curves[0])
    on_cpu = read_json(parts.provenance)["device"]["kind"] == "cpu"
    if same or (not on_cpu and apart <= TOLERANCE["fp32"]):
        said += "; the same bits" if same else f"; loss {apart:.2%} apart, no promise of bits on a GPU"
        return Finding(SECTION, "save, kill, resume", "ok", said, "", True, seconds)
    said += f"; not the same bits, loss {apart:.2%} apart"
    return Finding(SECTION, "save, kill, resume", "fail", said, "send this report with --json", True, seconds)


def evaluated(one: RunSpec, results: Path, source: Source) -> Finding:
    """The line on evaluation: the error that the run noted, and that of the plain net on the same images."""
    import torch

    from bench.compute.kinds import device_of
    from bench.images import memory
    from bench.training import checkpoint
    from bench.training.feed import MemoryFeed

    began, device = time.monotonic(), device_of(one)
    net = checkpoint.trained(one, results).to(device)
    feed = MemoryFeed(one.cifar, memory.held("digits", source.folder, "all", False, device), device)
    with torch.no_grad():
        images, labels = feed.test.images, feed.test.labels
        plain = 100 * (net(feed.normalise(images)).argmax(1) != labels).float().mean().item()
    noted = RunFolder(results, one.run_id).read_result().test_error
    seconds, image = time.monotonic() - began, 100 / len(labels)
    said = f"test error {noted:.2f} % as noted, {plain:.2f} % by the plain net, {len(labels)} images"
    good = noted is not None and abs(noted - plain) <= image + 1e-3
    remedy = "" if good else "send this report with --json to the project"
    return Finding(SECTION, "evaluation", "ok" if good else "fail", said, remedy, True, seconds)


def half(precision: Precision, source: Source, iterations: int = 3) -> Finding:
    """The line on a half precision on a CPU: a few iterations, since most CPUs have no instructions for it."""
    import torch

    from bench.device.precision import emulated
    from bench.images import memory
    from bench.runs.initial_net import build_for_run
    from bench.training import execution, loop
    from bench.training.feed import MemoryFeed

    device, began = torch.device("cpu"), time.monotonic()
    data = memory.held("digits", source.folder, "all", False, device)
    losses, seconds = [], []
    for name in ("fp32", precision):
        one = spec(0, name, batch=64)
        net = build_for_run(one).to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        feed = MemoryFeed(one.cifar, data, device)
        iteration = execution.Iteration(net, loop.sgd(net, one.recipe), one.recipe, device)
        feed.begin(0, 0)
        step = execution.advance("eager", feed, iteration)
        step(RATE)
        start = time.monotonic()
        for _ in range(iterations - 1):
            step(RATE)
        seconds.append(time.monotonic() - start)
        losses.append(iteration.loss_sum.item() / (64 * iterations))
    apart, ratio = difference(losses[1:], losses[:1]), seconds[1] / max(seconds[0], 1e-9)
    said = f"{ratio:.1f} times the seconds of fp32, loss {apart:.2%} from it, {iterations} iterations"
    took, remedy = time.monotonic() - began, f"leave out --set precision={precision} on this CPU"
    if not apart <= TOLERANCE[precision]:
        return Finding(SECTION, f"eager {precision}", "fail", said, remedy, seconds=took)
    if emulated(precision):
        return Finding(SECTION, f"eager {precision}", "warn", f"no instructions for it: {said}", remedy, seconds=took)
    return Finding(SECTION, f"eager {precision}", "ok", said, seconds=took)
