"""The loop that most people run, to compare ours with: eager, single precision, NCHW, loss and error read every time.

Single precision is PyTorch's own, whose convolutions on a GPU are in tf32 unless set otherwise.

CIFAR images come one by one through PIL in worker processes. ImageNet images lie ready in memory, on both sides: what a core
decodes is another table's business.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from bench.measure.speed.settings import Setting
from bench.runs.datasets import IMAGENET
from models.arch import Arch

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from bench.images.memory import Dataset, Images

WORKERS = 2
"""That load images."""
SIDE = IMAGENET.side
TELL_SECONDS = 1.0

Batches = Iterable["tuple[Tensor, Tensor]"]


class Reference:
    """A net and its optimiser as in the common script."""

    def __init__(self, arch: Arch, device: torch.device) -> None:
        import torch

        from models.build import build

        self.device = device
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.net = build(arch).to(device)
        self.optimiser = torch.optim.SGD(self.net.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)

    def train(self, images: Tensor, labels: Tensor) -> tuple[float, int]:
        """One update of a net in training mode; returns the loss and how many images were right."""
        import torch.nn.functional as F

        x, y = images.to(self.device, non_blocking=True), labels.to(self.device, non_blocking=True)
        logits = self.net(x)
        loss = F.cross_entropy(logits, y)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        return loss.item(), int((logits.argmax(1) == y).sum().item())

    def test(self, images: Tensor, labels: Tensor) -> tuple[float, int]:
        """The same without an update, of a net in evaluation mode."""
        import torch
        import torch.nn.functional as F

        with torch.no_grad():
            x, y = images.to(self.device, non_blocking=True), labels.to(self.device, non_blocking=True)
            logits = self.net(x)
            return F.cross_entropy(logits, y).item(), int((logits.argmax(1) == y).sum().item())


def step(setting: Setting, device: torch.device, images: Images | None) -> Callable[[], object]:
    """An iteration of the common loop, on CIFAR-shaped `images`, or on one ready batch of an ImageNet net's size."""
    reference = Reference(setting.arch, device)
    reference.net.train(setting.training)
    act = reference.train if setting.training else reference.test
    source = endless(loader(images, setting.training, setting.batch, device)) if images else ready(setting, device)
    return lambda: act(*next(source))


def loader(images: Images, training: bool, batch: int, device: torch.device, last: bool = False) -> Batches:
    """An epoch of a DataLoader with a transform for each image; `last` keeps a last batch that is not full."""
    from torch.utils.data import DataLoader, Dataset
    from torchvision import transforms

    from bench.images.normalise import IMAGENET_MEAN, IMAGENET_STD

    way = [transforms.RandomHorizontalFlip(), transforms.RandomCrop(32, 4)] if training else []
    transform = transforms.Compose([*way, transforms.ToTensor(), transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD)])
    pixels = images.images.permute(0, 2, 3, 1).contiguous().numpy()  # (N,3,H,W) -> (N,H,W,3)
    labels = images.labels.tolist()

    class PilImages(Dataset[Any]):
        def __len__(self) -> int:
            return len(pixels)

        def __getitem__(self, index: int) -> tuple[Any, int]:
            from PIL import Image

            return transform(Image.fromarray(pixels[index])), labels[index]

    return DataLoader(
        PilImages(), batch, shuffle=training, num_workers=WORKERS, drop_last=not last,
        multiprocessing_context="fork", pin_memory=device.type == "cuda",
    )  # fmt: skip


def endless(batches: Batches) -> Iterator[tuple[Tensor, Tensor]]:
    while True:
        yield from batches


def ready(setting: Setting, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    """One batch again and again, normalised as workers would hand it over."""
    import torch

    x, y = torch.randn(setting.batch, 3, SIDE, SIDE), torch.randint(0, IMAGENET.classes, (setting.batch,))
    pinned = (x.pin_memory(), y.pin_memory()) if device.type == "cuda" else (x, y)
    while True:
        yield pinned


def epochs(
    arch: Arch, data: Dataset, batch: int, device: torch.device, seconds: float, tell: Callable[[int], object]
) -> None:
    """Whole epochs, at least one, each with a test and a checkpoint at its end, until `seconds` are over.

    `tell` hears about once a second, and after each test, how many images have been trained on.
    """
    import torch

    reference, trained, began = Reference(arch, device), 0, time.monotonic()
    train = loader(data.train, True, batch, device)
    test = loader(data.test, False, batch, device, last=True)
    with tempfile.TemporaryFile() as checkpoint:
        told = began
        while not trained or time.monotonic() - began < seconds:
            reference.net.train()
            for images, labels in train:
                reference.train(images, labels)
                trained += len(labels)
                if time.monotonic() - told > TELL_SECONDS:
                    tell(trained)
                    told = time.monotonic()
            tell(trained)
            reference.net.eval()
            for images, labels in test:
                reference.test(images, labels)
            checkpoint.seek(0)
            torch.save({"net": reference.net.state_dict(), "optimiser": reference.optimiser.state_dict()}, checkpoint)
            tell(trained)
