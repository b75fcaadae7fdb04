"""The ways in which the paper tests an ImageNet net, never mixed: 1-crop, 10-crop and multi-scale (section 3.4).

A number belongs to the protocol that it was measured by: a protocol's name says all that was chosen.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.device.precision import autocast
from bench.device.processes import ALONE, Processes
from bench.errors import UserError
from bench.images.decode import BrokenImage, read, resize_shorter
from bench.images.folder import ImageList
from bench.runs.datasets import IMAGENET
from bench.runs.scores import Score

SIZE = IMAGENET.side
"""Side of a crop: what the nets are trained on."""
SCALES = (224, 256, 384, 480, 640)
WINDOW = 7
"""Side of the last feature map of a 224x224 crop, over which the net averages."""
PIXELS_AT_ONCE = 64 * SIZE * SIZE
"""Pixels that go through the net together, whatever the batch: 64 crops, or three images at shorter side 640."""


@dataclass(frozen=True)
class Crops:
    """224x224 crops of the image whose shorter side is `side`: the centre, or AlexNet's ten (Tables 2 and 3)."""

    count: Literal[1, 10]
    average: Literal["scores", "outputs"] = "scores"
    """What is averaged over ten crops: softmax scores, as the authors do, or raw outputs, as FAIR's project does."""
    side: int = 256

    def __post_init__(self) -> None:
        if self.side < SIZE:
            raise ValueError(f"a {SIZE}x{SIZE} crop does not fit shorter side {self.side}: try 256")

    @property
    def name(self) -> str:
        summed = ", summed outputs" if self.average == "outputs" and self.count > 1 else ""
        return f"{self.count}-crop{summed}" + ("" if self.side == 256 else f", shorter side {self.side}")

    @property
    def sides(self) -> tuple[int, ...]:
        return (self.side,)


@dataclass(frozen=True)
class MultiScale:
    """The net on the whole image, fully convolutional, at several shorter sides (Tables 4 and 5).

    The paper: "we adopt the fully-convolutional form as in [41, 13], and average the scores at multiple scales". It
    says no more, and what is open is a field. Softmax scores are averaged over positions and flips of a scale, then over
    scales, so that each scale weighs the same.
    """

    average: Literal["windows", "positions", "features"] = "windows"
    """Open. What comes between the last feature map and the scores of one scale.

    windows: the net's own layers slid over the map, 7x7 average pooling with stride 1 and the classifier as a 1x1
    convolution, then the scores' mean over all windows. The authors' released nets pool so (pool5: kernel 7, stride 1),
    and [13] averages "the scores of all dense sliding windows". Every window sees as much of a map as a crop does.
    positions: the classifier at each position of the map, before any pooling, then the scores' mean over positions.
    features: the map's mean, then the classifier once: one score for the whole image.
    On a 224x224 image windows and features are the net itself, and positions is not.
    """
    flip: bool = True
    """Open. The mirror image as well. [41] and [13] both do; the paper does not say."""
    sides: tuple[int, ...] = SCALES

    @property
    def name(self) -> str:
        scales = "" if self.sides == SCALES else f" {'/'.join(map(str, self.sides))}"
        average = "" if self.average == "windows" else f", averaged {self.average}"
        return f"multi-scale{scales}{average}" + ("" if self.flip else ", no flip")


Protocol = Crops | MultiScale

ONE_CROP = Crops(1)
TEN_CROP = Crops(10)
TEN_CROP_SUMMED = Crops(10, "outputs")
MULTI_SCALE = MultiScale()
PROTOCOLS: tuple[Protocol, ...] = (ONE_CROP, TEN_CROP, TEN_CROP_SUMMED, MULTI_SCALE)


def protocol(name: str) -> Protocol:
    """The protocol called `name`, one of `PROTOCOLS`. Raises UserError that lists them."""
    for each in PROTOCOLS:
        if each.name == name:
            return each
    raise UserError(f"protocol {name!r} is none of the paper's: choose {'; '.join(p.name for p in PROTOCOLS)}")


def centre_crop(image: Tensor) -> Tensor:
    """(...,H,W) -> (...,224,224), H and W at least 224; an odd rest is rounded as torchvision does."""
    height, width = image.shape[-2:]
    top, left = round((height - SIZE) / 2), round((width - SIZE) / 2)
    return image[..., top : top + SIZE, left : left + SIZE]


def five_crops(image: Tensor) -> Tensor:
    """Top left, top right, bottom left, bottom right, centre: (3,H,W) -> (5,3,224,224)."""
    corners = [image[:, :SIZE, :SIZE], image[:, :SIZE, -SIZE:], image[:, -SIZE:, :SIZE], image[:, -SIZE:, -SIZE:]]
    return torch.stack([*corners, centre_crop(image)])


def ten_crops(image: Tensor) -> Tensor:
    """Five crops of the image, then five of its mirror image, as torchvision's TenCrop: (3,H,W) -> (10,3,224,224)."""
    return torch.cat([five_crops(image), five_crops(image.flip(-1))])


def last_map(net: Any, x: Tensor) -> Tensor:
    """The feature map that the net averages over: (N,3,H,W) -> (N,C,H/32,W/32). Of our ImageNet nets and torchvision's."""
    x = F.relu(net.bn1(net.conv1(x)))
    feature_map: Tensor = net.layer4(net.layer3(net.layer2(net.layer1(net.maxpool(x)))))
    return feature_map


def whole_image_scores(net: Any, x: Tensor, average: Literal["windows", "positions", "features"]) -> Tensor:
    """Softmax scores of whole images by the fully-convolutional net: (N,3,H,W) normalised -> (N,K)."""
    x = last_map(net, x)  # (N,3,H,W) -> (N,C,h,w)
    if average == "windows":
        x = F.avg_pool2d(x, (min(WINDOW, x.shape[2]), min(WINDOW, x.shape[3])), stride=1)  # -> (N,C,h-6,w-6)
    elif average == "features":
        x = F.adaptive_avg_pool2d(x, 1)  # -> (N,C,1,1)
    outputs = F.conv2d(x, net.fc.weight[:, :, None, None], net.fc.bias)  # -> (N,K,h',w')
    return outputs.float().softmax(1).mean((2, 3))


class Ensemble(nn.Module):
    """Several nets that are tested as one: their scores are averaged (Table 5)."""

    def __init__(self, nets: Sequence[nn.Module]) -> None:
        super().__init__()
        self.nets = nn.ModuleList(nets)


Normalise = tuple[Tensor, Tensor]
"""Mean and deviation of each channel, of pixels 0..1: (3,) and (3,)."""


def scores(net: nn.Module, images: Sequence[Sequence[Tensor]], how: Protocol, normalise: Normalise) -> Tensor:
    """The scores by which `how` ranks the classes of N images: (N,K) float32, of sum 1 unless outputs are averaged.

    `images` holds each image at each of `how.sides`, uint8 (3,h,w), on the net's device. The net should be in evaluation
    mode. Raises UserError for a net that has no multi-scale form.
    """
    if isinstance(how, Crops):
        return _average(outputs_of_crops(net, [image for (image,) in images], how.count, normalise), how)
    return scores_of_whole_images(net, images, how, normalise)


def outputs_of_crops(net: nn.Module, images: Sequence[Tensor], count: Literal[1, 10], normalise: Normalise) -> Tensor:
    """Raw outputs of each crop of N images: N times (3,h,w) uint8 -> (N,count,K) float32."""
    cut = ten_crops if count == 10 else lambda image: centre_crop(image)[None]
    views = torch.cat([cut(image) for image in images])  # N times (3,h,w) -> (N*count,3,224,224)
    outputs = torch.cat([net(x).float() for x in _prepared(views, normalise)])  # -> (N*count,K)
    return outputs.view(len(images), count, -1)


def _average(outputs: Tensor, how: Crops) -> Tensor:
    """One score for each class out of several crops: (N,count,K) -> (N,K)."""
    return (outputs.softmax(2) if how.average == "scores" else outputs).mean(1)


def scores_of_whole_images(
    net: nn.Module, images: Sequence[Sequence[Tensor]], how: MultiScale, normalise: Normalise
) -> Tensor:
    """`scores` by multi-scale; images of one shape go through the net together."""
    if not all(hasattr(net, name) for name in ("maxpool", "layer4", "fc")):
        raise UserError(
            f"{how.name} is for the ResNets and plain nets of Table 1, not for {type(net).__name__}: leave it out"
        )
    by_scale = []
    for scale in range(len(how.sides)):
        found: dict[int, Tensor] = {}
        for members in _of_one_shape([image[scale] for image in images]):
            views = torch.stack([images[i][scale] for i in members])  # (n,3,h,w)
            if how.flip:
                views = torch.cat([views, views.flip(-1)])  # -> (2n,3,h,w)
            of_views = torch.cat([whole_image_scores(net, x, how.average) for x in _prepared(views, normalise)])
            found.update(zip(members, of_views.view(-1, len(members), of_views.shape[1]).mean(0), strict=True))
        by_scale.append(torch.stack([found[i] for i in range(len(images))]))  # (N,K)
    return torch.stack(by_scale).mean(0)


def _prepared(views: Tensor, normalise: Normalise) -> Iterator[Tensor]:
    """Views of one shape as the net was trained on them, some at a time: (V,3,h,w) uint8 -> (v,3,h,w) float32."""
    mean, std = (each.view(3, 1, 1) for each in normalise)
    for part in views.split(max(1, PIXELS_AT_ONCE // (views.shape[2] * views.shape[3]))):
        yield part.float().mul_(1 / 255).sub_(mean).div_(std)


def _of_one_shape(images: Sequence[Tensor]) -> Iterable[list[int]]:
    """The indices of images that can be stacked."""
    groups: dict[torch.Size, list[int]] = defaultdict(list)
    for i, image in enumerate(images):
        groups[image.shape].append(i)
    return groups.values()


def place_of_label(ranked: Tensor, labels: Tensor) -> Tensor:
    """How many classes score as high as the label or higher, itself included: (N,K), (N,) -> (N,).

    1 is right. A tie counts against the net, and where its scores are no numbers the place is the last.
    """
    of_label = ranked.gather(1, labels[:, None])
    place = (ranked >= of_label).sum(1)
    return torch.where(of_label[:, 0].isnan(), ranked.shape[1], place)


@torch.inference_mode()
def evaluate(
    net: nn.Module,
    images: ImageList,
    labels: npt.ArrayLike,
    protocols: Sequence[Protocol],
    normalise: Normalise,
    device: torch.device,
    processes: Processes = ALONE,
    workers: int = 0,
    precision: str = "fp32",
    report: Callable[[int, int], object] | None = None,
    batch: int = 32,
) -> dict[str, Score]:
    """Test `net` on every image of a folder by each of `protocols`; scores by the protocol's name.

    `labels`, (N,), are places among the net's outputs; `normalise` is mean and deviation of each channel, 0..1, (3,).
    Each image is decoded once. Of several processes, process r takes images r, r+count, ...: none is left out or counted
    twice, and all return the same. `workers` processes decode for each; 0 decodes in this one. `batch` images are handled
    at a time: it, `workers` and `processes` change no result. `report(done, of)` counts this process's images. The net
    stays as it was. Raises UserError for a broken image, a label that the net does not have, or no images.
    """
    truth = np.asarray(labels, dtype=np.int64)
    if len(images) == 0 or len(truth) != len(images):
        raise UserError(f"{images.root}: {len(images)} images and {len(truth)} labels cannot be tested")
    normalise = (normalise[0].to(device), normalise[1].to(device))
    counts = torch.zeros(len(protocols), 4, dtype=torch.int64, device=device)  # wrong 1, wrong 5, seen, of those with 5
    mine, done = range(processes.rank, len(images), processes.count), 0
    sides = tuple(sorted({side for how in protocols for side in how.sides}))
    failure: Exception | None = None
    try:
        with _evaluating(net):
            for indices, resized in _batches(images, mine, sides, device, workers, batch):
                expected = torch.from_numpy(truth[indices]).to(device)
                with autocast(device, precision):
                    by_protocol = list(scores_by(protocols, net, resized, normalise))
                for row, ranked in zip(counts, by_protocol, strict=True):
                    _check_labels(truth, ranked.shape[1])
                    place, many = place_of_label(ranked, expected), ranked.shape[1] > 5
                    found = [(place > 1).sum(), (place > 5).sum(), len(indices), len(indices) * many]
                    row += torch.stack([torch.as_tensor(each, device=device) for each in found])
                done += len(indices)
                if report:
                    report(done, len(mine))
    except Exception as error:  # the others would wait for this process's sums for ever
        failure = error
    if processes.agree(failure is not None):
        raise failure or UserError("the test was given up because another process of it failed: its message says why")
    rows = processes.total(counts).tolist()
    return {
        how.name: Score(wrong1, wrong5 if with5 else None, seen)
        for how, (wrong1, wrong5, seen, with5) in zip(protocols, rows, strict=True)
    }


def scores_by(
    protocols: Sequence[Protocol], net: nn.Module, images: Sequence[dict[int, Tensor]], normalise: Normalise
) -> Iterator[Tensor]:
    """`scores` by each protocol, (N,K), of images by shorter side. Crops that protocols share go through the net once."""
    if isinstance(net, Ensemble):
        for parts in zip(*(scores_by(protocols, member, images, normalise) for member in net.nets), strict=True):
            yield torch.stack(parts).mean(0)
        return
    outputs: dict[tuple[int, int], Tensor] = {}
    for how in protocols:
        if isinstance(how, MultiScale):
            yield scores_of_whole_images(net, [[image[side] for side in how.sides] for image in images], how, normalise)
            continue
        crops = (how.side, how.count)
        if crops not in outputs:
            outputs[crops] = outputs_of_crops(net, [image[how.side] for image in images], how.count, normalise)
        yield _average(outputs[crops], how)


def _check_labels(labels: npt.NDArray[np.int64], classes: int) -> None:
    """Raise UserError unless every label is one of the net's outputs."""
    if labels.min() < 0 or labels.max() >= classes:
        raise UserError(
            f"the images have labels {labels.min()} to {labels.max()} and the net has {classes} outputs: "
            "choose a net that was trained on these classes"
        )


@contextmanager
def _evaluating(net: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while; afterwards each module has the mode that it had."""
    modes = [(module, module.training) for module in net.modules()]
    net.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


class _Resized(torch.utils.data.Dataset[Any]):
    """Images decoded and resized to several shorter sides. A broken one is handed on as the error that it is."""

    def __init__(self, images: ImageList, indices: range, sides: tuple[int, ...]) -> None:
        self.images, self.indices, self.sides = images, indices, sides

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, i: int) -> tuple[int, list[Tensor]] | UserError:
        try:
            image = read(self.images.path(self.indices[i]))
        except BrokenImage as error:
            return UserError(f"{error}: replace it by a whole copy")
        return self.indices[i], [resize_shorter(image, side) for side in self.sides]


Packed = tuple[list[int], list[tuple[int, ...]], Tensor]


def _pack(items: Sequence[tuple[int, list[Tensor]] | UserError]) -> Packed | UserError:
    """Images of all shapes as one tensor: it costs one file descriptor and one copy to the device, not hundreds."""
    indices, views = [], []
    for item in items:
        if isinstance(item, UserError):
            return item
        indices.append(item[0])
        views += item[1]
    return indices, [tuple(view.shape) for view in views], torch.cat([view.reshape(-1) for view in views])


def _batches(
    images: ImageList, indices: range, sides: tuple[int, ...], device: torch.device, workers: int, batch: int
) -> Iterator[tuple[list[int], list[dict[int, Tensor]]]]:
    """Some images at a time: their indices, and each image on the device at each shorter side, (3,h,w) uint8."""
    loader = torch.utils.data.DataLoader(
        _Resized(images, indices, sides),
        batch_size=batch,
        num_workers=workers,
        collate_fn=_pack,
        pin_memory=device.type == "cuda",
    )
    for packed in loader:
        if isinstance(packed, UserError):
            raise packed
        numbers, shapes, flat = packed
        parts = flat.to(device, non_blocking=True).split([int(np.prod(shape)) for shape in shapes])
        views = iter([part.view(shape) for part, shape in zip(parts, shapes, strict=True)])
        yield numbers, [{side: next(views) for side in sides} for _ in numbers]
