"""Picture files as tensors: what is cut out, and what files may hold."""

import sys

import numpy as np
import pytest
import torch
from PIL import Image

from mgnet.decoding import centre_box, random_box, read_picture, square_across


def gradient(width=40, height=30):
    """Red says how far across, green how far down, blue is 100."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return np.stack([x, y, np.full_like(x, 100)], 2).round().astype(np.uint8)


def saved(path, pixels, **options):
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(path, **options)
    return path


def whole(width, height):
    return 0, 0, width, height


def test_every_pixel_stays_where_it_was(tmp_path):
    pixels = gradient(30, 30)
    read = read_picture(saved(tmp_path / "a.png", pixels), 30, whole)
    assert read.dtype == torch.uint8
    assert torch.equal(read, torch.from_numpy(pixels).permute(2, 0, 1))


def test_a_part_is_cut_out_and_resized(tmp_path):
    path = saved(tmp_path / "a.png", gradient(256, 256))
    part = read_picture(path, 8, lambda width, height: (64, 128, 128, 256)).float()
    assert part[0, 0, 0] == pytest.approx(64 + 3.5, abs=1)  # the middle of the first of 8 columns
    assert part[0, 0, -1] == pytest.approx(128 - 4.5, abs=1)
    assert part[1, 0, 0] == pytest.approx(128 + 7.5, abs=1)
    assert part[1, -1, 0] == pytest.approx(256 - 8.5, abs=2)  # nothing lies below


def test_large_jpeg_files_are_decoded_smaller(tmp_path):
    # Smooth, so that what was decoded at a quarter of the size differs by little.
    path = saved(tmp_path / "a.jpg", gradient(1000, 800), quality=95)
    box = 100, 60, 900, 760
    there = Image.open(path)
    there = there.resize((32, 32), Image.Resampling.BILINEAR, box)
    here = read_picture(path, 32, lambda width, height: box)
    difference = here.permute(1, 2, 0).numpy().astype(int) - np.asarray(there)
    assert abs(difference).max() <= 3


def test_pictures_of_all_kinds_become_rgb(tmp_path):
    rgb = Image.fromarray(gradient(16, 16))
    grey = rgb.convert("L")
    alpha = rgb.convert("RGBA")
    alpha.putalpha(77)
    palette = rgb.convert("P", palette=Image.Palette.ADAPTIVE, colors=200)
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    clear = palette.copy()
    clear.info["transparency"] = bytes(range(200))
    files = {
        "a.png": (rgb, 0), "b.png": (grey, 80), "c.png": (alpha, 0), "d.png": (palette, 40),
        "e.tif": (rgb.convert("CMYK"), 2), "f.png": (deep, 80), "g.png": (rgb.convert("1"), 255),
        "h.gif": (palette, 40), "i.webp": (rgb, 60), "j.jpg": (grey, 80), "k.bmp": (rgb, 0),
        "l.png": (clear, 40), "m.jpg": (rgb.convert("CMYK"), 40),
    }  # fmt: skip
    expected = gradient(16, 16).transpose(2, 0, 1).astype(int)
    for name, (image, error) in files.items():
        read = read_picture(saved(tmp_path / name, image), 16, whole)
        assert tuple(read.shape) == (3, 16, 16), name
        if image.mode in ("L", "I;16"):
            assert abs(read[0].numpy().astype(int) - np.asarray(grey)).max() <= 3, name
            assert torch.equal(read[0], read[2])
        else:
            assert abs(read.numpy() - expected).max() <= error, name


def test_one_channel_is_brightness(tmp_path):
    path = saved(tmp_path / "a.png", gradient(16, 16))
    grey = np.asarray(Image.fromarray(gradient(16, 16)).convert("L"))
    read = read_picture(path, 16, whole, channels=1)
    assert torch.equal(read[0], torch.from_numpy(grey.copy()))
    assert read.shape == (1, 16, 16)


def test_a_camera_held_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the first row is the right side
    pixels = gradient(40, 30)
    path = saved(tmp_path / "a.png", pixels, exif=exif)
    seen = []
    read = read_picture(
        path, 30, lambda width, height: seen.append((width, height)) or (0, 0, 30, 30)
    )
    assert seen == [(30, 40)]
    assert read[0, 0, 0] < read[0, -1, 0]  # what was across is down
    assert read[1, 0, 0] > read[1, 0, -1]


def test_files_that_are_no_pictures(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(b"hello")
    with pytest.raises(ValueError, match=r"a\.jpg is no picture, or damaged: replace it"):
        read_picture(path, 8, whole)
    with pytest.raises(ValueError, match=r"b\.jpg cannot be read: No such file"):
        read_picture(tmp_path / "b.jpg", 8, whole)
    noise = np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    for name in ("c.jpg", "c.png", "c.gif", "c.webp", "c.tif", "c.bmp"):
        content = saved(tmp_path / name, noise).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) // 2])
        with pytest.raises(ValueError, match=rf"{name} (cannot be read|is no picture)"):
            read_picture(tmp_path / name, 8, whole)
    saved(tmp_path / "d.tif", np.ones((9, 9), np.float32))
    with pytest.raises(ValueError, match=r"d\.tif cannot be read: it has F pixels of 32 bits"):
        read_picture(tmp_path / "d.tif", 8, whole)


def test_without_pillow(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ValueError, match=r"pip install 'mgcore\[pictures\]'"):
        read_picture(tmp_path / "a.jpg", 8, whole)


@pytest.mark.parametrize(("width", "height"), [(50, 50), (80, 60), (33, 57), (3, 2), (1, 1)])
def test_crops_are_within_the_picture_and_not_too_long(width, height):
    numbers = np.random.default_rng(0)
    for _ in range(300):
        left, top, right, bottom = random_box(width, height, 0.08, numbers)
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height
        if min(width, height) > 20:
            across, down = right - left, bottom - top
            assert across * down >= 0.08 * width * height * 0.85  # as sides are rounded
            assert 0.75 * 0.9 <= across / down <= 4 / 3 * 1.1


def test_areas_places_and_shapes_have_the_right_laws():
    numbers = np.random.default_rng(0)
    side, smallest = 1000, 0.2
    boxes = np.array([random_box(side, side, smallest, numbers) for _ in range(8000)])
    across, down = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    # Up to an area of 3/4 every shape fits into a square; above, some are drawn again.
    area = across * down / side**2
    every = area < 0.75
    assert uniform((area[every] - smallest) / (0.75 - smallest))
    bound = np.log(4 / 3)
    assert uniform((np.log(across / down)[every] + bound) / (2 * bound))
    assert uniform(((boxes[:, 0] + 0.5) / (side - across + 1))[every])
    assert uniform(((boxes[:, 1] + 0.5) / (side - down + 1))[every])
    # Of those above 3/4, the whole picture fits in one shape alone.
    assert 0.05 < (area > 0.75).mean() < 0.25 / 0.8


def uniform(values):
    """Kolmogorov and Smirnov's test for the uniform law on [0, 1], at a level of 1e-3."""
    values = np.sort(values)
    n = len(values)
    i = np.arange(n)
    distance = max((values - i / n).max(), ((i + 1) / n - values).max())
    return distance < 1.95 / n**0.5


def test_long_pictures_give_most_of_their_middle():
    box = random_box(1000, 10, 0.9, np.random.default_rng(0))
    assert box == (493, 0, 506, 10)


def test_the_square_in_the_middle():
    assert centre_box(40, 30) == (5, 0, 35, 30)
    assert centre_box(32, 64, 0.875) == (2, 18, 30, 46)
    assert square_across(40, 30, 0.0) == (0, 0, 30, 30)
    assert square_across(40, 30, 1.0) == (10, 0, 40, 30)
    assert square_across(30, 50, 0.5) == centre_box(30, 50)
