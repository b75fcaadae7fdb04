"""The processes that train one net together: one in most runs, one for each GPU in the ImageNet runs.

Each takes its share of every batch and normalises it by itself, as the paper's GPUs did; gradients are averaged. After
every iteration all hold the same weights. The first one evaluates, writes, and decides when to stop.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bench.errors import UserError
from bench.runs.spec import Recipe


@dataclass(frozen=True)
class Processes:
    """This process's place among those that train the net. Alone by default, where every method is free."""

    rank: int = 0
    count: int = 1
    control: Any = None
    """A group of processes for words between CPUs, so that agreeing never waits for a GPU."""

    @property
    def first(self) -> bool:
        return self.rank == 0

    def check(self, recipe: Recipe) -> None:
        """Raise UserError where these processes would not train what the recipe says."""
        if self.count == 1:
            return
        share, rest = divmod(recipe.batch, self.count)
        if rest:
            raise UserError(f"a batch of {recipe.batch} cannot be shared by {self.count} processes: choose a divisor")
        if recipe.bn_group is None or share % recipe.bn_group:
            raise UserError(
                f"bn_group {recipe.bn_group} is no divisor of the {share} images that each of {self.count} processes sees: "
                "use as many processes as there are groups, or fewer"
            )

    def slice(self, batch: int) -> slice:
        """This process's part of a batch."""
        size = batch // self.count
        return slice(self.rank * size, (self.rank + 1) * size)

    def wrap(self, net: nn.Module) -> nn.Module:
        """The net as it is trained: with gradients averaged over the processes."""
        if self.count == 1:
            return net
        return nn.parallel.DistributedDataParallel(net, broadcast_buffers=False)

    def total(self, value: Tensor) -> Tensor:
        """The sum over the processes, in place."""
        if self.count > 1:
            torch.distributed.all_reduce(value)
        return value

    def share_buffers(self, net: nn.Module) -> None:
        """Give all processes the first one's running statistics, so that all test the same net."""
        if self.count > 1:
            for buffer in net.buffers():
                torch.distributed.broadcast(buffer, 0)

    def agree(self, wish: bool) -> bool:
        """Whether any process wishes it. All must ask."""
        if self.count == 1:
            return wish
        vote = torch.tensor(int(wish))
        torch.distributed.all_reduce(vote, torch.distributed.ReduceOp.MAX, group=self.control)
        return bool(vote)

    def wait(self) -> None:
        """Until all are here."""
        if self.count > 1:
            torch.distributed.barrier(group=self.control)


ALONE = Processes()


@contextmanager
def connected(rank: int, count: int, device: torch.device) -> Iterator[Processes]:
    """Join the other processes: nccl on GPUs, gloo on CPUs. MASTER_ADDR and MASTER_PORT say where the first one is."""
    if count == 1:
        yield ALONE
        return
    backend = "nccl" if device.type == "cuda" else "gloo"
    torch.distributed.init_process_group(backend, rank=rank, world_size=count)
    try:
        control = torch.distributed.new_group(backend="gloo")
        yield Processes(rank, count, control)
    finally:
        torch.distributed.destroy_process_group()
