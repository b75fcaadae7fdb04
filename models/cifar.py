"""The CIFAR-10 nets of section 4.2: depth 6n+2, three stages of 16, 32 and 64 filters, plain or residual."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from models.arch import blocks_per_stage
from models.blocks import BasicBlock, Init, Norm, ShortcutOption, batch_norm, check_option, conv, initialise, stage


class CifarNet(nn.Module):
    """A net of section 4.2.

    Keys of its state dict: conv1, bn1, layer{1,2,3}.{i}.{conv1,bn1,conv2,bn2[,downsample]}, linear.
    """

    def __init__(
        self,
        depth: int,
        option: ShortcutOption | None = "A",
        classes: int = 10,
        bn_group: int | None = None,
        init: Init = "fan_in",
        norm: Norm | None = None,
    ) -> None:
        """`option` None is the plain net; `bn_group` images share batch-norm statistics (None: the whole batch).

        `norm` is what follows each convolution instead of batch norm, for nets that the paper only speaks of.
        """
        super().__init__()
        n = blocks_per_stage(depth)
        check_option(option)
        norm = norm or batch_norm(bn_group)
        self.conv1, self.bn1 = conv(3, 16, 3), norm(16)
        self.layer1 = stage(BasicBlock, 16, 16, n, 1, option, norm)
        self.layer2 = stage(BasicBlock, 16, 32, n, 2, option, norm)
        self.layer3 = stage(BasicBlock, 32, 64, n, 2, option, norm)
        self.linear = nn.Linear(64, classes)
        initialise(self, init)

    def forward(self, x: Tensor) -> Tensor:
        """Images to logits: (N,3,32,32) -> (N,classes). Any height and width divisible by 4 will do."""
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)  # (N,3,32,32)  -> (N,16,32,32)
        x = self.layer1(x)
        x = self.layer2(x)  # (N,16,32,32) -> (N,32,16,16)
        x = self.layer3(x)  # (N,32,16,16) -> (N,64,8,8)
        x = x.mean(dim=(2, 3))  # (N,64,8,8)   -> (N,64)
        logits: Tensor = self.linear(x)
        return logits
