"""The ImageNet nets of Table 1: 18 and 34 layers, plain and residual, and 50, 101 and 152 layers with bottlenecks."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from models.blocks import (
    BasicBlock,
    Bottleneck,
    Init,
    ShortcutOption,
    StrideIn,
    batch_norm,
    check_option,
    conv,
    initialise,
    stage,
)

BLOCKS: dict[int, tuple[type[BasicBlock] | type[Bottleneck], tuple[int, int, int, int]]] = {
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
    152: (Bottleneck, (3, 8, 36, 3)),
}


class ImageNetNet(nn.Module):
    """A net of Table 1. The keys of its state dict are those of torchvision's resnet, whose weights load unchanged."""

    def __init__(
        self,
        depth: int,
        option: ShortcutOption | None = "A",
        classes: int = 1000,
        stride_in: StrideIn = "1x1",
        bn_group: int | None = None,
        init: Init = "fan_in",
    ) -> None:
        """`option` None is the plain net; `stride_in` is where a bottleneck strides (the paper: "1x1")."""
        super().__init__()
        if depth not in BLOCKS:
            raise ValueError(f"depth {depth} is not in Table 1: try {', '.join(map(str, BLOCKS))}")
        check_option(option)
        if stride_in not in ("1x1", "3x3"):
            raise ValueError(f"stride_in {stride_in!r} names no convolution of a bottleneck: try 1x1 or 3x3")
        block, counts = BLOCKS[depth]
        norm = batch_norm(bn_group)
        self.conv1, self.bn1 = conv(3, 64, 7, 2), norm(64)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        wide = block.expansion
        self.layer1 = stage(block, 64, 64, counts[0], 1, option, norm, stride_in)
        self.layer2 = stage(block, 64 * wide, 128, counts[1], 2, option, norm, stride_in)
        self.layer3 = stage(block, 128 * wide, 256, counts[2], 2, option, norm, stride_in)
        self.layer4 = stage(block, 256 * wide, 512, counts[3], 2, option, norm, stride_in)
        self.fc = nn.Linear(512 * wide, classes)
        initialise(self, init)

    def forward(self, x: Tensor) -> Tensor:
        """Images to logits: (N,3,224,224) -> (N,classes)."""
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)  # (N,3,224,224)  -> (N,64,112,112)
        x = self.maxpool(x)  # (N,64,112,112) -> (N,64,56,56)
        x = self.layer1(x)
        x = self.layer2(x)  # -> (N,128 or 512,28,28)
        x = self.layer3(x)  # -> (N,256 or 1024,14,14)
        x = self.layer4(x)  # -> (N,512 or 2048,7,7)
        x = F.adaptive_avg_pool2d(x, 1).flatten(1)
        logits: Tensor = self.fc(x)
        return logits
