"""The zoo: every entry builds, and has the published size, or the table says that it has not."""

import pathlib

import pytest
import torch

import mgnet
from mgnet import table
from mgnet.baselines import BASELINES
from mgnet.cost import count_parameters
from mgnet.zoo import LECTURE_SETS, ZOO, Result

ROOT = pathlib.Path(__file__).parents[2]

# Published figures that are not the size of what can be built, and what the note says of them.
DIFFERENT = {
    ("preact-resnet18", "CIFAR-10", "10.2M"): "ResNet-1001",
    ("resnet18-imagenet", "ImageNet", "11.2M"): "without the head",
    ("resnet18-hat-imagenet", "ImageNet", "11.2M"): "without the head",
    ("resnet-pulse", "pulse", "232,642"): "cannot be reconciled",
    ("mgnet-shared", "CIFAR-10", "3.1M"): "cannot be reconciled",
    ("mgnet-shared", "CIFAR-100", "5.7M"): "cannot be reconciled",
    ("mgnet-hat", "CIFAR-10", "3.1M"): "cannot be reconciled",
    ("mgnet-hat", "CIFAR-100", "5.7M"): "cannot be reconciled",
} | {
    (f"{kind}resnet{layers}-{shared}", "CIFAR-10", count): "with 100 classes"
    for kind in ("", "preact-")
    for layers, shared, count in ((18, "B", "9.7M"), (18, "AB", "6.6M"), (34, "AB", "6.7M"))
}


@pytest.mark.parametrize("name", ZOO)
def test_sizes_are_those_published_or_marked(name):
    entry = ZOO[name]
    assert entry.name == name
    for result in entry.results or (Result(entry.data),):
        parameters, operations = table.cost(name, result.data)  # builds it, and runs it on meta
        assert parameters > 0
        assert operations > 0
        why = DIFFERENT.get((name, result.data, result.parameters))
        assert result.agrees(parameters) == (why is None)
        assert why is None or why in result.note
        shown = table.row(entry, result)[3]
        assert shown == result.parameters + " (differs)" * (why is not None)


def test_every_known_difference_is_in_the_zoo():
    published = {(n, r.data, r.parameters) for n, entry in ZOO.items() for r in entry.results}
    assert published >= DIFFERENT.keys()


@pytest.mark.parametrize(
    ("name", "data", "count"),
    [
        ("logistic-regression", "MNIST", 7_850),
        ("one-hidden-layer", "MNIST", 795_010),
        ("lenet-5", "MNIST", 61_706),
        ("alexnet", "ImageNet", 61_100_840),
        ("resnet18", "CIFAR-10", 11_173_962),
        ("resnet18-AB", "CIFAR-100", 6_575_268),
        ("resnet34-B", "CIFAR-100", 14_766_500),
        ("resnet34-imagenet", "ImageNet", 21_797_672),
        ("mgnet-256", "CIFAR-100", 8_301_924),
        ("mgnet-1024", "CIFAR-100", 132_297_828),
        ("mgnet-imagenet", "ImageNet", 13_030_696),
        ("mgnet-imagenet-wide", "ImageNet", 71_270_504),
        ("mgnet-hat-imagenet", "ImageNet", 9_897_256),
        ("mgnet-narrow", "CIFAR-10", 2_349_994),
        ("mgnet-pulse", "pulse", 3_450),
        ("mgnet-hat-trained", "CIFAR-10", 9_381_706 + 4),
    ],
)
def test_exact_sizes(name, data, count):
    assert table.cost(name, data)[0] == count


def test_a_printed_count_is_rounded_or_cut_off():
    assert Result("MNIST", parameters="8.2M").agrees(8_278_794)  # cut off
    assert Result("MNIST", parameters="8.3M").agrees(8_278_794)  # rounded
    assert not Result("MNIST", parameters="8.4M").agrees(8_278_794)
    assert not Result("MNIST", parameters="8.1M").agrees(8_278_794)
    assert Result("MNIST", parameters="11M").agrees(11_220_132)
    assert not Result("MNIST", parameters="12M").agrees(11_220_132)
    assert Result("MNIST", parameters="3,450").agrees(3_450)
    assert not Result("MNIST", parameters="3,450").agrees(3_451)
    assert Result("MNIST").agrees(1)


def test_build():
    with torch.device("meta"):
        default = mgnet.build("mgnet-64")
        other = mgnet.build("mgnet-64", num_classes=7, in_channels=1)
    assert count_parameters(default) == 521_418
    assert count_parameters(other) == 521_418 - 3 * 65 - 2 * 9 * 64
    net = mgnet.build("mgnet-pulse", in_channels=2)
    assert net(torch.randn(3, 2, 64)).shape == (3, LECTURE_SETS["pulse"].classes)
    # Two networks of one name share nothing, their trained supports included.
    with torch.device("meta"):
        first, second = (set(mgnet.build("mgnet-hat-trained").parameters()) for _ in range(2))
    assert not first & second


def test_options_override_those_of_the_entry():
    with torch.device("meta"):
        net = mgnet.build("resnet18-A", channels=(16, 32, 64, 128))
        assert net.stages[1][0].correction[2].weight.shape == (32, 32, 3, 3)
        assert net.stages[1][0].correction[2] is net.stages[1][1].correction[2]  # A still shared
        short = mgnet.build("mgnet-64", steps=(3, 3), form="feature")
        assert short.channels == (64, 64)
        assert [visit.steps for visit in short.cycle] == [3, 3]
        assert mgnet.build("mgnet-64", channels=8).channels == (8,) * 4
        hidden = mgnet.build("one-hidden-layer", 7, 3, width=5)
        assert hidden.hidden.weight.shape == (5, 3 * 28 * 28)
        assert mgnet.build("logistic-regression", picture=(1, 8, 8)).head.weight.shape == (10, 64)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("mgnet-64", {"chanels": 8}, "mgnet-64 has no option chanels; it knows .*channels, steps"),
        ("lenet-5", {"steps": 1, "dim": 2}, "no option steps, dim; it knows in_channels, num_clas"),
        ("logistic-regression", {"stem": "small"}, "it knows picture, num_classes$"),
        ("mgnet-hat", {"steps": (2, 2), "channels": 8}, "one entry for each level, got 4 for 2"),
    ],
)
def test_options_that_a_network_does_not_know(name, options, message):
    with pytest.raises(ValueError, match=message):
        mgnet.build(name, **options)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet-18", r"unknown network 'resnet-18'; near are resnet18, .*`python -m mgnet` lists"),
        ("MgNet256", "near are mgnet-256"),
        ("mgnet-64-own-b", "near are mgnet-64-own-B"),
        ("zzz", "unknown network 'zzz'; `python -m mgnet` lists all"),
        ("svm-gaussian", r"model of scikit-learn, no network: mgnet.baselines.evaluate\('svm-gau"),
        ("svm-gausian", "near are svm-gaussian"),
        (["mgnet-64"], r"unknown network \['mgnet-64'\]"),
    ],
)
def test_unknown_names(name, message):
    with pytest.raises(ValueError, match=message):
        mgnet.build(name)


@pytest.mark.parametrize("shared", ["", "-A", "-B", "-AB"])
@pytest.mark.parametrize("base", ["resnet18", "preact-resnet18", "resnet34", "preact-resnet34"])
def test_all_forms_come_for_large_pictures_too(base, shared):
    small, large = f"{base}{shared}", f"{base}{shared}-imagenet"
    assert ZOO[large].structure == f"{ZOO[small].structure}, large stem"
    with torch.device("meta"):
        counts = [count_parameters(mgnet.build(name, 1000)) for name in (small, large)]
    assert counts[1] - counts[0] == 64 * 3 * (7**2 - 3**2)  # theta is all that differs


def test_what_is_ours_is_documented():
    measured = [(name, r) for name, entry in ZOO.items() for r in entry.results if r.ours]
    sections = (ROOT / "docs" / "results.md").read_text(encoding="utf-8").split("\n## ")
    for name, result in measured:
        told = (result.command, f" {result.ours} %", f" {table.cost(name, result.data)[0]:,} ")
        assert any(all(words in section for words in told) for section in sections), name
    assert {name for name, _ in measured} == {
        "mgnet-pooled", "mgnet-fast", "mgnet-narrow", "one-hidden-layer", "lenet-5",
    }  # fmt: skip


def test_what_is_ours_comes_with_a_command():
    for entry in (*BASELINES.values(), *ZOO.values()):
        for result in entry.results:
            assert bool(result.ours) == bool(result.command)


def test_the_table():
    rows, _, commands = table.table().split("\n\n")
    header, *rows = rows.splitlines()
    assert header.split("  ")[0] == "name"
    entries = [*BASELINES.values(), *ZOO.values()]
    assert len(rows) == sum(max(1, len(entry.results)) for entry in entries)
    (row,) = (row for row in rows if row.startswith("mgnet-1024"))
    cells = [cell.strip() for cell in row.split("  ") if cell.strip()]
    assert cells == [
        "mgnet-1024", "CIFAR-100", "132,297,828", "132.2M", "57.6 G", "82.46",
        "[2,2,2,2], 1024, A and B shared",
    ]  # fmt: skip
    assert header.split()[5:9] == ["accuracy", "%", "ours", "%"]
    (row,) = (row for row in rows if row.startswith("mgnet-narrow"))
    assert "91.49" in row
    assert commands.splitlines()[1:] == [
        "  python -m mgnet.baselines mnist", f"    {', '.join(BASELINES)}",
        "  python examples/reproduce.py --data DIR --tables mnist --compile",
        "    one-hidden-layer, lenet-5",
        "  OMP_NUM_THREADS=1 torchrun --nproc-per-node=2 examples/train_cifar.py --compile "
        "--epochs 40 --cutout 8 --sigma gelu", "    mgnet-pooled",
        "  python examples/train_cifar.py --network mgnet-fast --epochs 24 --cutout 8 --compile",
        "    mgnet-fast",
        "  python examples/reproduce.py --data DIR --tables sizes --compile", "    mgnet-narrow",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "size", "operations"),
    [
        ("logistic", "7,850", "7.84 K"),
        ("svm-linear", "7,850", "7.84 K"),
        ("svm-gaussian", "-", "-"),
    ],
)
def test_baselines_are_in_the_table(name, size, operations):
    entry = BASELINES[name]
    for result in entry.results:
        row = dict(zip(table.HEADER, table.baseline_row(entry, result), strict=True))
        assert (row["name"], row["data"], row["parameters"]) == (name, "MNIST", size)
        assert row["multiply-adds"] == operations
        assert (row["accuracy %"], row["ours %"]) == (result.accuracy, result.ours)
        assert row["note"].startswith("scikit-learn")


def test_what_is_ours_of_the_baselines_is_documented():
    results = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    assert "python -m mgnet.baselines mnist" in results
    for name, entry in BASELINES.items():
        (result,) = entry.results
        assert result.command == "python -m mgnet.baselines mnist"
        (line,) = (line for line in results.splitlines() if line.startswith(f"| `{name}` |"))
        assert f"| {result.ours} |" in line


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (999, "999"), (1000, "1 K"), (999_499, "999 K"), (999_500, "1 M"), (999_600, "1 M"),
        (1_234_567, "1.23 M"), (999_700_000, "1 G"), (4.6e9, "4.6 G"),
    ],
)  # fmt: skip
def test_large_numbers_have_three_digits(number, text):
    assert table._short(number) == text


def test_sizes_to_draw_are_those_that_agree():
    sizes = table.published_sizes("CIFAR-100")
    assert (8_301_924, 0.7994) in sizes["MgNet"]
    assert (132_297_828, 0.8246) in [(n, round(a, 4)) for n, a in sizes["MgNet"]]
    # Published as 5.7M, which no network that is described has.
    assert not any(round(a, 4) == 0.7754 for n, a in sizes.get("hat MgNet", []))
    assert all(0 < a < 1 for pairs in sizes.values() for _, a in pairs)
