"""One training run, from wherever it stands to its result."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn

from bench.device import lanes
from bench.device.processes import ALONE, Processes
from bench.errors import Interrupted
from bench.runs.folder import Result, RunFolder
from bench.runs.initial_net import build_for_run
from bench.runs.spec import Recipe, Spec
from bench.training import checkpoint, checkpoint_interval, execution
from bench.training.execution import Mode
from bench.training.feed import Feed
from bench.training.pace import Pace
from bench.training.report import Report, never, unheard
from bench.training.schedule import drops_so_far, learning_rate

REPORT_SECONDS = 1.0


class Watch(Protocol):
    """Somebody who looks at a net while it is trained."""

    @property
    def at(self) -> frozenset[int]:
        """The iterations before which it looks; the last one, after which it does."""

    def __call__(self, iteration: int, net: nn.Module) -> None: ...


def _eager(earlier: str | None) -> Mode:
    return "eager"


@dataclass(frozen=True)
class Session:
    """What one attempt at a run computes with: its folder and data, who hears of it, and who takes part."""

    folder: RunFolder
    feed: Feed
    """Its device is where the net is."""
    on_report: Callable[[Report], None] = unheard
    should_stop: Callable[[], bool] = never
    """Asked after every iteration or point; once it holds, what is done is saved and Interrupted is raised."""
    processes: Processes = ALONE
    """Of several that train the net together each has a session, and only the first one writes."""
    choose: Callable[[str | None], Mode] = _eager
    """How iterations are executed, given how they were before, in an earlier attempt."""


def train(spec: Spec, session: Session, watch: Watch | None = None) -> Result:
    """Train `spec` to its last iteration, going on from the checkpoint in its folder where there is one.

    Raises Interrupted, after writing a checkpoint, once `session.should_stop()` holds. Writes everything but `result.json`.
    `watch` looks at the net where it wants to, and leaves it as it is.
    """
    processes = session.processes
    processes.wait()  # until the first one has the folder in order
    run = _Run(spec, session)
    run.begin()
    while not run.over:
        lanes.pause()
        run.show(watch)
        run.step()
        reported = run.report_if_due(session.on_report)
        run.save_if_due()
        if processes.agree(session.should_stop()) and not run.at_end:
            run.save()
            if not reported:
                run.tell(session.on_report, False)
            processes.wait()  # nobody leaves before the checkpoint is written
            raise Interrupted(f"{spec.run_id} stopped at iteration {run.now.iteration}")
    if not run.diverged:
        run.show(watch)
        with run.clocked("end"):
            session.feed.after(run.net, session.folder, session.should_stop)
    result = run.result()
    if processes.first:
        session.folder.note(seconds={"training": run.now.train_seconds, **run.now.seconds})
    return result


class _Run:
    """The moving parts of one run. Sums stay on the device; `collect` fetches them."""

    def __init__(self, spec: Spec, session: Session) -> None:
        folder, feed, processes, device = session.folder, session.feed, session.processes, session.feed.device
        self.spec, self.recipe, self.folder, self.device = spec, spec.recipe, folder, device
        self.feed, self.processes = feed, processes
        processes.check(self.recipe)
        memory_format = torch.channels_last if self.recipe.memory_format == "channels_last" else torch.contiguous_format
        self.net = build_for_run(spec).to(device, memory_format=memory_format).train()  # type: ignore[call-overload]
        self.optimiser = sgd(self.net, self.recipe)
        self.now = checkpoint.load(folder, spec, self.net, self.optimiser)
        self.now.execution = mode = session.choose(self.now.execution)
        self.iteration = execution.Iteration(
            processes.wrap(execution.prepare(self.net, mode)), self.optimiser, self.recipe, device
        )
        self.advance = execution.advance(mode, feed, self.iteration)
        self.drops = drops_so_far(self.recipe, self.now.metrics)
        if processes.first:
            folder.write_metrics(self.now.metrics)  # a point written after the checkpoint is measured again
        self.diverged = False
        self.started = self.clock = self.step_clock = time.monotonic()
        self.here_images, self.here_seconds = 0, 0.0  # of this attempt
        self.pace = Pace()
        self.between_saves, self.seconds_saving = checkpoint_interval.seconds_between(0), 0.0
        self.last_save = self.last_report = self.started

    def begin(self) -> None:
        """Go to where the checkpoint is, and start the clocks of checkpoints and reports."""
        self.feed.begin(self.now.iteration, self.spec.seed)
        self.now.attempts += 1
        self.last_save = self.last_report = time.monotonic()

    @property
    def at_end(self) -> bool:
        return self.now.iteration == self.recipe.iterations

    @property
    def over(self) -> bool:
        return self.diverged or self.now.iteration >= self.recipe.iterations

    @property
    def at_point(self) -> bool:
        """Whether it is time for an evaluation point."""
        return self.at_end or self.now.iteration % self.recipe.evaluate_every == 0

    @property
    def warming_up(self) -> bool:
        return self.recipe.warmup_lr is not None and self.now.warmup_ended is None

    @contextmanager
    def clocked(self, part: str) -> Iterator[None]:
        """Note the seconds that a part of the run takes, and restart the training clock after it."""
        began = time.monotonic()
        yield
        self.step_clock = time.monotonic()
        self.note(part, self.step_clock - began)

    def note(self, part: str, seconds: float) -> None:
        self.now.seconds[part] = self.now.seconds.get(part, 0.0) + seconds

    def step(self) -> None:
        """One iteration: a batch, its gradient, one SGD update."""
        now, recipe, first = self.now, self.recipe, self.here_images == 0
        rate = learning_rate(recipe, now.iteration, self.warming_up, self.drops)
        set_learning_rate(self.optimiser, rate, recipe.momentum_form)
        self.advance(rate)
        now.seen += recipe.batch
        now.iteration += 1
        self.here_images += recipe.batch
        if first:  # it compiles or captures, and tells nothing of the speed of the others
            here = time.monotonic()
            self.note("first", here - self.step_clock)
            self.pace.mark(self.here_images, here - self.step_clock, here)
        if self.warming_up:
            self.watch_warmup(int(self.processes.total(self.iteration.last_wrong.clone())))

    def report_if_due(self, on_report: Callable[[Report], None]) -> bool:
        """At an evaluation point, and else once a second: evaluate if it is one, and report. Returns whether it was due."""
        if not (self.at_point or self.processes.agree(time.monotonic() - self.last_report > REPORT_SECONDS)):
            return False
        self.collect()
        if self.at_point and not self.diverged:
            self.evaluate()
        self.tell(on_report, self.at_point)
        self.last_report = time.monotonic()
        return True

    def save_if_due(self) -> None:
        """Write a checkpoint at the end, after the interval, and at an evaluation point where that is cheap."""
        due = time.monotonic() - self.last_save > self.between_saves or (self.at_point and self.saves_cheaply())
        if self.over or self.processes.agree(due):
            self.save()
            self.last_save = time.monotonic()

    def show(self, watch: Watch | None) -> None:
        """Let somebody look at the net where it wants to; what that takes is no training time."""
        if watch is None or self.now.iteration not in watch.at:
            return
        lanes.settle(self.device)
        trained = time.monotonic() - self.step_clock
        with self.clocked("looking"):
            watch(self.now.iteration, self.net)
        self.step_clock -= trained

    def watch_warmup(self, wrong: int) -> None:
        """End the warm-up once the training error of the last `warmup_window` iterations is low enough."""
        now, recipe = self.now, self.recipe
        now.recent_wrong = [*now.recent_wrong, wrong][-recipe.warmup_window :]
        images = recipe.warmup_window * recipe.batch
        full = len(now.recent_wrong) == recipe.warmup_window
        if full and 100 * sum(now.recent_wrong) / images < recipe.warmup_until_error:
            now.warmup_ended, now.recent_wrong = now.iteration, []

    def collect(self) -> None:
        """Fetch the sums from the device, stop the training clock, and see whether the loss is still finite."""
        sums = self.iteration
        self.now.loss_sum += self.processes.total(sums.loss_sum).item()
        self.now.wrong += int(self.processes.total(sums.wrong))
        sums.loss_sum.zero_()
        sums.wrong.zero_()
        seconds = time.monotonic() - self.step_clock
        self.here_seconds += seconds
        self.now.train_seconds += seconds
        self.diverged = not math.isfinite(self.now.loss_sum)
        self.step_clock = time.monotonic()
        self.pace.mark(self.here_images, self.here_seconds, self.step_clock)

    def evaluate(self) -> None:
        """Add an evaluation point to the metrics. All processes test their part and note the same."""
        now = self.now
        with self.clocked("evaluation"):
            self.processes.share_buffers(self.net)
            if self.recipe.bn_statistics == "recomputed":  # training itself never reads these statistics
                self.feed.average_statistics(self.net, now.iteration == self.recipe.iterations)
            point: dict[str, Any] = {
                "iteration": now.iteration,
                "epoch": now.iteration * self.recipe.batch / self.feed.train_images,
                "lr": self.optimiser.param_groups[0]["lr"],
                "train_loss": now.loss_sum / now.seen,
                "train_error": 100 * now.wrong / now.seen,
                "test_error": self.feed.test_error(self.net),
                "validation_error": self.feed.validation_error(self.net),
                "images_per_second": self.pace.images_per_second(),
            }
        now.metrics.append(point)
        now.loss_sum, now.wrong, now.seen = 0.0, 0, 0
        self.drops = drops_so_far(self.recipe, now.metrics)
        with self.clocked("metrics"):
            if self.processes.first:
                self.folder.write_metrics(now.metrics)

    def tell(self, on_report: Callable[[Report], None], evaluated: bool) -> None:
        """Say how the run stands, to whoever shows it, logs it or keeps its heartbeat."""
        with self.clocked("metrics"):
            on_report(self.report(evaluated))

    def report(self, evaluated: bool) -> Report:
        now, total = self.now, self.recipe.iterations
        last = now.metrics[-1] if now.metrics else None
        fresh = evaluated and last is not None and not self.diverged
        return Report(
            iteration=now.iteration,
            iterations=total,
            loss=last["train_loss"] if fresh and last else now.loss_sum / max(now.seen, 1),
            error=last["train_error"] if fresh and last else 100 * now.wrong / max(now.seen, 1),
            test_error=last["test_error"] if last else None,
            images_per_second=self.pace.images_per_second(),
            seconds_left=self.pace.seconds((total - now.iteration) * self.recipe.batch),
            evaluated=fresh,
            waiting=self.feed.seconds_waited / self.here_seconds if self.here_seconds else 0.0,
        )

    def saves_cheaply(self) -> bool:
        """Whether checkpoints have taken little of this attempt's time so far: fast GPUs have two points a second."""
        return self.seconds_saving <= checkpoint_interval.SAVING_SHARE * (time.monotonic() - self.started)

    def save(self) -> None:
        """Write a checkpoint, with the sums in it."""
        self.collect()
        began = time.monotonic()  # only now: what the device had still to do is no part of what a checkpoint costs
        self.now.wall_seconds += time.monotonic() - self.clock
        self.clock = time.monotonic()
        with self.clocked("checkpoints"):
            if self.processes.first:
                checkpoint.save(self.folder, self.spec, self.net, self.optimiser, self.now)
        self.now.saves += 1
        cost = self.step_clock - began
        self.seconds_saving += cost
        self.between_saves = checkpoint_interval.seconds_between(cost)

    def result(self) -> Result:
        """What the run measured; the last iterate is also tested on the whole training set."""
        now, points = self.now, self.now.metrics
        best = min(points, key=lambda p: p["test_error"], default=None)
        last = points[-1] if points and not self.diverged else None
        held_out = bool(points) and points[-1]["validation_error"] is not None
        by_validation = min(points, key=lambda p: p["validation_error"]) if held_out else None
        with self.clocked("end"):
            full = None if self.diverged else self.feed.train_error(self.net)
        return Result(
            run_id=self.spec.run_id,
            status="diverged" if self.diverged else "done",
            iterations=now.iteration,
            test_error=last["test_error"] if last else None,
            test_error_best=best["test_error"] if best else None,
            test_error_best_iteration=best["iteration"] if best else None,
            validation_error=last["validation_error"] if last else None,
            test_error_at_best_validation=by_validation["test_error"] if by_validation else None,
            train_error=last["train_error"] if last else None,
            train_error_full=full,
            train_loss=last["train_loss"] if last else None,
            test_images=self.feed.test_images,
            train_images=self.feed.train_images,
            parameters=sum(p.numel() for p in self.net.parameters()),
            warmup_ended=now.warmup_ended,
            wall_seconds=now.wall_seconds + time.monotonic() - self.clock,
            images_per_second=now.iteration * self.recipe.batch / now.train_seconds if now.train_seconds else 0.0,
        )


def sgd(net: nn.Module, recipe: Recipe) -> torch.optim.SGD:
    """SGD with momentum and weight decay, without Nesterov's variant (section 3.4)."""
    weights = [p for p in net.parameters() if p.ndim > 1]
    others = [p for p in net.parameters() if p.ndim <= 1]
    groups = [
        {"params": weights, "weight_decay": recipe.weight_decay},
        {"params": others, "weight_decay": recipe.weight_decay if recipe.decay == "all" else 0.0},
    ]
    return torch.optim.SGD(groups, lr=recipe.lr, momentum=recipe.momentum, foreach=True)


def set_learning_rate(optimiser: torch.optim.SGD, lr: float, momentum_form: str) -> None:
    """Set the rate. In Caffe's form the velocity contains it, so that PyTorch's buffers are rescaled at a change."""
    for group in optimiser.param_groups:
        if momentum_form == "caffe" and group["lr"] != lr:
            buffers = [b for p in group["params"] if (b := optimiser.state[p].get("momentum_buffer")) is not None]
            if buffers:
                torch._foreach_mul_(buffers, group["lr"] / lr)
        group["lr"] = lr
