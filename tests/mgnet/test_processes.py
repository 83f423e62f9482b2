"""Several processes that train together: the same curve, one voice, one set of files."""

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mgnet.checkpoint import read_checkpoint
from mgnet.processes import ALONE, Processes, joined, own_device

ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not torch.distributed.is_available(), reason="torch has no distributed"),
    pytest.mark.skipif(sys.platform != "linux", reason="gloo is tested on Linux"),
]

# Without batch normalisation, whose statistics are those of a process.
SCRIPT = """
import os, signal, sys
from mgnet import command, zoo
from mgnet.mgnet import MgNet
from mgnet.training import Trainer

def own(num_classes, in_channels):
    return MgNet(in_channels, num_classes, channels=(4, 8), steps=(2, 1), norm=False)

zoo.ZOO["own"] = zoo.Network("own", "MgNet", "without normalisation", own, "CIFAR-10")

step = Trainer._train_step
def failing_step(self, batches):
    step(self, batches)
    if self.epoch == 1 and self.step == 3 and self.processes.rank == int(os.environ["DIES"]):
        os.kill(os.getpid(), signal.SIGKILL)
    if self.epoch == 1 and self.step == 2 and "STOPS" in os.environ and self.processes.rank == 1:
        signal.raise_signal(signal.SIGTERM)

if "DIES" in os.environ:
    Trainer._train_step = failing_step
command.main(command.Script("digits", ("digits",), "own", "run", always={"flip": "never"}))
"""

OPTIONS = [
    "--epochs", "3", "--batch-size", "128", "--shift", "1", "--sgd-lr", "0.01",
    "--precision", "float32", "--optimizer", "sgd",
]  # fmt: skip


def train(folder, processes, *options, **variables):
    (folder / "script.py").write_text(SCRIPT)
    several = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command = [sys.executable, *(several if processes > 1 else []), "script.py"]
    return subprocess.run(
        [*command, *OPTIONS, *options, "--out", f"run{processes}"],
        cwd=folder, capture_output=True, text=True, check=False, timeout=240,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)} | variables,
    )  # fmt: skip


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The folder of a run of one process."""
    folder = tmp_path_factory.mktemp("alone")
    run = train(folder, 1)
    assert run.returncode == 0, run.stderr
    return folder / "run1"


def log(folder):
    with (folder / "log.csv").open() as stream:
        return [
            {k: float(v) for k, v in row.items() if "second" not in k}
            for row in csv.DictReader(stream)
        ]


def assert_alike(two, one):
    """Two processes in one folder, one in the other, come to the same numbers and files."""
    rows = log(one)
    for a, b in zip(rows, log(two), strict=True):
        assert b == pytest.approx(a, rel=1e-4)
    assert rows[-1]["train_loss"] < rows[0]["train_loss"]
    assert sorted(os.listdir(two)) == sorted(os.listdir(one))


def test_two_processes_train_as_one_does_and_an_error_is_said_once(tmp_path, alone):
    two = train(tmp_path, 2)
    assert two.returncode == 0, two.stderr
    assert two.stdout.count("epoch   3") == 1
    assert_alike(tmp_path / "run2", alone)
    run = train(tmp_path, 2)
    assert run.returncode != 0
    assert run.stderr.count("run2 holds a run already: go on with it by --resume") == 1, run.stderr
    assert "gloo" not in run.stderr  # the other process ends by itself, not by a lost connection
    assert "another process" not in run.stderr


def test_two_processes_with_options_that_look_at_all_gradients(tmp_path, alone):
    options = ["--accumulate", "2", "--ema", "0.9", "--clip", "0.5"]
    one, two = (train(tmp_path, count, *options) for count in (1, 2))
    assert one.returncode == 0, one.stderr
    assert two.returncode == 0, two.stderr
    assert_alike(tmp_path / "run2", tmp_path / "run1")
    assert log(tmp_path / "run1") != log(alone)


@pytest.mark.parametrize("rank", ["0", "1"])
def test_a_process_that_dies_ends_the_run_with_one_message(tmp_path, rank, alone):
    run = train(tmp_path, 2, DIES=rank)
    assert run.returncode != 0
    message = "another process of this run has ended; go on with: "
    message += "torchrun --nproc-per-node=2 script.py --epochs 3"
    assert run.stderr.count(message) == 1, run.stderr
    assert 'script.py", line' not in run.stderr  # a traceback of torchrun's own there may be
    # What was done before is there, from which a run goes on: see the next test.
    (done,) = log(tmp_path / "run2")
    assert done == pytest.approx(log(alone)[0], rel=1e-4)
    assert read_checkpoint(tmp_path / "run2").content["epoch"] == 1


def test_a_signal_to_one_process_stops_all_and_saves_once(tmp_path, alone):
    run = train(tmp_path, 2, DIES="-1", STOPS="1")
    assert run.returncode != 0
    assert run.stderr.count("interrupted in epoch 2, after step 2 of 11; saved in") == 1, run.stderr
    again = train(tmp_path, 2, "--resume")
    assert again.returncode == 0, again.stderr
    assert_alike(tmp_path / "run2", alone)


def test_batches_that_cannot_be_shared(tmp_path):
    run = train(tmp_path, 2, "--batch-size", "127")
    assert run.stderr.count("batch_size 127 cannot be shared by 2 processes in 1 equal") == 1
    assert signal.Signals(signal.SIGTERM).name not in run.stdout


@pytest.mark.parametrize(
    ("size", "count", "parts"), [(128, 2, 3), (10, 3, 1), (7, 1, 2), (1, 4, 1)]
)
def test_shares_are_all_of_it_in_order(size, count, parts):
    pieces = [piece for rank in range(count) for piece in Processes(rank, count).share(size, parts)]
    assert len(pieces) == count * parts
    assert [i for piece in pieces for i in range(size)[piece]] == list(range(size))


def test_alone_there_is_nobody_to_ask():
    assert ALONE.first
    assert ALONE.any(True, torch.device("cpu")) is True
    x = torch.ones(3)
    assert ALONE.add(x) is x
    assert ALONE.share(10) == [slice(0, 10)]


def test_each_process_has_its_own_gpu(monkeypatch):
    assert own_device("cuda") == "cuda"  # without torchrun
    monkeypatch.setenv("LOCAL_RANK", "2")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert own_device("cuda") == "cuda:2"
    assert own_device("cpu") == "cpu"
    with pytest.raises(ValueError, match="cannot share cuda:0: name cuda"):
        own_device("cuda:0")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "1")
    assert own_device("cuda:1") == "cuda:1"


@pytest.mark.parametrize("name", ["cuda", "cuda:1"])
def test_a_process_computes_on_its_own_gpu(monkeypatch, name):
    for variable, value in (("WORLD_SIZE", 2), ("LOCAL_WORLD_SIZE", 2), ("LOCAL_RANK", 1)):
        monkeypatch.setenv(variable, str(value))
    chosen, begun = [], []
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: chosen.append(str(device)))
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 1)
    monkeypatch.setattr(
        torch.distributed, "init_process_group", lambda kind, **options: begun.append(kind)
    )
    for last in ("barrier", "destroy_process_group"):
        monkeypatch.setattr(torch.distributed, last, lambda: None)
    with joined(torch.device(name)) as processes:
        assert (processes.rank, processes.count) == (1, 2)
    assert (chosen, begun) == (["cuda:1"], ["nccl"])
