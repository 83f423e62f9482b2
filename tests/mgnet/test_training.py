"""Training: exact resume, interruption, checkpoints, augmentation."""

import csv
import functools
import os
import signal
from dataclasses import asdict, replace

import pytest
import torch
from torch import nn

from mgnet import MgNet
from mgnet.data import PictureSet, load
from mgnet.optim import Muon
from mgnet.training import (
    CheckpointError,
    Interrupted,
    Recipe,
    Trainer,
    fastest_layout,
)

RECIPE = Recipe(epochs=3, batch_size=128, shift=1, flip=True)


@pytest.fixture(scope="module")
def digits():
    return load("digits")


def trainer(digits, recipe=RECIPE, folder=None, seed=0, **options):
    torch.manual_seed(seed)
    model = MgNet(1, 10, channels=(8, 16), steps=(2, 1))
    return Trainer(model, digits, recipe, folder=folder, progress=False, **options)


def weights(trainer):
    return {name: t.clone() for name, t in trainer.model.state_dict().items()}


def assert_same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


def learned(history):
    """The rows without what the clock says."""
    return [{k: v for k, v in asdict(row).items() if "second" not in k} for row in history]


class StopAt:
    """Raises SIGINT when the trainer has taken a step, as Ctrl-C would."""

    def __init__(self, trainer, epoch, step):
        self.take = trainer._train_step
        self.trainer, self.at = trainer, (epoch, step)

    def __call__(self, batch):
        self.take(batch)
        if (self.trainer.epoch, self.trainer.step) == self.at:
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("optimizer", ["muon", "sgd"])
def test_learning_and_the_log(digits, tmp_path, optimizer):
    recipe = replace(RECIPE, optimizer=optimizer, warmup=0.2, epochs=4, flip=False, sgd_lr=0.3)
    rows = []
    run = trainer(digits, recipe, tmp_path, on_epoch=rows.append)
    history = run.fit()
    assert rows == history == run.history
    assert [row.epoch for row in history] == [1, 2, 3, 4]
    assert history[-1].train_accuracy > 0.8
    assert history[-1].test_accuracy > 0.6
    with (tmp_path / "log.csv").open() as stream:
        logged = list(csv.DictReader(stream))
    assert [float(row["test_accuracy"]) for row in logged] == [r.test_accuracy for r in history]
    assert run.evaluate() == (history[-1].test_loss, history[-1].test_accuracy)
    assert sorted(os.listdir(tmp_path)) == ["checkpoint.pt", "log.csv"]  # no temporary files


@pytest.mark.parametrize(("epoch", "step"), [(0, 3), (1, 11), (2, 1)])
def test_an_interrupted_run_resumes_exactly(digits, tmp_path, epoch, step):
    whole = trainer(digits)
    whole.fit()

    first = trainer(digits, folder=tmp_path)
    first._train_step = StopAt(first, epoch, step)
    with pytest.raises(Interrupted, match=rf"epoch {epoch + 1}, after step {step} of 11; saved in"):
        first.fit()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

    second = trainer(digits, folder=tmp_path, seed=99)
    second.resume(tmp_path)
    history = second.fit()
    assert learned(history) == learned(whole.history)
    assert_same(weights(second), weights(whole))
    with (tmp_path / "log.csv").open() as stream:
        assert len(list(csv.DictReader(stream))) == 3


def test_interruption_without_a_folder_says_that_nothing_was_saved(digits):
    run = trainer(digits)
    run._train_step = StopAt(run, 0, 2)
    with pytest.raises(Interrupted, match="nothing was saved"):
        run.fit()


@pytest.mark.parametrize("precision", ["bfloat16", "float64"])
def test_other_precisions_learn_too(digits, precision):
    run = trainer(digits, replace(RECIPE, precision=precision, channels_last=True, flip=False))
    assert run.fit()[-1].train_accuracy > 0.7


def test_compiled_steps_are_the_same_steps(digits, monkeypatch):
    eager = functools.partial(torch.compile, backend="eager", fullgraph=True)
    monkeypatch.setattr(torch, "compile", eager)
    recipe = replace(RECIPE, epochs=1)
    runs = [trainer(digits, recipe, compile=c) for c in (False, True)]
    for run in runs:
        run.fit()
    assert_same(weights(runs[0]), weights(runs[1]))


def test_a_loss_that_is_not_finite_stops_the_run(digits, tmp_path):
    recipe = replace(RECIPE, optimizer="sgd", sgd_lr=1e30)
    with pytest.raises(ArithmeticError, match="in epoch 1: lower the learning rates"):
        trainer(digits, recipe, tmp_path).fit()
    assert not (tmp_path / "checkpoint.pt").exists()


def test_dropout_resumes_exactly(digits, tmp_path):
    def with_dropout(folder=None):
        torch.manual_seed(0)
        model = MgNet(1, 10, channels=(8, 16), steps=(1, 1), sigma=lambda: nn.Dropout(0.1))
        return Trainer(model, digits, RECIPE, folder=folder, progress=False)

    whole = with_dropout()
    whole.fit()
    first = with_dropout(tmp_path)
    first._train_step = StopAt(first, 1, 4)
    with pytest.raises(Interrupted):
        first.fit()
    second = with_dropout(tmp_path)
    second.resume(tmp_path)
    second.fit()
    assert_same(weights(second), weights(whole))


def test_the_same_seed_gives_the_same_run_and_another_another(digits):
    runs = [trainer(digits, replace(RECIPE, epochs=1, seed=s)) for s in (0, 0, 1)]
    for run in runs:
        run.fit()
    assert_same(weights(runs[0]), weights(runs[1]))
    assert not torch.equal(runs[0].model.head.weight, runs[2].model.head.weight)


def test_a_failed_write_leaves_the_old_checkpoint(digits, tmp_path, monkeypatch):
    run = trainer(digits, replace(RECIPE, epochs=1), tmp_path)
    run.fit()
    before = (tmp_path / "checkpoint.pt").read_bytes()

    def full_disk(*args):
        args[1].write_bytes(b"half a check")
        raise OSError("no space left on device")

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(OSError, match="no space left"):
        run.save()
    assert (tmp_path / "checkpoint.pt").read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["checkpoint.pt", "log.csv"]


# --- checkpoints that do not fit ------------------------------------------------------------------


@pytest.fixture(scope="module")
def checkpoint(digits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    trainer(digits, replace(RECIPE, epochs=1), folder).fit()
    return folder


def test_a_checkpoint_of_another_model(digits, checkpoint):
    other = Trainer(MgNet(1, 10, channels=(8, 12), steps=(2, 1)), digits, RECIPE, progress=False)
    before = weights(other)
    with pytest.raises(
        CheckpointError, match=r"another model: levels.0.Pi.0.weight is \(16, 8, 3, 3\)"
    ):
        other.resume(checkpoint)
    assert_same(weights(other), before)


def test_a_checkpoint_of_another_recipe(digits, checkpoint):
    run = trainer(digits, seed=5)
    before = weights(run)
    with pytest.raises(CheckpointError, match=r"another recipe: epochs 1 \(now 3\)"):
        run.resume(checkpoint)
    assert_same(weights(run), before)


def test_a_checkpoint_of_other_data_or_another_form(digits, checkpoint):
    once = replace(RECIPE, epochs=1)
    with pytest.raises(CheckpointError, match="another data: digits, 1437 .*, letters, 1437"):
        trainer(replace(digits, name="letters"), once).resume(checkpoint)
    other = MgNet(1, 10, channels=(8, 16), steps=(2, 1), form="feature")
    with pytest.raises(CheckpointError, match="another model: form='residual'.* form='feature'"):
        Trainer(other, digits, once, progress=False).resume(checkpoint)


def test_files_that_are_no_checkpoints(digits, tmp_path):
    with pytest.raises(CheckpointError, match="there is no checkpoint"):
        trainer(digits).resume(tmp_path)
    (tmp_path / "checkpoint.pt").write_bytes(b"hello")
    with pytest.raises(CheckpointError, match="is not a checkpoint"):
        trainer(digits).resume(tmp_path)
    torch.save({"weights": torch.ones(3)}, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match="not a checkpoint of a training run"):
        trainer(digits).resume(tmp_path / "other.pt")
    torch.save(5, tmp_path / "number.pt")
    with pytest.raises(CheckpointError, match="not a checkpoint of a training run"):
        trainer(digits).resume(tmp_path / "number.pt")


# --- augmentation ---------------------------------------------------------------------------------


def numbered(n=16, size=6):
    """Pictures whose pixels tell where they were: 10 row + column."""
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    pictures = (10 * rows + columns).to(torch.uint8).expand(n, 2, size, size).clone()
    labels = torch.arange(n) % 2
    return PictureSet("numbered", pictures, labels, pictures, labels, ("a", "b"))


def augmented(epoch=0, step=0, **options):
    recipe = Recipe(batch_size=16, **options)
    model = MgNet(2, 2, channels=4, steps=(1,))
    run = Trainer(model, numbered(), recipe, progress=False)
    run.epoch, run.step = epoch, step
    return run._augmented(torch.arange(16))


def test_without_shift_and_flip_pictures_stay():
    assert torch.equal(augmented(shift=0, flip=False), numbered().train_images)


def test_flips_alternate_from_epoch_to_epoch():
    first, second = (augmented(epoch=e, shift=0) for e in (0, 1))
    original = numbered().train_images
    mirrored = [torch.equal(p, o.flip(-1)) for p, o in zip(first, original, strict=True)]
    assert 0 < sum(mirrored) < 16
    assert torch.equal(second, first.flip(-1))
    assert torch.equal(augmented(epoch=2, shift=0), first)


def test_shifts_are_whole_pixels_reflected_at_the_border():
    seen = set()
    reflected = [2, 1, 0, 1, 2, 3, 4, 5, 4, 3]  # columns -2 ... 7 of a row of six
    for step in range(20):
        for picture in augmented(step=step, shift=2, flip=False):
            row, column = (int(picture[0, 3, 3]) // 10 - 3, int(picture[0, 3, 3]) % 10 - 3)
            seen.add((row, column))
            expected_columns = reflected[2 + column : 8 + column]
            expected_rows = reflected[2 + row : 8 + row]
            assert (picture[0, 0] % 10).tolist() == expected_columns
            assert (picture[1, :, 0] // 10).tolist() == expected_rows
    assert len(seen) == 25


# --- recipes --------------------------------------------------------------------------------------


def test_the_rate_rises_and_falls_linearly():
    recipe = Recipe(warmup=0.2)
    assert recipe.rate(0.0) == 0
    assert recipe.rate(0.1) == pytest.approx(0.5)
    assert recipe.rate(0.2) == 1
    assert recipe.rate(0.6) == pytest.approx(0.5)
    assert Recipe().rate(0.0) == 1


def test_muon_takes_the_kernels_but_the_stem_s(digits):
    run = trainer(digits)
    muon, sgd = run.optimizers
    assert isinstance(muon, Muon)
    turned = {id(p) for group in muon.param_groups for p in group["params"]}
    names = {name for name, p in run.model.named_parameters() if id(p) in turned}
    assert "stem.0.weight" not in names
    assert "levels.0.A.0.weight" in names
    assert "levels.1.A.0.weight" not in names  # it has no gradient in this form
    rest = sum(len(group["params"]) for group in sgd.param_groups)
    assert len(turned) + rest + 1 == len(list(run.model.parameters()))


def test_fastest_layout_times_a_copy(digits):
    run = trainer(digits)
    before = weights(run)
    chosen = fastest_layout(run.model, digits, RECIPE)
    assert chosen.precision in ("bfloat16", "float32")
    assert replace(chosen, precision="float32", channels_last=False) == RECIPE
    assert_same(weights(run), before)


def test_mirrored_scores_are_the_mean_of_both():
    torch.manual_seed(0)
    run = Trainer(
        MgNet(2, 2, channels=4, steps=(1,)), numbered(), Recipe(batch_size=16), progress=False
    )
    pictures = torch.randint(0, 255, (5, 2, 6, 6), dtype=torch.uint8)
    mean = (run.scores(pictures) + run.scores(pictures.flip(-1))) / 2
    torch.testing.assert_close(run.scores(pictures, mirror=True), mean)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda d: Recipe(optimizer="adamw"), "known are 'muon', 'sgd'"),
        (lambda d: Recipe(precision="float16"), "known are 'bfloat16'"),
        (lambda d: Recipe(epochs=0), "epochs must be a whole number, 1 or more"),
        (lambda d: Recipe(epochs=1.5), "epochs must be a whole number"),
        (lambda d: Recipe(warmup=1.0), r"warmup must lie in \[0, 1\)"),
        (lambda d: Recipe(momentum=2), r"momentum must lie in \[0, 1\)"),
        (lambda d: Recipe(sgd_lr=-1), "sgd_lr must be zero or more"),
        (lambda d: trainer(d, Recipe(shift=8)), "shift 8 is not smaller than the pictures"),
        (lambda d: trainer(d, Recipe(batch_size=2000)), "larger than the 1437"),
    ],
)
def test_bad_input(digits, call, message):
    with pytest.raises(ValueError, match=message):
        call(digits)
