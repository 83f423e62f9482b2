"""The command python -m mgnet, and the networks that come with the package."""

import importlib
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import mgnet
from mgnet import MgNet, data, pretrained, table
from mgnet.classifier import Classifier, Normalise
from mgnet.cost import count_parameters
from mgnet.record import recorded

main = importlib.import_module("mgnet.__main__").main


@recorded
class Brightest(nn.Module):
    """Tells which channel is the brightest; sure of it the more it is."""

    dim = 2

    def __init__(self, channels):
        super().__init__()
        self.scale = nn.Parameter(torch.full((channels,), 4.0))

    def forward(self, x):
        return self.scale * x.mean((2, 3))


CLASSES = {3: ("red", "green", "blue"), 1: ("grey",)}


def write(path, *, channels=3, shape=(3, 8, 8), dtype="uint8", network=None, classes=None):
    unit = Normalise(torch.zeros(channels), torch.full((channels,), 255.0))
    network = network or Brightest(channels)
    path.parent.mkdir(exist_ok=True)
    Classifier(network, unit, classes or CLASSES[channels], dtype, shape).save(path)
    return path


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path / "weights")
    return tmp_path / "weights"


@pytest.fixture
def picture(tmp_path):
    """A wide picture, blue at its sides and red in the middle."""
    pixels = np.zeros((30, 90, 3), np.uint8)
    pixels[..., 2] = 255
    pixels[:, 25:65] = (255, 51, 0)  # more than the middle square, whose border sees outside
    Image.fromarray(pixels).save(tmp_path / "red.png")
    return tmp_path / "red.png"


@pytest.mark.parametrize("argv", [[], ["table"]])
def test_without_a_command_the_table(argv, monkeypatch, capsys):
    monkeypatch.setattr(table, "table", lambda: "the table")
    main(argv)
    assert capsys.readouterr().out == "the table\n"


@pytest.mark.skipif(sys.platform == "win32", reason="pipes are others there")
def test_a_reader_that_has_seen_enough(picture):
    command = [sys.executable, "-m", "mgnet", "classify", str(picture)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait() == 1


def test_ctrl_c(monkeypatch):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(table, "table", interrupted)
    with pytest.raises(SystemExit, match="mgnet: interrupted"):
        main([])


def test_the_three_most_probable_classes_of_each_picture(shipped, picture, capsys):
    write(shipped / "mgnet-cifar10.safetensors")
    main(["classify", str(picture), str(picture)])
    p = torch.tensor([4.0, 4 * 51 / 255, 0]).softmax(0).tolist()
    line = f"{picture}: red {p[0]:.1%}, green {p[1]:.1%}, blue {p[2]:.1%}\n"
    assert capsys.readouterr().out == 2 * line


def test_other_weights_and_fewer_classes(shipped, picture, tmp_path, capsys):
    path = write(tmp_path / "two.safetensors", network=MgNet(3, 2, channels=4, steps=(1,)),
                 classes=("cat", "dog"))  # fmt: skip
    main(["classify", "--weights", str(path), str(picture)])
    names = capsys.readouterr().out.split(": ")[1].replace(",", " ").split()[::2]
    assert sorted(names) == ["cat", "dog"]


def test_a_grey_network_gets_grey_pictures(shipped, picture, tmp_path, capsys):
    path = write(tmp_path / "grey.safetensors", channels=1, shape=(1, 8, 8))
    main(["classify", str(picture), "--weights", str(path)])
    assert capsys.readouterr().out == f"{picture}: grey 100.0%\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shape": None}, "the network's file does not name 8-bit pictures and their size"),
        ({"dtype": "float32"}, "does not name 8-bit pictures"),
        ({"shape": (3, 8)}, r"takes examples of shape \(3, 8\), no pictures"),
        ({"shape": (3, 8, 9)}, "takes pictures of 8 x 9 pixels, no square ones"),
    ],
)
def test_networks_for_something_else(picture, tmp_path, options, message):
    path = write(tmp_path / "other.safetensors", **options)
    with pytest.raises(SystemExit, match=f"^mgnet: .*{message}"):
        main(["classify", str(picture), "--weights", str(path)])


def test_files_that_are_none(shipped, picture, tmp_path):
    write(shipped / "mgnet-cifar10.safetensors")
    (tmp_path / "text.png").write_text("hello")
    with pytest.raises(SystemExit, match=r"^mgnet: \S*text.png is no picture, or damaged"):
        main(["classify", str(tmp_path / "text.png")])
    with pytest.raises(SystemExit, match="^mgnet: .*checkpoint"):
        main(["classify", str(picture), "--weights", str(tmp_path / "nowhere")])


def test_networks_that_come_with_the_package(shipped):
    with pytest.raises(ValueError, match="no trained network 'mgnet-cifar10': none come with this"):
        mgnet.load_pretrained()
    with pytest.raises(SystemExit, match="^mgnet: there is no trained network .*--weights"):
        main(["classify", "a.png"])
    write(shipped / "mgnet-cifar10.safetensors")
    write(shipped / "other.safetensors", channels=1, shape=(1, 8, 8))
    assert mgnet.load_pretrained().classes == ("red", "green", "blue")
    model = mgnet.load_pretrained("other", device="cpu")
    assert model.shape == (1, 8, 8)
    assert not model.training
    with pytest.raises(ValueError, match="network 'resnet': there are mgnet-cifar10, other; name"):
        mgnet.load_pretrained("resnet")


#: Parameters, and how many of CIFAR-10's 10,000 test pictures they read, in float32.
NETWORKS = {"mgnet-cifar10": (490_010, 9303), "mgnet-cifar10-strided": (415_626, 9024)}


def test_these_are_all():
    assert {path.stem for path in pretrained.FOLDER.glob("*.safetensors")} == set(NETWORKS)
    assert mgnet.load_pretrained.__defaults__ == ("mgnet-cifar10",)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_networks_of_this_version(name):
    assert (pretrained.FOLDER / f"{name}.safetensors").stat().st_size < 1e6
    model = mgnet.load_pretrained(name)
    assert count_parameters(model) == NETWORKS[name][0]
    assert (model.shape, model.dtype, model.classes[3]) == ((3, 32, 32), "uint8", "cat")


@pytest.mark.data
@pytest.mark.skipif("MGNET_DATA" not in os.environ, reason="MGNET_DATA names no folder")
@pytest.mark.parametrize("name", NETWORKS)
def test_the_networks_of_this_version_are_as_accurate_as_their_page_says(name):
    cifar = data.load("cifar10")
    seen = mgnet.load_pretrained(name).predict(cifar.test_images)
    right = int((torch.from_numpy(seen.labels) == cifar.test_labels).sum())
    assert right == pytest.approx(NETWORKS[name][1], abs=2)  # rounding of another processor


def test_files_of_before_have_no_shape_or_middle(tmp_path):
    path = write(tmp_path / "old.safetensors", shape=None)
    assert mgnet.load(path).shape is None
    about = mgnet.load(path).record()
    del about["shape"], about["middle"]
    again = Classifier.from_record(about)
    assert again.shape is None
    assert again.middle == 1
