"""Recipes: rates, limits, presets, and a docstring that lists what there is."""

import dataclasses

import numpy as np
import pytest

from mgnet.recipe import PRESETS, Recipe


def test_the_rate_rises_and_falls_linearly():
    recipe = Recipe(warmup=0.2)
    assert recipe.rate(0.0) == 0
    assert recipe.rate(0.1) == pytest.approx(0.5)
    assert recipe.rate(0.2) == 1
    assert recipe.rate(0.6) == pytest.approx(0.5)
    assert Recipe().rate(0.0) == 1


def test_the_rate_of_a_cosine():
    recipe = Recipe(schedule="cosine", warmup=0.5)
    assert recipe.rate(0.25) == pytest.approx(0.5)
    assert recipe.rate(0.5) == 1
    assert recipe.rate(0.75) == pytest.approx(0.5)
    assert recipe.rate(1 - 1e-9) == pytest.approx(0, abs=1e-12)


def test_the_published_rate_is_a_tenth_every_fifty_epochs():
    recipe, steps = PRESETS["published"], 390
    rates = [recipe.rate(epoch * steps / (300 * steps)) for epoch in range(300)]
    assert rates == pytest.approx([0.1 ** (epoch // 50) for epoch in range(300)], rel=1e-12)
    assert recipe.rate((50 * steps - 1) / (300 * steps)) == 1


def test_numpy_numbers_become_plain_ones():
    recipe = Recipe(epochs=np.int64(3), lr=np.float32(0.25), sgd_lr=1, nesterov=np.bool_(False))
    kinds = {type(getattr(recipe, field.name)) for field in dataclasses.fields(recipe)}
    assert kinds == {int, float, str, bool}
    assert recipe == Recipe(epochs=3, lr=0.25, sgd_lr=1.0, nesterov=False)


def test_without_momentum_there_is_none_of_nesterov_s():
    assert not Recipe(sgd_momentum=0).nesterov


def test_the_docstring_lists_every_field():
    for field in dataclasses.fields(Recipe):
        assert f"\n{field.name} : " in Recipe.__doc__


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimizer": "adamw"}, "unknown optimizer 'adamw'; known are 'muon', 'sgd'"),
        ({"precision": "int8"}, "known are 'auto', 'bfloat16'"),
        ({"flip": "no"}, "unknown flip 'no'; known are 'alternate', 'random', 'never'"),
        ({"epochs": 0}, "epochs must be a whole number, 1 or more, got 0"),
        ({"epochs": 1.5}, "epochs must be a whole number"),
        ({"epochs": True}, "epochs must be a whole number"),
        ({"optimizer": "sgd", "lr": 5.0}, "lr=5.0 would do nothing.*rate of SGD is sgd_lr"),
        ({"warmup": 1.0}, "warmup must be a number, 0 or more and below 1, got 1.0"),
        ({"momentum": 2}, "momentum must be a number, 0 or more and below 1"),
        ({"momentum": "much"}, "momentum must be a number"),
        ({"lr": float("nan")}, "lr must be a number, 0 or more"),
        ({"lr": float("inf")}, "lr must be a number, 0 or more"),
        ({"sgd_lr": -1}, "sgd_lr must be a number, 0 or more, got -1"),
        ({"seed": 2**32}, "seed must be a whole number, 0 or more and below"),  # would be seed 0
        ({"nesterov": "yes"}, "nesterov must be True or False, got 'yes'"),
        ({"batch_size": 250, "accumulate": 4}, "batch_size 250 cannot be run in 4 equal parts"),
    ],
)
def test_what_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        Recipe(**options)
