"""An image file to pixels, and pixels to another size."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor


class BrokenImage(ValueError):
    """A file that cannot be decoded: its path, and why in a few words."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(path, why)
        self.path, self.why = path, why

    def __str__(self) -> str:
        return f"{self.path} cannot be decoded ({self.why})"


def read(path: Path) -> Tensor:
    """The image in a file, the way up that its EXIF says: (3,H,W) uint8 RGB.

    Grey becomes three equal channels, CMYK is converted, alpha is dropped, 16 bits are scaled to 8. Raises BrokenImage where
    the file is missing, cut off, or no image.
    """
    from torchvision.io import ImageReadMode, decode_image

    try:
        # not torchvision's read_file: it maps the file, and a disk that fails would kill the process by SIGBUS
        image = decode_image(_bytes(path), ImageReadMode.RGB, apply_exif_orientation=True)
    except RuntimeError:  # TIFF, BMP, PPM, or broken: PIL says which
        return _read_with_pil(path)
    except OSError as error:
        raise BrokenImage(path, error.strerror or str(error)) from error
    if image.ndim != 3:  # an animation
        return _read_with_pil(path)
    return image if image.dtype == torch.uint8 else torch.from_numpy(_to_8_bits(image.numpy()))


def _bytes(path: Path) -> Tensor:
    """The bytes of a file, by one system call."""
    with path.open("rb", buffering=0) as file:
        data = np.empty(os.fstat(file.fileno()).st_size, dtype=np.uint8)
        whole = file.readinto(data.data) == len(data)
    return torch.from_numpy(data if whole else np.fromfile(path, dtype=np.uint8))


def _read_with_pil(path: Path) -> Tensor:
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path) as file:
            image = ImageOps.exif_transpose(file)
            if image.mode.startswith("I;16"):  # PIL would clip at 255
                image = Image.fromarray(_to_8_bits(np.array(image)))
            pixels = np.array(image.convert("RGB"))  # (H,W,3)
    except UnidentifiedImageError as error:
        raise BrokenImage(path, "no image" if path.stat().st_size else "empty file") from error
    except Exception as error:  # PIL lets OSError, SyntaxError, ValueError, struct.error and more through
        raise BrokenImage(path, " ".join(str(error).split()) or type(error).__name__) from error
    return torch.from_numpy(pixels).permute(2, 0, 1)


def _to_8_bits(pixels: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """0..65535 to 0..255, rounded."""
    return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def scaled(height: int, width: int, size: int) -> tuple[int, int]:
    """Height and width once the shorter side is `size`; the longer one is rounded down, as torchvision does."""
    if height <= width:
        return size, size * width // height
    return size * height // width, size


def resize_shorter(image: Tensor, size: int) -> Tensor:
    """The whole image with its shorter side `size`, bilinear with antialiasing: (3,H,W) -> (3,h,w), both uint8."""
    height, width = scaled(image.shape[1], image.shape[2], size)
    if (height, width) == tuple(image.shape[1:]):
        return image
    return F.interpolate(channels_last(image), (height, width), mode="bilinear", antialias=True)[0]


def channels_last(image: Tensor) -> Tensor:
    """A batch of one: (3,H,W) -> (1,3,H,W). With `image[None]` torch does not see the channels lie last, and is slower."""
    return image.permute(1, 2, 0)[None].permute(0, 3, 1, 2)
