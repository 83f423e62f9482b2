"""The training script when something goes wrong: one sentence, and nothing lost."""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import asdict, fields
from functools import partialmethod
from pathlib import Path

import numpy as np
import pytest
import torch

from examples import train_folder, train_mnist
from mgnet import command, data, record, zoo
from mgnet.checkpoint import read_checkpoint
from mgnet.folder import claimed
from mgnet.loading import load
from mgnet.processes import LostProcessError
from mgnet.recipe import Recipe
from mgnet.training import Trainer, saved_recipe

ROOT = Path(__file__).parents[2]
DIGITS = [
    "--dataset", "digits", "--batch-size", "128", "--channels", "4", "8", "--steps", "1", "1",
    "--network", "mgnet-narrow", "--shift", "1", "--precision", "float32", "--lr", "0.24",
]  # fmt: skip
FILES = [".lock", "checkpoint.pt", "log.csv", "run.json"]


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train_mnist.py"])


def start(out, *options, code=None):
    """The script in a process of its own."""
    program = ["-m", "examples.train_mnist"] if code is None else ["-c", code]
    return subprocess.Popen(
        [sys.executable, *program, *DIGITS, "--out", str(out), *options],
        cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def learned(history):
    return [(row["epoch"], row["train"], row["test"]) for row in history]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there a process cannot be sent SIGTERM")
def test_a_terminated_run_resumes_exactly(tmp_path):
    options = ["--epochs", "15"]
    whole, first = start(tmp_path / "whole", *options), start(tmp_path / "run", *options)
    for line in first.stdout:
        if line.startswith("epoch   2"):
            first.send_signal(signal.SIGTERM)
            break
    said = first.communicate(timeout=120)[1]
    assert first.returncode == 1
    assert re.match(r"interrupted in epoch \d+, after step \d+ of 11; saved in .*checkpoint", said)
    assert said.rstrip().endswith("--resume")
    assert "Traceback" not in said
    assert 2 <= read_checkpoint(tmp_path / "run")[1]["epoch"] < 15
    assert sorted(os.listdir(tmp_path / "run")) == FILES

    for process in (whole, start(tmp_path / "run", *options, "--resume")):
        out, said = process.communicate(timeout=240)
        assert process.returncode == 0, said
        assert "last epoch: " in out
    there, here = (read_checkpoint(tmp_path / name)[1] for name in ("whole", "run"))
    assert learned(here["history"]) == learned(there["history"])
    for name, weight in there["model"].items():
        assert torch.equal(here["model"][name], weight), name


FULL_DISK = """
import resource, sys
from examples import train_mnist
from mgnet.training import Trainer

evaluate = Trainer.evaluate

def evaluate_and_fill_the_disk(self, **views):
    if self.epoch == 1:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2500, 2500))
    return evaluate(self, **views)

Trainer.evaluate = evaluate_and_fill_the_disk
sys.argv[0] = "train_mnist.py"
train_mnist.main()
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there are no limits on files")
def test_a_file_that_cannot_be_written_ends_in_one_sentence(tmp_path):
    process = start(tmp_path / "run", "--epochs", "3", code=FULL_DISK)
    out, said = process.communicate(timeout=120)
    assert process.returncode == 1
    assert re.fullmatch(
        r"train_mnist: .*checkpoint.pt could not be written \(File too large\); the one of before "
        r"stays: make room, then go on\n",
        said,
    )
    assert "epoch   1" in out
    assert read_checkpoint(tmp_path / "run")[1]["epoch"] == 1
    assert sorted(os.listdir(tmp_path / "run")) == FILES


def test_a_diverged_run_goes_on_with_lower_rates(monkeypatch, capsys):
    step = Trainer._train_step

    def diverging_step(self, batch):
        step(self, batch)
        if (self.epoch, self.step) == (1, 11):
            self.model.network.head.bias.data[0] = float("nan")

    options = [*DIGITS, "--epochs", "3", "--sgd-lr", "0.2", "--out", "run"]
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_train_step", diverging_step)
        with pytest.raises(SystemExit) as end:
            train_mnist.main(options)
    sentence, example = str(end.value).splitlines()
    assert sentence == (
        "train_mnist: model.network.head.bias is not finite in epoch 2: lower the learning rates "
        "(lr 0.24, sgd_lr 0.2) and resume from run/checkpoint.pt, the last good checkpoint"
    )
    assert example.endswith("--sgd-lr 0.2 --out run --resume --lr 0.024 --sgd-lr 0.02")

    capsys.readouterr()
    history = train_mnist.main([*options, "--resume", "--sgd-lr", "0.02"])[0].history
    assert len(history) == 3
    assert "goes on with sgd_lr 0.02, 0.2 until now\n" in capsys.readouterr().out
    # Where no rate is named, those of the run stay.
    options = [*DIGITS, "--epochs", "3", "--out", "run", "--resume"]
    assert train_mnist.main(options)[0].history == history
    assert saved_recipe("run").sgd_lr == 0.02
    assert "goes on with" not in capsys.readouterr().out


def test_a_checkpoint_is_read_once(monkeypatch):
    options = [*DIGITS, "--epochs", "1", "--out", "run"]
    train_mnist.main(options)
    loads, load = [], torch.load
    monkeypatch.setattr(torch, "load", lambda *a, **o: loads.append(a) or load(*a, **o))
    train_mnist.main([*options, "--resume"])
    assert len(loads) == 1


def test_a_run_that_diverges_at_once_has_nothing_to_resume():
    with pytest.raises(SystemExit, match=r"sgd_lr 1e\+30\); there is no checkpoint yet") as end:
        train_mnist.main([*DIGITS, "--sgd-lr", "1e30", "--out", "run"])
    assert "\n" not in str(end.value)


def test_help_shows_defaults_and_choices(capsys):
    with pytest.raises(SystemExit):
        train_mnist.main(["--help"])
    out = " ".join(capsys.readouterr().out.split())
    for words in (
        "--epochs INT passes over the training set (default: 10)",
        "--optimizer {muon,sgd}",
        "--form {feature,residual}",
        "--iteration {single,multistep,chebyshev}",
        "--stem {small,large,whitened}",
        "--restriction {strided,pooled}",
        "--share-A, --no-share-A",
        "(default: $MGNET_DATA, else they are downloaded)",
    ):
        assert words in out


def test_sharing_can_be_said():
    options = [*DIGITS, "--epochs", "1", "--no-share-B", "--steps", "1", "2", "--no-Pi"]
    (trainer,) = train_mnist.main([*options, "--out", "run"])
    levels = trainer.model.network.levels
    assert [len(level.B) for level in levels] == [1, 2]
    assert [len(level.A) for level in levels] == [1, 1]
    assert levels[0].Pi is None


#: A value of every option that is not the one it has without.
RECIPE_OPTIONS = {
    "epochs": 2, "batch_size": 128, "accumulate": 2, "lr": 0.03, "momentum": 0.5, "sgd_lr": 0.2,
    "sgd_momentum": 0.8, "nesterov": False, "weight_decay": 1e-3, "decay": "all",
    "schedule": "steps", "warmup": 0.1, "step_epochs": 7, "clip": 3.0, "ema": 0.9,
    "label_smoothing": 0.3, "shift": 3, "border": "zero", "flip": "random", "cutout": 5,
    "mixup": 0.1, "cutmix": 0.2, "seed": 9, "precision": "float64", "layout": "channels_last",
}  # fmt: skip
NETWORK_OPTIONS = {
    "channels": (4, 8), "steps": (3, 2), "share_A": False, "share_B": False, "form": "residual",
    "iteration": "chebyshev", "sigma": ("gelu", "prelu"), "share_sigma": True, "norm": False,
    "Pi": False, "restriction": "pooled", "logit_scale": 0.5, "stem": "whitened",
}  # fmt: skip


def words_of(options):
    for name, value in options.items():
        dashed = name.replace("_", "-")
        if isinstance(value, bool):
            yield f"--{dashed}" if value else f"--no-{dashed}"
        else:
            yield from (f"--{dashed}", *map(str, value if isinstance(value, tuple) else [value]))


def test_every_option_arrives(monkeypatch):
    seen = []
    monkeypatch.setattr(command, "train", lambda *args, **options: seen.append((args, options)))
    words = [*words_of(RECIPE_OPTIONS), *words_of(NETWORK_OPTIONS), "--compile", "--tensorboard"]
    train_mnist.main(["--dataset", "digits", "--out", "run", "--network", "mgnet-narrow", *words])
    train_mnist.main(["--dataset", "digits", "--out", "run", "--optimizer", "sgd"])
    ((network, _, recipe), options), ((_, _, other), plainly) = seen
    names = {field.name for field in fields(Recipe)}
    assert names == {*RECIPE_OPTIONS, "optimizer"}
    assert asdict(recipe) == RECIPE_OPTIONS | {"optimizer": "muon"}
    assert other.optimizer == "sgd"
    assert not [n for n in RECIPE_OPTIONS if getattr(other, n) == RECIPE_OPTIONS[n]]
    assert set(command.NETWORK_OPTIONS) == set(NETWORK_OPTIONS)
    expected = zoo.build("mgnet-narrow", 10, 1, **NETWORK_OPTIONS)
    assert str(network) == str(expected) != str(zoo.build("mgnet-narrow", 10, 1))
    assert record.describe(network)["options"] == record.describe(expected)["options"]
    assert (options["compile"], options["tensorboard"]) == (True, True)
    assert (plainly["compile"], plainly["tensorboard"]) == (False, False)


def test_rates_that_would_do_nothing_are_refused():
    with pytest.raises(SystemExit, match="--lr and --momentum would do nothing.*SGD has --sgd-lr"):
        train_mnist.main([*DIGITS, "--preset", "published", "--lr", "7", "--momentum", "0.5"])
    with pytest.raises(SystemExit, match="--lr would do nothing.*kernels of convolutions"):
        train_mnist.main(["--dataset", "digits", "--network", "one-hidden-layer", "--lr", "7"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--step-epochs", "9"], "--step-epochs does nothing without --schedule steps"),
        (["--border", "zero", "--shift", "0"], "--border does nothing without --shift 1"),
        (["--sigma", "heaviside"], "heaviside cannot be trained through.*choose another --sigma"),
    ],
)
def test_options_that_do_nothing_or_cannot_be_trained(options, message):
    with pytest.raises(SystemExit, match=message):
        train_mnist.main([*DIGITS, "--out", "run", *options])
    assert not Path("run").exists()


def test_the_advice_is_to_begin_again_where_nothing_was_saved(monkeypatch):
    train, options = Trainer._train_epoch, [*DIGITS, "--epochs", "2", "--seeds", "2"]

    def lose(self, stop, at):
        if (self.recipe.seed, self.epoch) == at:
            raise LostProcessError("another process of this run has ended")
        train(self, stop)

    for at, given, advised in (
        ((0, 0), [], "run"), ((0, 1), [], "run --resume"), ((1, 0), ["--resume"], "run --resume"),
    ):  # fmt: skip
        monkeypatch.setattr(Trainer, "_train_epoch", partialmethod(lose, at=at))
        with pytest.raises(SystemExit, match=f"has ended; go on with: python .* --out {advised}$"):
            train_mnist.main([*options, "--out", "run", *given])


def test_kernels_that_are_shared_are_part_of_a_network():
    options = ["--dataset", "digits", "--channels", "4", "8", "--out", "run", "--epochs", "1"]
    train_mnist.main([*options, "--network", "resnet18-A", "--steps", "2", "2"])
    with pytest.raises(SystemExit, match="another model: share_A is True there and False here"):
        train_mnist.main([*options, "--resume", "--no-share-A", "--epochs", "2"])


def test_networks_of_the_zoo_read_series():
    task = data.PictureSet.from_arrays(
        *(np.random.default_rng(0).standard_normal((20, 1, 32), "float32"), np.arange(20) % 2) * 2
    )
    args = argparse.Namespace(network="mgnet-narrow", channels=[4, 8], steps=[1, 1])
    network = command._network(train_mnist.SCRIPT, args, task, None)
    assert (network.dim, network.head.out_features) == (1, 2)


def test_a_script_has_its_own_way_in_every_preset():
    for name in command.PRESETS:
        assert command._preset(train_mnist.SCRIPT, name).flip == "never"
        assert command._preset(train_folder.SCRIPT, name).shift == 0


def test_a_resumed_run_keeps_of_its_network_what_is_not_given():
    train_mnist.main([*DIGITS, "--epochs", "1", "--out", "run"])
    resume = ["--dataset", "digits", "--out", "run", "--resume", "--epochs", "2"]
    with pytest.raises(SystemExit, match="another model"):  # of as many levels, with more channels
        train_mnist.main([*resume, "--channels", "8", "16"])
    with pytest.raises(SystemExit, match="another recipe"):
        train_mnist.main([*resume, "--preset", "published"])
    train_mnist.main([*resume, "--steps", "1", "1"])
    assert len(read_checkpoint("run")[1]["history"]) == 2


def test_with_several_seeds_there_must_be_something_to_resume(capsys):
    options = [*DIGITS, "--epochs", "1", "--out", "run"]
    with pytest.raises(SystemExit, match="there is no checkpoint run/seed0/checkpoint.pt or run/"):
        train_mnist.main([*options, "--resume", "--seeds", "2"])
    assert not Path("run").exists()
    train_mnist.main([*options, "--seeds", "1", "--out", "run/seed0"])
    train_mnist.main([*options, "--resume", "--seeds", "2"])
    said = "run/seed1 has no checkpoint: its run begins, as that of run/seed0 did"
    assert said in capsys.readouterr().out


def test_seeds_that_had_not_begun_train_as_the_others_when_resumed():
    options = [*DIGITS, "--preset", "published", "--epochs", "1", "--batch-size", "256"]
    options = [word for word in options if word not in ("--lr", "0.24")]  # SGD has another
    whole = train_mnist.main([*options, "--out", "whole", "--seeds", "2"])
    shutil.copytree("whole/seed0", "run/seed0")
    shutil.copytree("whole/seed0", "same/seed0")
    resumed = train_mnist.main(["--dataset", "digits", "--out", "run", "--resume", "--seeds", "2"])
    assert resumed[1].recipe == whole[1].recipe
    assert repr(resumed[1].model) == repr(whole[1].model)
    history = [asdict(row) for trainer in resumed for row in trainer.history]
    assert learned(history) == learned([asdict(row) for t in whole for row in t.history])
    # The command of before with --resume, as is advised, is the same.
    again = train_mnist.main([*options, "--out", "same", "--resume", "--seeds", "2"])
    assert learned([asdict(row) for t in again for row in t.history]) == learned(history)


def test_lower_rates_are_for_runs_that_had_begun(capsys):
    options = [*DIGITS, "--epochs", "2", "--out", "run"]
    train_mnist.main([*options, "--epochs", "1", "--out", "run/seed0"])
    first, second = train_mnist.main([*options, "--resume", "--seeds", "2", "--lr", "0.03"])
    assert (first.recipe.lr, second.recipe.lr) == (0.03, 0.24)
    assert first.recipe.epochs == second.recipe.epochs == 2
    assert "these seeds were trained with different lr\n" in capsys.readouterr().out


def test_networks_that_take_the_shape_of_a_picture():
    train_mnist.main(
        ["--dataset", "digits", "--network", "logistic-regression", "--epochs", "1", "--out", "run"]
    )
    assert load("run").network.picture == (1, 8, 8)


@pytest.mark.parametrize("resume", [[], ["--resume"]])
def test_the_meta_device_is_refused(resume):
    with pytest.raises(SystemExit, match="torch finds no device 'meta' here to compute on"):
        train_mnist.main([*DIGITS, "--out", "run", "--device", "meta", *resume])
    assert not Path("run").exists()


def test_a_process_of_several_takes_the_gpu_of_its_number(monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "99")
    with pytest.raises(SystemExit, match="torch finds no device 'cuda:99' here"):
        train_mnist.main([*DIGITS, "--out", "run", "--device", "cuda"])


def test_a_network_that_memory_does_not_hold():
    with pytest.raises(SystemExit, match=r"train_mnist: memory is full \(.*\): run a") as end:
        train_mnist.main([*DIGITS, "--out", "run", "--channels", "4000000", "4"])
    assert "\n" not in str(end.value)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="other compilers are looked for there")
def test_where_memory_is_full_a_run_that_has_begun_keeps_its_batches(monkeypatch):
    options = [*DIGITS, "--epochs", "2", "--out", "run"]
    evaluate = Trainer.evaluate

    def evaluate_or_not(self):
        if self.epoch:
            raise MemoryError
        return evaluate(self)

    monkeypatch.setattr(Trainer, "evaluate", evaluate_or_not)
    with pytest.raises(SystemExit, match="memory is full .*: end what else is running, or go on"):
        train_mnist.main(options)
    assert read_checkpoint("run").content["epoch"] == 1


def test_several_processes_say_once_what_is_wrong_with_the_options(monkeypatch, capsys):
    said = []
    for rank in "01":
        monkeypatch.setenv("RANK", rank)
        for words in (["--nonsense"], ["--help"]):
            with pytest.raises(SystemExit):
                train_mnist.main(words)
            said.append("".join(capsys.readouterr()))
    assert "unrecognized arguments: --nonsense" in said[0]
    assert "--epochs" in said[1]
    assert said[2:] == ["", ""]


def test_the_advice_names_as_many_processes(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["train.py"])
    args = argparse.Namespace(out="run", seeds=1)
    assert command._again(args, ["--lr", "1"]) == "python train.py --lr 1"
    monkeypatch.setenv("WORLD_SIZE", "8")
    for here, nodes in (("8", ""), ("4", "--nnodes=2 ")):
        monkeypatch.setenv("LOCAL_WORLD_SIZE", here)
        advised = f"torchrun {nodes}--nproc-per-node={here} train.py"
        assert command._again(args, []) == advised


def test_without_a_compiler_nothing_is_compiled(monkeypatch):
    from torch._inductor import config

    monkeypatch.setattr(config.cpp, "cxx", (None, "no-compiler"))
    monkeypatch.setattr(config, "fx_graph_cache", False)
    with pytest.raises(SystemExit, match=r"torch.compile fails \(.*\): install a C") as end:
        train_mnist.main([*DIGITS, "--out", "run", "--compile"])
    assert "\n" not in str(end.value)


def test_errors_of_the_program_keep_their_traceback(monkeypatch):
    def load(*args):
        raise RuntimeError("a mistake")

    monkeypatch.setattr(data, "load", load)
    with pytest.raises(RuntimeError, match="a mistake"):
        train_mnist.main([*DIGITS, "--out", "run"])


def test_a_second_run_in_a_folder_is_refused_before_the_data_are_read(monkeypatch):
    monkeypatch.setattr(data, "load", None)
    with claimed(Path("run")), pytest.raises(SystemExit, match="another run is going on in run"):
        train_mnist.main([*DIGITS, "--out", "run"])


def test_nothing_to_resume_leaves_no_folder():
    with pytest.raises(SystemExit, match="train_mnist: there is no checkpoint run"):
        train_mnist.main([*DIGITS, "--out", "run", "--resume"])
    assert not Path("run").exists()


def test_data_that_are_not_there_leave_no_folder():
    with pytest.raises(SystemExit, match="train_mnist: .*nowhere"):
        train_mnist.main(["--dataset", "mnist", "--data", "nowhere", "--out", "runs/mnist"])
    assert os.listdir() == []


def test_ctrl_c_before_training_is_no_traceback(monkeypatch):
    def load(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(data, "load", load)
    with pytest.raises(SystemExit, match="train_mnist: interrupted; the last checkpoint"):
        train_mnist.main([*DIGITS, "--out", "run"])
