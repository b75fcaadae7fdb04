"""Table 1's FLOPs, the parameters of Table 6, VGG: which nets are counted, and which printed numbers they answer."""

from __future__ import annotations

from bench.studies import cifar_depth
from models.arch import Arch

TITLE = "Parameters and multiply-adds (Tables 1 and 6)"

CIFAR_DEPTHS = tuple(arch.depth for arch in cifar_depth.RESIDUAL)

ARCHS: tuple[Arch, ...] = (
    Arch("imagenet", 18),
    *(Arch("imagenet", 18, option) for option in ("A", "B", "C")),
    Arch("imagenet", 34),
    *(Arch("imagenet", 34, option) for option in ("A", "B", "C")),
    *(Arch("imagenet", depth, "B", stride) for depth in (50, 101, 152) for stride in ("1x1", "3x3")),
    Arch("vgg", 16),
    Arch("vgg", 19),
    *(Arch("cifar", depth, option) for depth in CIFAR_DEPTHS for option in (None, "A") if option or depth <= 110),
)

PUBLISHED_FLOPS: dict[str, str] = {
    "imagenet-plain-18": "T1/18-layer/flops",
    "imagenet-resnet-18-A": "T1/18-layer/flops",
    "imagenet-plain-34": "Fig3/sec3.3/plain-34/flops",
    "imagenet-resnet-34-A": "T1/34-layer/flops",
    "imagenet-resnet-50-B": "T1/50-layer/flops",
    "imagenet-resnet-101-B": "T1/101-layer/flops",
    "imagenet-resnet-152-B": "T1/152-layer/flops",
    "vgg-16": "sec4.1/VGG-16/flops",
    "vgg-19": "Fig3/sec3.3/VGG-19/flops",
}
"""Net -> id of the published count of multiply-adds."""

PUBLISHED_PARAMETERS: dict[str, str] = {f"resnet-{depth}-A": f"T6/ResNet-{depth}/params" for depth in CIFAR_DEPTHS}
"""Net -> id of the published number of parameters."""

KNOWN_DIFFERENCES: dict[tuple[str, str], str] = {
    ("imagenet-resnet-50-B", "multiply_adds"): (
        "The paper prints 3.8 where the count is 3.858 and would print as 3.9. ResNet-101 and ResNet-152 fit rounding "
        "and not truncation (7.570 is printed 7.6), so that no one rule explains all three rows."
    ),
    ("vgg-16", "multiply_adds"): (
        "The paper mixes two conventions: its 15.3 for VGG-16 is the convolutions alone, "
        "its 19.6 for VGG-19 is convolutions and fully connected layers."
    ),
}
"""(net, quantity) -> why the paper's digits are not met. The check lets these rows pass, and no others."""
