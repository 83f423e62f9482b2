"""Training: exact resume, interruption, checkpoints, augmentation."""

import csv
import errno
import functools
import io
import json
import os
import re
import signal
import sys
from contextlib import contextmanager
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from steps import After, stop_at
from torch import nn

import mgnet
from mgnet import MgNet, training
from mgnet.checkpoint import read_checkpoint
from mgnet.classifier import Classifier, Normalise
from mgnet.data import load
from mgnet.folder import claimed
from mgnet.optim import Muon
from mgnet.seeds import generator, hashed
from mgnet.training import (
    CheckpointError,
    DivergenceError,
    FolderError,
    Interrupted,
    Recipe,
    Trainer,
    saved_recipe,
)

RECIPE = Recipe(epochs=3, batch_size=128, shift=1, lr=0.24, precision="float32")
BEGUN = [".lock", "run.json"]
FILES = [".lock", "checkpoint.pt", "log.csv", "run.json"]
FINISHED = sorted([*FILES, "curve.png", "weights.safetensors"])


@pytest.fixture(scope="module")
def digits():
    return load("digits")


def trainer(digits, recipe=RECIPE, folder=None, seed=0, **options):
    torch.manual_seed(seed)
    model = MgNet(1, 10, channels=(8, 16), steps=(2, 1))
    return Trainer(model, digits, recipe, folder=folder, progress=False, **options)


@pytest.fixture(scope="module")
def whole(digits):
    """A run of RECIPE that nothing happened to."""
    run = trainer(digits)
    run.fit()
    return run


def weights(trainer):
    return {name: t.clone() for name, t in trainer.model.state_dict().items()}


def assert_same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


def learned(history):
    """The rows without what the clock says."""
    return [(row.epoch, row.train, row.test) for row in history]


def spoil_at(trainer, epoch, step, value=float("nan")):
    """A weight that is no number after a step, whose loss came before."""
    weight = trainer.model.network.head.weight
    action = lambda: weight.data[0, 0].fill_(value)  # noqa: E731
    trainer._train_step = After(trainer, epoch, step, action)


@pytest.mark.parametrize("optimizer", ["muon", "sgd"])
def test_learning_and_the_log(digits, tmp_path, optimizer):
    lr = RECIPE.lr if optimizer == "muon" else Recipe.lr
    recipe = replace(
        RECIPE, optimizer=optimizer, lr=lr, warmup=0.2, epochs=4, flip="never", sgd_lr=0.3
    )
    rows = []
    run = trainer(digits, recipe, tmp_path, on_epoch=rows.append)
    history = run.fit()
    assert rows == history == run.history
    assert [row.epoch for row in history] == [1, 2, 3, 4]
    assert history[-1].train["accuracy"] > 0.8
    assert history[-1].test["accuracy"] > 0.6
    with (tmp_path / "log.csv").open() as stream:
        logged = list(csv.DictReader(stream))
    assert [float(row["test_accuracy"]) for row in logged] == [r.test["accuracy"] for r in history]
    assert run.evaluate() == history[-1].test
    assert sorted(os.listdir(tmp_path)) == FINISHED  # no temporary ones


@pytest.mark.parametrize(
    ("epoch", "step", "number"),
    [*((*where, signal.SIGINT) for where in [(0, 3), (1, 11), (2, 1)]), (1, 11, signal.SIGTERM)],
)
def test_an_interrupted_run_resumes_exactly(digits, whole, tmp_path, epoch, step, number):
    first = trainer(digits, folder=tmp_path)
    stop_at(first, epoch, step, number)
    with pytest.raises(Interrupted, match=rf"epoch {epoch + 1}, after step {step} of 11; saved in"):
        first.fit()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL

    second = trainer(digits, folder=tmp_path, seed=99)
    second.resume(tmp_path)
    history = second.fit()
    assert learned(history) == learned(whole.history)
    assert_same(weights(second), weights(whole))
    with (tmp_path / "log.csv").open() as stream:
        assert len(list(csv.DictReader(stream))) == 3


def test_a_finished_run_that_lacks_a_row_of_its_log_gets_it(digits, tmp_path):
    recipe = replace(RECIPE, epochs=2)
    trainer(digits, recipe, tmp_path).fit()
    whole = (tmp_path / "log.csv").read_text()
    (tmp_path / "log.csv").write_text("".join(whole.splitlines(keepends=True)[:-1]))
    again = trainer(digits, recipe, tmp_path)
    again.resume(tmp_path)
    again.fit()
    assert (tmp_path / "log.csv").read_text() == whole


def test_a_log_without_its_checkpoint_is_left_alone(digits, tmp_path):
    (tmp_path / "log.csv").write_text("epoch\n1\n")
    with pytest.raises(CheckpointError, match="belongs to a run whose checkpoint is gone"):
        trainer(digits, folder=tmp_path).fit()
    assert (tmp_path / "log.csv").read_text() == "epoch\n1\n"


def test_interruption_without_a_folder_says_that_nothing_was_saved(digits):
    run = trainer(digits)
    stop_at(run, 0, 2)
    with pytest.raises(Interrupted, match="nothing was saved"):
        run.fit()


def test_a_second_signal_acts_as_usual(digits, tmp_path):
    run = trainer(digits, folder=tmp_path)

    def twice():
        signal.raise_signal(signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        signal.raise_signal(signal.SIGINT)

    run._train_step = After(run, 0, 2, twice)
    with pytest.raises(KeyboardInterrupt) as raised:
        run.fit()
    assert not isinstance(raised.value, Interrupted)
    assert sorted(os.listdir(tmp_path)) == BEGUN


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("epoch", "where"), [(1, "in epoch 2, after step 0 of 11"), (3, "after the last epoch")]
)
def test_a_signal_while_an_epoch_is_saved_waits_and_counts(
    digits, tmp_path, monkeypatch, number, epoch, where
):
    run = trainer(digits, folder=tmp_path)
    replace_file = os.replace

    def interrupted(source, target):
        if run.epoch == epoch and target.name == "checkpoint.pt" and not sent:
            sent.append(number)
            signal.raise_signal(number)
        replace_file(source, target)

    sent = []
    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(Interrupted, match=f"interrupted {where}; saved in"):
        run.fit()
    assert read_checkpoint(tmp_path)[1]["epoch"] == epoch
    assert sorted(os.listdir(tmp_path)) == FILES


def test_jobs_in_the_background_go_on_ignoring_ctrl_c(digits, tmp_path):
    run = trainer(digits, replace(RECIPE, epochs=1))
    stop_at(run, 0, 2)
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert len(run.fit()) == 1
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, previous)


@pytest.mark.parametrize(
    "options",
    [
        {"accumulate": 4},
        {"clip": 0.5},
        {"ema": 0.8},
        {"mixup": 0.2},
        {"cutmix": 1.0},
        {"cutout": 3},
        {"optimizer": "sgd", "schedule": "steps", "step_epochs": 2, "decay": "all"},
        {"schedule": "cosine", "border": "zero", "flip": "random"},
    ],
)
def test_every_option_trains_and_resumes_exactly(digits, whole, tmp_path, options):
    sgd = options.get("optimizer") == "sgd"
    recipe = replace(RECIPE, lr=Recipe.lr if sgd else RECIPE.lr, **options)
    without, whole = whole, trainer(digits, recipe)
    assert whole.fit()[-1].train["loss"] < whole.history[0].train["loss"]
    assert learned(whole.history) != learned(without.history)
    first = trainer(digits, recipe, tmp_path)
    stop_at(first, 1, 4)
    with pytest.raises(Interrupted):
        first.fit()
    second = trainer(digits, recipe, tmp_path, seed=9)
    second.resume(tmp_path)
    assert learned(second.fit()) == learned(whole.history)
    assert_same(second.trained.state_dict(), whole.trained.state_dict())


def test_a_batch_in_parts_gives_the_same_gradient(digits):
    def gradient(accumulate):
        recipe = replace(RECIPE, accumulate=accumulate, epochs=1, precision="float64")
        torch.manual_seed(0)
        model = MgNet(1, 10, channels=(8, 16), steps=(2, 1), norm=False)
        run = Trainer(model, digits, recipe, progress=False)
        run._update = lambda: None
        run._train_step(next(run.task.batches(run._plan())))
        return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])

    torch.testing.assert_close(gradient(4), gradient(1), rtol=1e-10, atol=1e-14)


def test_clipping_bounds_the_gradient(digits):
    run = trainer(digits, replace(RECIPE, clip=0.01, optimizer="sgd", lr=Recipe.lr))
    run._update, update = (lambda: None), run._update
    run._train_step(next(run.task.batches(run._plan())))
    gradients = [p.grad for p in run.model.parameters() if p.grad is not None]
    assert sum(g.square().sum() for g in gradients).sqrt() > 0.1
    for optimizer in run.optimizers:
        optimizer.step = lambda: None
        optimizer.zero_grad = lambda set_to_none: None
    update()
    norm = sum(p.grad.square().sum() for p in run.model.parameters() if p.grad is not None).sqrt()
    assert norm == pytest.approx(0.01, rel=1e-3)


def test_a_device_without_float64_measures_too(digits):
    run = trainer(digits)
    expected = run.evaluate()
    # Whatever is made on this device has no values; MPS makes no float64 at all.
    run.device = torch.device("meta")
    assert run.evaluate() == expected


def test_averaged_weights_follow_by_hand(digits):
    run = trainer(digits, replace(RECIPE, ema=0.7, epochs=1))
    steps = iter(run.task.batches(run._plan()))
    name = "network.head.weight"
    run._train_step(next(steps))
    by_hand = run.model.state_dict()[name].clone()  # the first weights are the first average
    for _ in range(4):
        run._train_step(next(steps))
        by_hand = 0.7 * by_hand + 0.3 * run.model.state_dict()[name]
    torch.testing.assert_close(run.trained.state_dict()[name], by_hand)


def test_training_leaves_torch_s_own_random_numbers_alone(digits):
    torch.manual_seed(5)
    expected = torch.rand(3)
    run = trainer(digits, replace(RECIPE, epochs=1))
    torch.manual_seed(5)
    run.fit()
    assert torch.equal(torch.rand(3), expected)


def test_trained_supports_are_logged(digits, tmp_path):
    model = MgNet(1, 10, channels=4, steps=(1, 1), sigma="hat-2-trained", share_sigma=True)
    run = Trainer(model, digits, replace(RECIPE, epochs=2), folder=tmp_path, progress=False)
    history = run.fit()
    with (tmp_path / "log.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    names = [name for name in rows[0] if name.endswith("support")]
    assert len(names) == 2
    for name in names:
        values = [float(row[name]) for row in rows]
        assert values[0] != values[1]
        assert values == [row.watched[name] for row in history]
    assert model.levels[1].before[0][1].support.item() == pytest.approx(values[-1])


def test_tensorboard_reads_the_log(digits, tmp_path):
    event_accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator"
    )
    history = trainer(digits, replace(RECIPE, epochs=2), tmp_path, tensorboard=True).fit()
    events = event_accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    logged = [event.value for event in events.Scalars("test/accuracy")]
    assert logged == pytest.approx([row.test["accuracy"] for row in history])


def test_a_refused_run_writes_nothing_for_tensorboard_either(digits, tmp_path):
    pytest.importorskip("tensorboard")
    trainer(digits, replace(RECIPE, epochs=1), tmp_path).fit()
    with pytest.raises(CheckpointError, match="holds another run"):
        trainer(digits, folder=tmp_path, tensorboard=True).fit()
    assert sorted(os.listdir(tmp_path)) == FINISHED


def test_what_a_run_was_computed_with_is_kept(digits, tmp_path):
    run = trainer(digits, folder=tmp_path)
    stop_at(run, 0, 2)
    with pytest.raises(Interrupted):
        run.fit()
    again = trainer(digits, folder=tmp_path)
    again.resume(tmp_path)
    again.fit()
    about = json.loads((tmp_path / "run.json").read_text())
    assert about["recipe"] == asdict(run.recipe)
    assert about["data"] == "digits, 1437 examples"
    assert about["record"]["network"] == "MgNet"
    assert len(about["sessions"]) == 2
    assert about["sessions"][0]["versions"]["torch"] == torch.__version__


@pytest.mark.parametrize("precision", ["bfloat16", "float16", "float64"])
def test_other_precisions_learn_too(digits, precision):
    run = trainer(
        digits, replace(RECIPE, precision=precision, layout="channels_last", flip="never")
    )
    seen = set()
    A = next(m for m in run.model.modules() if isinstance(m, nn.Conv2d))
    A.register_forward_hook(lambda module, inputs, output: seen.add(output.dtype))
    assert run.fit()[-1].train["accuracy"] > 0.7
    assert seen == {getattr(torch, precision)}


@pytest.mark.parametrize("terminal", [True, False])
def test_a_bar_is_for_terminals(digits, monkeypatch, terminal):
    class Stream(io.StringIO):
        def isatty(self):
            return terminal

    monkeypatch.setattr(sys, "stderr", Stream())
    torch.manual_seed(0)
    run = Trainer(MgNet(1, 10, channels=4, steps=(1,)), digits, replace(RECIPE, epochs=2))
    run.fit()
    said = sys.stderr.getvalue()
    assert ("epoch 2/2" in said and "/11 [" in said) == terminal
    assert terminal or not said


def test_compiled_steps_are_the_same_steps(digits, monkeypatch):
    eager = functools.partial(torch.compile, backend="eager", fullgraph=True)
    monkeypatch.setattr(torch, "compile", eager)
    recipe = replace(RECIPE, epochs=1)
    runs = [trainer(digits, recipe, compile=c) for c in (False, True)]
    for run in runs:
        run.fit()
    assert_same(weights(runs[0]), weights(runs[1]))


def test_a_loss_that_is_not_finite_stops_a_long_epoch(digits, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "CHECKED", 3)
    run = trainer(digits, folder=tmp_path)
    spoil_at(run, 0, 4, float("nan"))
    with pytest.raises(DivergenceError, match="the loss is not finite in epoch 1: lower"):
        run.fit()
    assert run.step == 6
    assert sorted(os.listdir(tmp_path)) == BEGUN


def test_what_cannot_be_trained_with(digits):
    network = MgNet(1, 10, channels=4, steps=(1,))
    for arguments, message in (
        ((network, digits.train_images, RECIPE), "data must be a PictureSet or a Task, got Tensor"),
        ((network, digits, {"epochs": 3}), "recipe must be a Recipe, got dict"),
        (("mgnet-64", digits, RECIPE), "model must be a Module, got str"),
    ):
        with pytest.raises(ValueError, match=message):
            Trainer(*arguments)


def test_a_loss_that_is_not_finite_stops_the_run(digits, tmp_path):
    recipe = replace(RECIPE, optimizer="sgd", lr=Recipe.lr, sgd_lr=1e30)
    message = r"in epoch 1: lower the learning rates \(sgd_lr 1e\+30\); there is no check"
    with pytest.raises(DivergenceError, match=message):
        trainer(digits, recipe, tmp_path).fit()
    assert sorted(os.listdir(tmp_path)) == BEGUN


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("interrupted", [False, True])
def test_weights_that_are_not_finite_never_replace_good_ones(digits, tmp_path, value, interrupted):
    run = trainer(digits, folder=tmp_path)
    spoil_at(run, 1, 11, value)  # in the epoch's last step: its loss was still finite
    if interrupted:
        stop_at(run, 1, 11)
    message = (
        r"model.network.head.weight is not finite in epoch 2: lower the learning rates \(lr 0.24, "
        rf"sgd_lr 0.1\) and resume from {re.escape(str(tmp_path / 'checkpoint.pt'))}, the last good"
    )
    with pytest.raises(DivergenceError, match=message):
        run.fit()
    assert len(run.history) == 1
    with pytest.raises(DivergenceError):
        run.save()
    assert sorted(os.listdir(tmp_path)) == FILES

    again = trainer(digits, replace(RECIPE, lr=0.02, sgd_lr=0.01), tmp_path)
    again.resume(tmp_path)
    assert (again.epoch, again.step) == (1, 0)
    assert [row.epoch for row in again.fit()] == [1, 2, 3]
    assert saved_recipe(tmp_path) == again.recipe


def test_statistics_momenta_and_sums_must_be_finite_too(digits, tmp_path):
    def spoil(run, what):
        tensors = {
            "model.network.stem.1.0.running_var": run.model.stem[1][0].running_var,
            "optimizers.1.state.0.momentum_buffer": next(
                iter(run.optimizers[1].state.values())
            )["momentum_buffer"],
            "sums": run.sums,
        }  # fmt: skip
        tensors[what].flatten()[0] = float("inf")

    run = trainer(digits, replace(RECIPE, epochs=1), tmp_path)
    run.fit()
    before = (tmp_path / "checkpoint.pt").read_bytes()
    for name in (
        "model.network.stem.1.0.running_var",
        "optimizers.1.state.0.momentum_buffer",
        "sums",
    ):
        again = trainer(digits, run.recipe, tmp_path)
        again.resume(tmp_path)
        spoil(again, name)
        with pytest.raises(DivergenceError, match=f"^{re.escape(name)} is not finite"):
            again.save()
    assert (tmp_path / "checkpoint.pt").read_bytes() == before


def test_without_a_folder_weights_are_looked_at_as_well(digits):
    run = trainer(digits)
    spoil_at(run, 0, 11)
    with pytest.raises(DivergenceError, match="network.head.weight is not finite in epoch 1"):
        run.fit()


@pytest.mark.filterwarnings("ignore:mgnet.load will not read")
def test_dropout_resumes_exactly(digits, tmp_path):
    def with_dropout(folder=None):
        torch.manual_seed(0)
        model = MgNet(1, 10, channels=(8, 16), steps=(1, 1), sigma=lambda: nn.Dropout(0.1))
        return Trainer(model, digits, RECIPE, folder=folder, progress=False)

    whole = with_dropout()
    whole.fit()
    first = with_dropout(tmp_path)
    stop_at(first, 1, 4)
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
    assert not torch.equal(runs[0].model.network.head.weight, runs[2].model.network.head.weight)


def test_a_failed_write_leaves_the_old_checkpoint(digits, tmp_path, monkeypatch):
    run = trainer(digits, replace(RECIPE, epochs=1), tmp_path)
    run.fit()
    before = (tmp_path / "checkpoint.pt").read_bytes()

    def full_disk(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(FolderError, match=r"checkpoint.pt could not be written \(No space left"):
        run.save()
    assert (tmp_path / "checkpoint.pt").read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == FINISHED


@pytest.mark.parametrize("epoch", [2, 3])
def test_after_a_failed_write_a_run_can_go_on(digits, whole, tmp_path, monkeypatch, epoch):
    run = trainer(digits, folder=tmp_path)
    replaced, replace_file = [], os.replace

    def full_disk_once(*paths):
        replaced.append(paths)
        if len(replaced) == 2 * epoch:  # its checkpoint: run.json, then two files for each epoch
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace_file(*paths)

    monkeypatch.setattr(os, "replace", full_disk_once)
    with pytest.raises(FolderError, match="the one of before stays: make room"):
        run.fit()
    assert read_checkpoint(tmp_path)[1]["epoch"] == epoch - 1
    assert learned(run.fit()) == learned(whole.history)
    assert read_checkpoint(tmp_path)[1]["epoch"] == 3
    assert_same(weights(run), weights(whole))


def test_a_finished_run_that_is_taken_up_elsewhere_is_whole_there(digits, tmp_path):
    once = replace(RECIPE, epochs=1)
    trainer(digits, once, tmp_path / "a").fit()
    again = trainer(digits, once, tmp_path / "b")
    again.resume(tmp_path / "a")
    again.fit()
    assert sorted(os.listdir(tmp_path / "b")) == FINISHED


# --- the folder -----------------------------------------------------------------------------------


def must_not_train(trainer):
    def step(batch):
        raise AssertionError("a step was taken")

    trainer._train_step = step


def test_a_folder_with_another_run_is_refused(digits, tmp_path):
    trainer(digits, replace(RECIPE, epochs=1), tmp_path).fit()
    before = (tmp_path / "checkpoint.pt").read_bytes()
    other = trainer(digits, folder=tmp_path, seed=7)
    must_not_train(other)
    for write in (other.fit, other.save):
        with pytest.raises(CheckpointError, match="holds another run: resume that, or name"):
            write()
    (tmp_path / "checkpoint.pt").unlink()
    with pytest.raises(CheckpointError, match="checkpoint is gone"):  # its log is left
        other.fit()
    (tmp_path / "checkpoint.pt").write_bytes(before[:-1])  # damaged, but somebody's
    with pytest.raises(CheckpointError, match="holds another run"):
        other.fit()
    assert (tmp_path / "checkpoint.pt").read_bytes() == before[:-1]


def test_a_run_that_went_on_elsewhere_is_not_overwritten(digits, tmp_path):
    first = trainer(digits, folder=tmp_path)
    stop_at(first, 1, 4)
    with pytest.raises(Interrupted):
        first.fit()
    late, other = trainer(digits, folder=tmp_path), trainer(digits, folder=tmp_path)
    late.resume(tmp_path)
    other.resume(tmp_path)
    other.fit()
    must_not_train(late)
    with pytest.raises(CheckpointError, match="holds another run"):
        late.fit()
    assert read_checkpoint(tmp_path)[1]["epoch"] == 3


def test_resuming_into_another_folder(digits, tmp_path):
    run = trainer(digits, replace(RECIPE, epochs=1), tmp_path / "a")
    run.fit()
    copy = trainer(digits, run.recipe, tmp_path / "b")
    copy.resume(tmp_path / "a")
    copy.save()
    assert_same(*(read_checkpoint(tmp_path / name)[1]["model"] for name in "ab"))


def test_two_runs_do_not_share_a_folder(digits, tmp_path):
    run = trainer(digits, folder=tmp_path)
    must_not_train(run)
    with claimed(tmp_path), pytest.raises(FolderError, match="another run is going on in"):
        run.fit()
    # The run itself may save at any time.
    run = trainer(digits, folder=tmp_path, on_epoch=lambda row: run.save())
    assert len(run.fit()) == 3


@contextmanager
def read_only(folder):
    """A folder that may be read and not written."""
    root = os.geteuid() == 0
    # Permissions do not stop root; somebody else needs a way to the folder.
    way = [path for path in folder.parents if root and path.stat().st_mode & 0o011 != 0o011]
    modes = {path: path.stat().st_mode for path in (folder, *way)}
    try:
        folder.chmod(0o555)
        for path in way:
            path.chmod(modes[path] | 0o011)
        if root:
            os.seteuid(65534)
        yield
    finally:
        if root:
            os.seteuid(0)
        for path, mode in modes.items():
            path.chmod(mode)


@pytest.mark.skipif(sys.platform == "win32", reason="permissions are other ones there")
@pytest.mark.parametrize("locked_before", [False, True])
def test_a_read_only_folder_is_noticed_before_the_first_step(digits, tmp_path, locked_before):
    folder = tmp_path / "run"
    folder.mkdir()
    if locked_before:
        (folder / ".lock").touch()
        (folder / ".lock").chmod(0o666)
    run = trainer(digits, folder=folder)
    must_not_train(run)
    message = r"nothing can be written to .*run \(Permission denied\): name another folder"
    with read_only(folder), pytest.raises(FolderError, match=message):
        run.fit()


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
        CheckpointError, match=r"another model: network.levels.0.Pi.0.weight is \(16, 8, 3, 3\)"
    ):
        other.resume(checkpoint)
    assert_same(weights(other), before)


def test_a_checkpoint_of_another_recipe(digits, checkpoint):
    run = trainer(digits, replace(RECIPE, shift=2), seed=5)
    before = weights(run)
    with pytest.raises(CheckpointError, match=r"another recipe: shift 1 \(now 2\)"):
        run.resume(checkpoint)
    assert_same(weights(run), before)


def test_a_checkpoint_of_other_data_or_another_form(digits, checkpoint):
    once = replace(RECIPE, epochs=1)
    with pytest.raises(CheckpointError, match="another data: digits, 1437 .*, letters, 1437"):
        trainer(replace(digits, name="letters"), once).resume(checkpoint)
    other = MgNet(1, 10, channels=(8, 16), steps=(2, 1), form="feature")
    with pytest.raises(CheckpointError, match="another model: .*ResidualLevel.* .*FeatureLevel"):
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


def test_a_finished_run_is_extended(digits, tmp_path):
    short = trainer(digits, replace(RECIPE, epochs=2), tmp_path)
    short.fit()
    longer = trainer(digits, replace(RECIPE, epochs=4), tmp_path)
    longer.resume(tmp_path)
    history = longer.fit()
    assert [row.epoch for row in history] == [1, 2, 3, 4]
    assert history[:2] == short.history
    assert saved_recipe(tmp_path).epochs == 4
    again = trainer(digits, replace(RECIPE, epochs=3), tmp_path)
    with pytest.raises(CheckpointError, match="is in epoch 4 already: choose epochs 4 or more"):
        again.resume(tmp_path)


def test_what_was_left_open_stays_as_the_run_began(digits, tmp_path):
    recipe = replace(RECIPE, epochs=1, precision="bfloat16", layout="contiguous")
    trainer(digits, recipe, tmp_path).fit()
    again = trainer(digits, replace(recipe, epochs=2, precision="auto", layout="auto"), tmp_path)
    again.resume(tmp_path)
    assert again.recipe == replace(recipe, epochs=2)
    again.fit()
    assert saved_recipe(tmp_path) == again.recipe


def test_a_run_in_float16_goes_on_where_bfloat16_would_be_chosen(digits, tmp_path):
    recipe = replace(RECIPE, epochs=2, precision="float16")
    trainer(digits, replace(recipe, epochs=1), tmp_path).fit()
    runs = [trainer(digits, replace(recipe, precision=p), None) for p in ("float16", "auto")]
    for run in runs:
        run.resume(tmp_path)
        run.fit()
    assert runs[1].recipe == runs[0].recipe
    assert runs[1].scaler.state_dict() == runs[0].scaler.state_dict()
    assert_same(*map(weights, runs))


@pytest.mark.parametrize("asked", ["auto", "float32"])
def test_a_run_in_float64_says_so(digits, tmp_path, asked):
    recipe = replace(RECIPE, epochs=1, precision="float64")
    trainer(digits, recipe, tmp_path).fit()
    with pytest.raises(CheckpointError, match="another recipe: precision 'float64' \\(now "):
        trainer(digits, replace(recipe, precision=asked)).resume(tmp_path)


def test_only_the_rates_may_change(digits, checkpoint):
    once = replace(RECIPE, epochs=1)
    trainer(digits, replace(once, lr=0.1, sgd_lr=0.05)).resume(checkpoint)
    for change in ({"momentum": 0.5}, {"weight_decay": 0.0}, {"seed": 1}, {"warmup": 0.1}):
        with pytest.raises(CheckpointError, match=f"another recipe: {next(iter(change))} "):
            trainer(digits, replace(once, **change)).resume(checkpoint)


def test_numpy_numbers_in_a_recipe_can_be_read_back(digits, tmp_path):
    recipe = replace(
        RECIPE, epochs=np.int64(1), batch_size=np.int32(128), lr=np.float32(0.25), sgd_lr=1,
        nesterov=np.bool_(True), optimizer=np.str_("muon"), layout="contiguous",
    )  # fmt: skip
    trainer(digits, recipe, tmp_path).fit()
    plain = replace(RECIPE, epochs=1, lr=0.25, sgd_lr=1.0, layout="contiguous")
    assert saved_recipe(tmp_path) == plain
    trainer(digits, recipe).resume(tmp_path)


# --- set-up ---------------------------------------------------------------------------------------


def test_muon_takes_the_kernels_but_the_stem_s(digits):
    run = trainer(digits)
    muon, sgd = run.optimizers
    assert isinstance(muon, Muon)
    turned = {id(p) for group in muon.param_groups for p in group["params"]}
    names = {name for name, p in run.model.network.named_parameters() if id(p) in turned}
    assert "stem.0.weight" not in names
    assert "levels.0.A.0.weight" in names
    assert "levels.1.A.0.weight" not in names  # it has no gradient in this form
    rest = sum(len(group["params"]) for group in sgd.param_groups)
    assert len(turned) + rest + 1 == len(list(run.model.parameters()))


def classifier(channels=1, classes=tuple("0123456789"), dtype="uint8"):
    unit = Normalise(torch.zeros(channels), torch.ones(channels))
    return Classifier(MgNet(channels, 10, channels=4, steps=(1,)), unit, classes, dtype)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda d: Trainer(
                MgNet(1, 10, channels=4, steps=(1,)).requires_grad_(False), d, RECIPE
            ),
            "no parameter of the model is trainable",
        ),
        (lambda d: trainer(d, Recipe(shift=8)), "shift 8 is not smaller than the examples"),
        (lambda d: trainer(d, Recipe(batch_size=2000)), "larger than the 1437"),
        (lambda d: trainer(d, device="meta"), "torch finds no device 'meta' here"),
        (lambda d: trainer(d, device="nowhere"), "torch finds no device 'nowhere' here"),
        (lambda d: Trainer(MgNet(1, channels=4, steps=(1,)).to("meta"), d, RECIPE), "build it on"),
        (
            lambda d: Trainer(MgNet(1, 9, channels=4, steps=(1,)), d, RECIPE).fit(),
            r"must give \(batch, 10\) scores for 10 classes, got \(128, 9\)",
        ),
        (
            lambda d: Trainer(MgNet(1, 11, channels=4, steps=(1,)), d, RECIPE).fit(),
            r"must give \(batch, 10\) scores for 10 classes, got \(128, 11\)",
        ),
        (
            lambda d: Trainer(classifier(classes=tuple("abcdefghij")), d, RECIPE),
            "classes: .*'a', 'b'",
        ),
        (lambda d: Trainer(classifier(dtype="float32"), d, RECIPE), "type of the examples: 'float"),
        (lambda d: Trainer(classifier(channels=3), d, RECIPE), "channels: 3 for the classifier, 1"),
    ],
)
def test_bad_input(digits, call, message):
    with pytest.raises(ValueError, match=message):
        call(digits)


@pytest.mark.parametrize("resumed", [False, True])
def test_an_epoch_is_not_lost_when_the_test_fails(digits, whole, tmp_path, monkeypatch, resumed):
    def fail():
        raise ValueError("a damaged picture")

    run = trainer(digits, folder=tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(run, "evaluate", fail)
        with pytest.raises(ValueError, match="a damaged picture"):
            run.fit()
    saved = read_checkpoint(tmp_path).content
    assert (saved["epoch"], saved["step"], saved["history"]) == (0, run.steps, [])
    if resumed:
        run = trainer(digits, folder=tmp_path)
        run.resume(tmp_path)
    run.fit()
    for one, other in zip(run.history, whole.history, strict=True):
        assert (one.train, one.test) == (other.train, other.test)
    assert_same(weights(run), weights(whole))


def damaged(run, monkeypatch, *, part):
    """Fail once to read a part of the sixth batch."""
    batch, left = run.task.batch, [ValueError("a damaged picture")]

    def read(step, where):
        if step.step == 5 and step.parts.index(where) == part and left:
            raise left.pop()
        return batch(step, where)

    monkeypatch.setattr(run.task, "batch", read)


def test_steps_are_not_lost_when_an_example_cannot_be_read(digits, whole, tmp_path, monkeypatch):
    run = trainer(digits, folder=tmp_path)
    damaged(run, monkeypatch, part=0)
    with pytest.raises(ValueError, match="a damaged picture"):
        run.fit()
    saved = read_checkpoint(tmp_path).content
    assert (saved["epoch"], saved["step"]) == (0, 5)
    assert saved["seconds"] > 0
    again = trainer(digits, folder=tmp_path, seed=9)
    again.resume(tmp_path)
    assert learned(again.fit()) == learned(whole.history)
    assert_same(weights(again), weights(whole))


def test_parts_of_a_batch_that_failed_do_not_count(digits, monkeypatch):
    recipe = replace(RECIPE, epochs=1, accumulate=2)
    whole, run = trainer(digits, recipe), trainer(digits, recipe)
    whole.fit()
    damaged(run, monkeypatch, part=1)
    with pytest.raises(ValueError, match="a damaged picture"):
        run.fit()
    run.fit()
    assert run.history[0].train == whole.history[0].train
    for parameter, other in zip(run.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(parameter, other)


def test_a_long_epoch_is_saved_before_it_is_tested(digits, tmp_path, monkeypatch):
    found = []
    for folder, long in (("short", 60), ("long", 0)):
        monkeypatch.setattr(training, "LONG", long)
        run = trainer(digits, replace(RECIPE, epochs=1), tmp_path / folder)
        evaluate = run.evaluate

        def look_and_evaluate(folder=folder, evaluate=evaluate):
            found.append((tmp_path / folder / "checkpoint.pt").exists())
            return evaluate()

        monkeypatch.setattr(run, "evaluate", look_and_evaluate)
        run.fit()
    assert found == [False, True]


def test_a_run_goes_on_with_what_it_has_written(digits, whole, tmp_path):
    run = trainer(digits, folder=tmp_path)
    run.fit()
    about = (tmp_path / "run.json").read_text()
    again = Trainer(
        mgnet.load(tmp_path), digits, replace(RECIPE, epochs=4, sgd_lr=0.01), folder=tmp_path,
        progress=False,
    )  # fmt: skip
    again.resume(tmp_path)
    assert [row.epoch for row in again.fit()] == [1, 2, 3, 4]
    # A finished run has been trained by the recipe it says, whatever it is resumed with.
    (tmp_path / "run.json").write_text(about)
    finished = trainer(digits, replace(RECIPE, epochs=4, sgd_lr=0.5), tmp_path)
    finished.resume(tmp_path)
    finished.fit()
    assert (tmp_path / "run.json").read_text() == about


def test_steps_are_taken_with_the_rates_of_the_schedule(digits):
    recipe = replace(RECIPE, epochs=2, schedule="cosine", warmup=0.2, sgd_lr=0.3)
    run, seen = trainer(digits, recipe), []
    step = run._train_step

    def look(parts):
        step(parts)
        seen.append([group["lr"] for o in run.optimizers for group in o.param_groups])

    run._train_step = look
    run.fit()
    factors = [recipe.rate(k / 22) for k in range(22)]
    assert seen == [[0.24 * f, 0.3 * f, 0.3 * f] for f in factors]


def test_random_numbers_are_those_of_earlier_versions():
    """Or a run that an earlier version began would go on with others."""
    assert hashed(0) == 1442695040888963407
    assert hashed(3, 1, 4, -1) == 8170847447721758449
    assert torch.randperm(8, generator=generator(0, 1)).tolist() == [3, 4, 7, 5, 6, 0, 2, 1]
