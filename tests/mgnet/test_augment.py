"""Augmentation: which pixels go where, and that parts of a batch see the draws of the whole."""

import numpy as np
import pytest
import torch

from mgnet.augment import Augmentation
from mgnet.recipe import Recipe

COUNT = 16


def numbered(size=6):
    """Pictures whose pixels tell where they were: 10 row + column + 1, the same in two channels."""
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    return (10 * rows + columns + 1).to(torch.uint8).expand(COUNT, 2, size, size).clone()


def mixture(epoch=0, step=0, part=slice(None), examples=None, blank=0, **options):
    examples = numbered() if examples is None else examples
    fill = torch.full((examples.shape[1],), blank, dtype=examples.dtype)
    make = Augmentation(examples, Recipe(**options), fill)
    return make(torch.arange(len(examples)), epoch, step, part)


def augmented(**options):
    return mixture(**options).examples


def test_without_shift_and_flip_pictures_stay():
    assert torch.equal(augmented(shift=0, flip="never"), numbered())


def test_flips_alternate_from_epoch_to_epoch():
    first, second = (augmented(epoch=e, shift=0) for e in (0, 1))
    original = numbered()
    mirrored = [torch.equal(p, o.flip(-1)) for p, o in zip(first, original, strict=True)]
    assert 0 < sum(mirrored) < COUNT
    assert torch.equal(second, first.flip(-1))
    assert torch.equal(augmented(epoch=2, shift=0), first)


def test_random_flips_are_half_of_all():
    flips = 0
    for step in range(40):
        pictures = augmented(step=step, shift=0, flip="random")
        columns = pictures[:, 0, 0]
        flips += int((columns[:, 0] > columns[:, 1]).sum())
    assert abs(flips / (40 * COUNT) - 0.5) < 4 * 0.5 / (40 * COUNT) ** 0.5


def test_shifts_are_whole_pixels_reflected_at_the_border():
    seen = set()
    reflected = [2, 1, 0, 1, 2, 3, 4, 5, 4, 3]  # columns -2 ... 7 of a row of six
    for step in range(20):
        for picture in augmented(step=step, shift=2, flip="never") - 1:
            row, column = (int(picture[0, 3, 3]) // 10 - 3, int(picture[0, 3, 3]) % 10 - 3)
            seen.add((row, column))
            assert (picture[0, 0] % 10).tolist() == reflected[2 + column : 8 + column]
            assert (picture[1, :, 0] // 10).tolist() == reflected[2 + row : 8 + row]
    assert len(seen) == 25


def test_a_zero_border_is_what_padding_and_cropping_gives():
    for step in range(5):
        for picture in augmented(step=step, shift=3, border="zero", flip="never"):
            padded = torch.nn.functional.pad(numbered()[0], (3, 3, 3, 3))
            crops = [padded[:, i : i + 6, j : j + 6] for i in range(7) for j in range(7)]
            assert any(torch.equal(picture, crop) for crop in crops)


def test_cutout_blanks_one_square():
    sizes = set()
    for step in range(20):
        for picture in augmented(step=step, shift=0, flip="never", cutout=3, blank=200):
            rows, columns = (picture[0] == 200).nonzero().T
            box = picture[:, rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
            assert bool((box == 200).all())
            assert box[0].numel() == len(rows)
            sizes.add(tuple(box.shape[1:]))
    assert (3, 3) in sizes
    assert all(1 <= a <= 3 and 1 <= b <= 3 for a, b in sizes)
    assert (2, 3) in sizes  # cut off at a border


def constant(*shape):
    """Examples that are the same everywhere, each another."""
    values = torch.arange(COUNT, dtype=torch.float32) * 10
    return values.view(-1, *[1] * len(shape)).expand(COUNT, *shape).clone()


def test_mixup_is_a_weighted_mean_with_a_partner():
    mixed = mixture(examples=constant(1, 5), shift=0, flip="never", mixup=1.0)
    assert torch.equal(mixed.first, torch.arange(COUNT))
    assert sorted(mixed.second.tolist()) == list(range(COUNT))
    expected = mixed.share * mixed.first * 10 + (1 - mixed.share) * mixed.second * 10
    assert torch.allclose(mixed.examples[:, 0, 0], expected.float())


@pytest.mark.parametrize("shape", [(1, 40), (1, 8, 10), (1, 6, 5, 4)])
def test_cutmix_gives_a_box_of_the_partner_and_its_share(shape):
    shares = []
    for step in range(10):
        mixed = mixture(examples=constant(*shape), shift=0, flip="never", cutmix=1.0, step=step)
        own = mixed.examples == mixed.first.view(-1, *[1] * len(shape)) * 10
        partner = mixed.examples == mixed.second.view(-1, *[1] * len(shape)) * 10
        assert bool((own | partner).all())
        other = mixed.first != mixed.second
        assert own[other].float().mean().item() == pytest.approx(mixed.share)
        shares.append(mixed.share)
    assert len(set(shares)) > 5


def test_of_two_mixtures_each_batch_takes_one():
    options = {"shift": 0, "flip": "never", "mixup": 1.0, "cutmix": 1.0}
    blended = [
        bool((mixture(examples=constant(1, 40), step=s, **options).examples % 10 != 0).any())
        for s in range(40)
    ]
    assert 8 <= sum(blended) <= 32


def test_shares_follow_the_law_beta():
    shares = [
        mixture(examples=constant(1, 5), step=s, shift=0, flip="never", mixup=0.4).share
        for s in range(2000)
    ]
    assert np.mean(shares) == pytest.approx(0.5, abs=0.03)
    assert np.var(shares) == pytest.approx(1 / (4 * (2 * 0.4 + 1)), rel=0.1)


@pytest.mark.parametrize("options", [{}, {"mixup": 0.5}, {"cutmix": 1.0}, {"flip": "random"}])
def test_parts_of_a_batch_are_parts_of_the_same_draws(options):
    options = {"shift": 2, "cutout": 2, **options}
    whole = mixture(epoch=3, step=5, **options)
    parts = [mixture(epoch=3, step=5, part=p, **options) for p in (slice(0, 6), slice(6, 16))]
    for k in range(3):
        assert torch.equal(torch.cat([part[k] for part in parts]), whole[k])


def test_the_examples_themselves_never_change():
    examples = numbered()
    for step in range(5):
        mixture(examples=examples, step=step, shift=2, cutout=2, cutmix=1.0, border="zero")
    assert torch.equal(examples, numbered())


@pytest.mark.parametrize("shape", [(1, 9), (2, 5, 6), (1, 4, 5, 6)])
def test_series_pictures_and_volumes(shape):
    examples = torch.arange(COUNT * np.prod(shape)).view(COUNT, *shape).float()
    changed = augmented(examples=examples, shift=1)
    assert changed.shape == examples.shape
    assert set(changed[0].unique().tolist()) <= set(examples[0].unique().tolist())
    flipped = augmented(examples=examples, shift=0)
    same = [torch.equal(a, b) for a, b in zip(flipped, examples, strict=True)]
    mirror = [torch.equal(a, b.flip(-1)) for a, b in zip(flipped, examples, strict=True)]
    assert all(a != b for a, b in zip(same, mirror, strict=True))


@pytest.mark.parametrize("options", [{"shift": 6}, {"shift": 0, "cutout": 7}])
def test_what_is_larger_than_the_pictures(options):
    with pytest.raises(ValueError, match=r"is not smaller than the examples, \(6, 6\)"):
        augmented(**options)
