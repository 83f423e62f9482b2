"""Picture files as tensors: opened, cut and resized by Pillow."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["SUFFIXES", "Box", "centre_box", "pillow", "random_box", "read_picture", "square_across"]

#: What counts as a picture, in small letters.
SUFFIXES = frozenset(
    (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
)

#: Left, top, right and bottom of a part of a picture, in pixels.
Box = tuple[float, float, float, float]

#: Number of the EXIF tag that says how the camera was held; 1 for upright.
_ORIENTATION = 0x0112

_MODES = {1: "L", 3: "RGB"}


def pillow() -> Any:
    """The module PIL.Image; ValueError with advice where Pillow is not installed."""
    try:
        from PIL import Image
    except ImportError:
        raise ValueError(
            "pictures are read by Pillow, which is not here: pip install 'mgcore[pictures]'"
        ) from None
    return Image


def read_picture(
    path: str | os.PathLike[str], size: int, box: Callable[[int, int], Box], channels: int = 3
) -> Tensor:
    """A square part of a picture file.

    Parameters
    ----------
    path : path
    size : int
        Pixels a side of the result.
    box : callable
        Gives the part to cut out of a picture of so many pixels across and down.
    channels : {3, 1}
        Colours, whatever the file has: a grey one in all three channels, without transparency. Or
        brightness.

    Returns
    -------
    Tensor
        uint8, (channels, size, size).

    Raises
    ------
    ValueError
        If the file cannot be read as a picture, or Pillow is not installed.
    """
    library = pillow()
    try:
        with library.open(path) as image:
            pixels = np.array(_cut(image, size, box, _MODES[channels]))  # (size, size[, 3])
    except library.UnidentifiedImageError:
        raise ValueError(f"{path} is no picture, or damaged: replace it") from None
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}") from None
    except Exception as error:  # Pillow has raised nearly everything at damaged files
        raise ValueError(f"{path} cannot be read: {error!r}; replace it") from None
    return torch.from_numpy(pixels).view(size, size, channels).permute(2, 0, 1)


def _cut(image: Any, size: int, box: Callable[[int, int], Box], mode: str) -> Any:
    from PIL import Image, ImageOps

    if image.getexif().get(_ORIENTATION, 1) != 1:
        image = ImageOps.exif_transpose(image)
    width, height = image.size
    left, top, right, bottom = box(width, height)
    # A JPEG file can be decoded at 1/2, 1/4 or 1/8 of its size, which takes a fraction of the time;
    # for files of other kinds, this does nothing.
    least = math.ceil(width * size / (right - left)), math.ceil(height * size / (bottom - top))
    image.draft(None, least)
    x, y = image.size[0] / width, image.size[1] / height
    if image.mode.startswith("I;16"):  # Pillow would cut off at 255
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise OSError(f"it has {image.mode} pixels of 32 bits; make it one of 8 or 16 bits")
    if "transparency" in image.info:
        image = image.convert("RGBA")
    if image.mode != mode:
        image = image.convert(mode)
    part = (left * x, top * y, right * x, bottom * y)
    return image.resize((size, size), Image.Resampling.BILINEAR, part)


def centre_box(width: int, height: int, part: float = 1.0) -> Box:
    """The square in the middle, of this part of the shorter side."""
    side = part * min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side


def square_across(width: int, height: int, place: float) -> Box:
    """The largest square, from the left or upper end of the picture (0) to the other end (1)."""
    side = min(width, height)
    left, top = place * (width - side), place * (height - side)
    return left, top, left + side, top + side


def random_box(width: int, height: int, smallest: float, numbers: np.random.Generator) -> Box:
    """A part of random area, shape and place.

    Parameters
    ----------
    width, height : int
    smallest : float
        The area is uniformly distributed between this part of the whole and all of it, as far as
        the shape allows; the logarithm of width / height between those of 3/4 and 4/3.
    numbers : Generator

    Notes
    -----
    As in Szegedy et al., Going deeper with convolutions (2015), section 6, and since then in most
    training of residual networks on ImageNet.
    """
    bound = math.log(4 / 3)
    for _ in range(10):
        area = width * height * numbers.uniform(smallest, 1)
        ratio = math.exp(numbers.uniform(-bound, bound))
        across, down = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < across <= width and 0 < down <= height:
            left = int(numbers.integers(width - across + 1))
            top = int(numbers.integers(height - down + 1))
            return left, top, left + across, top + down
    # A long picture: most of its middle.
    across, down = min(width, round(height * 4 / 3)), min(height, round(width * 4 / 3))
    left, top = (width - across) // 2, (height - down) // 2
    return left, top, left + across, top + down
