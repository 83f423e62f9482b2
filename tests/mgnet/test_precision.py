"""Precision and layout follow from the processor, not from the clock."""

from pathlib import Path

import pytest
import torch

from mgnet import precision
from mgnet.recipe import Recipe

CPU = torch.device("cpu")


def with_flags(monkeypatch, flags, machine="x86_64"):
    monkeypatch.setattr(Path, "read_text", lambda self: f"flags : fpu {flags}\n")
    monkeypatch.setattr(precision.platform, "machine", lambda: machine)


@pytest.mark.parametrize(
    ("flags", "machine", "expected"),
    [
        ("avx512f avx512_bf16", "x86_64", "bfloat16"),
        ("amx_bf16 amx_tile", "x86_64", "bfloat16"),
        ("avx2 fma", "x86_64", "float32"),
        ("avx512f", "x86_64", "float32"),
        ("asimd bf16", "aarch64", "bfloat16"),
        ("asimd", "aarch64", "float32"),
    ],
)
def test_bfloat16_where_the_processor_multiplies_it(monkeypatch, flags, machine, expected):
    with_flags(monkeypatch, flags, machine)
    recipe, words = precision.resolved(Recipe(), CPU, 2)
    assert (recipe.precision, recipe.layout) == (expected, "channels_last")
    assert words.startswith(f"{expected}, channels last: ")


def test_without_a_list_of_flags_float32(monkeypatch):
    def missing(self):
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", missing)
    assert precision.resolved(Recipe(), CPU, 2)[0].precision == "float32"


def test_what_is_asked_for_stays():
    asked = Recipe(precision="float64", layout="contiguous")
    assert precision.resolved(asked, CPU, 2) == (asked, "float64, contiguous")
    # The reason is one for a precision.
    words = precision.resolved(Recipe(precision="float64"), CPU, 2)[1]
    assert words == "float64, channels last"


def test_series_have_one_layout():
    assert precision.resolved(Recipe(), CPU, 1)[0].layout == "contiguous"
    recipe = Recipe(layout="channels_last")
    with pytest.raises(ValueError, match="'channels_last' is for pictures and volumes"):
        precision.resolved(recipe, CPU, 1)
    assert precision.memory_format(recipe, 3) == torch.channels_last_3d
