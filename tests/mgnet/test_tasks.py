"""Tasks: losses by hand, the order in memory of a batch, and a task that knows no labels."""

import math
from dataclasses import replace

import pytest
import torch
from steps import stop_at
from torch import nn
from torch.nn import functional

import mgnet
from mgnet import MgNet
from mgnet.augment import Mixture
from mgnet.classifier import Classifier
from mgnet.data import load
from mgnet.pictures import PictureSet
from mgnet.recipe import Recipe
from mgnet.tasks import Classification, Task
from mgnet.training import Interrupted, Trainer

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def digits():
    return load("digits")


def prepared(data, recipe, layout=torch.contiguous_format):
    task = Classification(data)
    task.prepare(recipe, CPU, layout)
    return task


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("share", [1.0, 0.7, 0.3])
def test_the_loss_is_the_cross_entropy_with_the_mixed_and_smoothed_label(digits, smoothing, share):
    scores = torch.randn(5, 10, generator=torch.Generator().manual_seed(0))
    first, second = torch.arange(5), torch.arange(5) + 3
    wanted = share * functional.one_hot(first, 10) + (1 - share) * functional.one_hot(second, 10)
    wanted = (1 - smoothing) * wanted + smoothing / 10
    by_hand = -(wanted * scores.log_softmax(1)).sum(1).mean()
    task = prepared(digits, Recipe(label_smoothing=smoothing))
    mixture = Mixture(torch.zeros(5, 1, 8, 8), first, second, share)
    measured = task.loss(lambda examples: scores, (mixture, first, second))
    torch.testing.assert_close(measured["loss"], by_hand)
    larger = first if share > 0.5 else second
    assert measured["accuracy"] == (scores.argmax(1) == larger).float().mean()


def test_tests_know_no_smoothing(digits):
    trainer = Trainer(MgNet(1, 10, channels=4, steps=(1,)), digits, RECIPE, progress=False)
    scores = trainer.model.scores(digits.test_images)
    by_hand = functional.cross_entropy(scores, digits.test_labels).item()
    assert trainer.evaluate()["loss"] == pytest.approx(by_hand, rel=1e-5)


@pytest.mark.parametrize(("batch", "accumulate", "most"), [(256, 1, 500), (16, 2, 32)])
def test_tests_take_no_more_memory_than_training(digits, monkeypatch, batch, accumulate, most):
    seen = []
    monkeypatch.setattr(
        Classifier, "forward", lambda self, x: seen.append(len(x)) or torch.zeros(len(x), 10)
    )
    recipe = replace(RECIPE, batch_size=batch, accumulate=accumulate)
    Trainer(MgNet(1, 10, channels=4, steps=(1,)), digits, recipe, progress=False).evaluate()
    assert sum(seen) == 360
    assert max(seen) == min(most, 360)


@pytest.mark.parametrize("layout", ["channels_last", "contiguous"])
def test_weights_and_batches_have_the_layout_of_the_recipe(digits, layout):
    rgb = PictureSet(
        "rgb", digits.train_images.expand(-1, 3, -1, -1), digits.train_labels,
        digits.test_images.expand(-1, 3, -1, -1), digits.test_labels, digits.classes,
    )  # fmt: skip
    recipe = Recipe(layout=layout, precision="float32", batch_size=32)
    trainer = Trainer(MgNet(3, 10, channels=4, steps=(1,)), rgb, recipe, progress=False)
    form = torch.channels_last if layout == "channels_last" else torch.contiguous_format
    other = torch.contiguous_format if layout == "channels_last" else torch.channels_last
    mixture, *_ = trainer.task.batch(next(trainer._plan()), slice(0, 16))
    for tensor in (mixture.examples, trainer.model.network.levels[0].A[0].weight):
        assert tensor.is_contiguous(memory_format=form)
        assert not tensor.is_contiguous(memory_format=other)


def test_a_whitened_stem_sees_all_of_a_set_that_is_sorted_by_class(digits):
    order = digits.train_labels.argsort()
    task = Classification(replace(
        digits, train_images=digits.train_images[order], train_labels=digits.train_labels[order],
    ))  # fmt: skip
    numbered = task.data.train_images.clone()
    numbered[:, 0, 0, 0] = task.labels.to(torch.uint8)
    task.data = replace(task.data, train_images=numbered)
    seen = task.sample(100)
    assert len(seen) == 100
    assert len(seen[:, 0, 0, 0].unique()) == 10
    assert torch.equal(seen, task.sample(100))


@pytest.mark.parametrize("part", ["train", "test"])
def test_other_examples_are_another_set(digits, part):
    changed = getattr(digits, f"{part}_images").clone()
    changed[0, 0, 0, 0] += 1
    other = Classification(replace(digits, **{f"{part}_images": changed}))
    assert other.identity != Classification(digits).identity


def test_trainers_share_a_task_and_keep_their_recipes(digits):
    task, recipe = Classification(digits), Recipe(epochs=1, precision="float32", flip="never")

    def trainer(data, **changes):
        torch.manual_seed(0)
        network = mgnet.MgNet(1, 10, channels=4, steps=(1,))
        return Trainer(network, data, replace(recipe, **changes), progress=False)

    alone = trainer(digits).fit()
    first, _ = trainer(task), trainer(task, seed=1, label_smoothing=0.0, cutout=4)
    (shared,) = first.fit()
    assert (shared.train, shared.test) == (alone[0].train, alone[0].test)


# --- a task of one's own --------------------------------------------------------------------------


class Stencil(Task):
    """Finds the stencil that has made v from u: no labels, no classes."""

    name, size, dim, shape = "stencil", 64, 2, (1, 9, 9)
    measures = ("loss", "worst", "gain")

    def __init__(self, stencil):
        u = torch.randn(self.size + 16, *self.shape, generator=torch.Generator().manual_seed(0))
        v = functional.conv2d(u, stencil[None, None], padding=1)
        self.u, self.v = u.split(self.size), v.split(self.size)

    def model(self, network):
        return network

    def prepare(self, recipe, device, layout):
        assert device.type == "cpu"

    def batch(self, step, part):
        rows = step.indices[part]
        return self.u[0][rows], self.v[0][rows]

    def loss(self, call, batch):
        u, v = batch
        error = call(u) - v
        worst = error.abs().max()
        return {"loss": error.square().mean(), "worst": worst, "gain": -worst}

    def test(self, model, part):
        u, v = self.u[1], self.v[1]
        mine = part(len(u))
        errors = (model(u[mine]) - v[mine]).flatten(1)
        return {
            "loss": errors.square().mean(1).sum().item(),
            "worst": errors.abs().amax(1).sum().item(),
            "gain": -errors.abs().amax(1).sum().item(),
        }, len(errors)


LAPLACE = torch.tensor([[0.0, -1, 0], [-1, 4, -1], [0, -1, 0]])
RECIPE = Recipe(
    epochs=20, batch_size=8, optimizer="sgd", sgd_lr=0.05, weight_decay=0.0, precision="float32"
)


def stencil_trainer(folder=None, **options):
    torch.manual_seed(0)
    network = nn.Conv2d(1, 1, 3, padding=1, bias=False)
    return Trainer(network, Stencil(LAPLACE), RECIPE, folder=folder, progress=False, **options)


def test_a_task_without_labels(tmp_path):
    trainer = stencil_trainer(tmp_path / "whole")
    history = trainer.fit()
    assert set(history[-1].test) == {"loss", "worst", "gain"}
    assert history[-1].test["loss"] < 1e-6 < history[0].test["loss"]
    torch.testing.assert_close(trainer.trained.weight[0, 0], LAPLACE, atol=1e-3, rtol=0)
    assert str(history[-1]).startswith(
        f"epoch  20  loss {history[-1].train['loss']:.4f}  test loss"
    )
    with pytest.raises(ValueError, match="does not say how its network is built"):
        mgnet.load(tmp_path / "whole")

    first = stencil_trainer(tmp_path / "run")
    stop_at(first, 3, 5)
    with pytest.raises(Interrupted):
        first.fit()
    assert history[-1].test["gain"] < 0  # not all that can be measured is positive
    second = stencil_trainer(tmp_path / "run")
    second.resume(tmp_path / "run")
    assert [row.test for row in second.fit()] == [row.test for row in history]
    assert math.isfinite(second.history[-1].seconds)
