"""Every example and benchmark runs, and one number of each is pinned."""

import csv
import functools
import json
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import torch
from helpers import several

from mgnet.recipe import PRESETS

mpl.use("Agg")


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def nonempty(*names):
    return all(Path("figures", name).stat().st_size > 10_000 for name in names)


@pytest.mark.slow
def test_demo(capsys):
    from examples import demo

    demo.main()
    out = capsys.readouterr().out
    assert nonempty("demo.png", "digits.png")
    accuracy = float(out.split("last epoch ")[1].split("%")[0])
    assert accuracy >= 97.0
    # The discretisation error of the manufactured solution.
    assert "largest error against the exact solution 1.86e-05" in out


def test_fill_elevation(capsys):
    from examples import fill_elevation

    fill_elevation.main()
    assert "membrane 107.3 m, the rim's mean height 173.3 m" in capsys.readouterr().out
    assert nonempty("elevation.png")


def test_clone_photo(capsys):
    from examples import clone_photo

    clone_photo.main()
    assert "pasted 0.1283, cloned 0.0114, the photograph itself 0.0053" in capsys.readouterr().out
    assert nonempty("clone.png")


@pytest.mark.parametrize("mixed", [False, True])
def test_cloning_a_picture_into_itself_changes_nothing(mixed):
    from examples.clone_photo import Place, clone

    photograph = np.random.default_rng(0).random((40, 51, 3))
    place = Place(3, 8)
    patch = photograph[3:33, 8:46]
    same = clone(photograph, patch, [place], mixed)
    np.testing.assert_allclose(same.cloned, photograph, atol=1e-5)
    # Only gradients are taken: another colour all over the patch is not seen.
    tinted = clone(photograph, patch + np.array([0.3, -0.2, 0.1]), [place], mixed)
    np.testing.assert_allclose(tinted.cloned, photograph, atol=1e-5)
    assert tinted.jump(tinted.pasted) > tinted.jump(tinted.cloned)


@pytest.mark.slow
def test_conduct_heat(capsys):
    from examples import conduct_heat

    conduct_heat.main()
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:4]]
    assert [row[0] for row in rows] == ["10", "100", "1,000"]
    assert [row[1] for row in rows] == ["23", "divergence", "divergence"]
    assert [int(row[2]) for row in rows] == pytest.approx([14, 46, 203], abs=3)
    assert nonempty("heat.png")


def test_heat_through_layers_and_through_stripes_is_known():
    """Across layers resistances add up, along them conductivities do: exact on every mesh."""
    from examples.conduct_heat import conduct

    a = np.ones((33, 33))
    a[9:21] = 20.0
    across, along = conduct(a), conduct(a.T.copy())
    between = 2 / (1 / a[1:, 0] + 1 / a[:-1, 0])
    np.testing.assert_allclose(across.flux, 1 / np.mean(1 / between), rtol=1e-6)
    parts = np.full(33, 1 / 32)
    parts[[0, -1]] /= 2
    np.testing.assert_allclose(along.flux, a[:, 0] @ parts, rtol=1e-6)


@pytest.mark.slow
def test_project_flow(capsys):
    from examples import project_flow

    project_flow.main()
    out = capsys.readouterr().out
    assert "41.5% of the kinetic energy are left" in out
    assert "4.0 cycles each from the last pressure" in out
    assert nonempty("flow.png")


BOXES = [
    {"shape": (48, 65), "extent": (47, 64), "sides": "neumann"},
    {"shape": (48, 65), "extent": (2, 3), "sides": "periodic"},
    {"shape": (30, 21), "sides": ["periodic", "neumann"]},
    {"coordinates": [np.linspace(0, 1, 40) ** 1.3, np.linspace(0, 1, 33)], "sides": "neumann"},
    {"shape": (12, 17, 14), "sides": "neumann"},
    {"shape": (12, 16, 14), "sides": "periodic"},
]


def box(how):
    import mgcore

    levels = several(mgcore.poisson_levels(**how, smoother="sor", coarsest=1))
    grid = levels[0].grid
    rng = np.random.default_rng(0)
    faces = [
        [len(axis.widths) if j == k else axis.n for j, axis in enumerate(grid.axes)]
        for k in range(grid.ndim)
    ]
    return levels, grid, [rng.standard_normal(shape) for shape in faces]


@pytest.mark.parametrize("how", BOXES)
def test_projection(how):
    from examples.project_flow import divergence, energy, gradient, project

    levels, grid, velocity = box(how)
    p = np.random.default_rng(1).standard_normal(grid.shape)
    Ap = -levels[0].defect(np.zeros(grid.shape), p)
    np.testing.assert_allclose(-divergence(gradient(p, grid), grid), Ap, atol=1e-12 * abs(Ap).max())

    once = project(levels, velocity)
    largest = [abs(divergence(v, grid)).max() for v in (velocity, once.velocity)]
    assert largest[1] < 1e-8 * largest[0]
    # The two parts are orthogonal: energy is lost to the gradient alone.
    parts = energy(once.velocity, grid), energy(gradient(once.solution.u, grid), grid)
    assert sum(parts) == pytest.approx(energy(velocity, grid), rel=1e-8)
    twice = project(levels, once.velocity)
    for first, second in zip(once.velocity, twice.velocity, strict=True):
        np.testing.assert_allclose(second, first, atol=1e-8)


@pytest.mark.parametrize("how", BOXES[:4])
def test_projection_leaves_a_flow_without_divergence_as_it_is(how):
    from examples.project_flow import divergence, project, swirl

    levels, grid, _ = box(how)
    cells = [len(axis.widths) for axis in grid.axes]
    velocity = swirl(np.random.default_rng(0).standard_normal(cells), grid)
    assert abs(velocity[0]).max() > 1
    scale = sum(abs(v).max() / min(a.widths) for v, a in zip(velocity, grid.axes, strict=True))
    assert abs(divergence(velocity, grid)).max() < 1e-14 * scale
    projected = project(levels, velocity).velocity
    for before, after in zip(velocity, projected, strict=True):
        np.testing.assert_allclose(after, before, atol=1e-12 * abs(before).max())


def test_train_mnist_on_digits(capsys):
    from examples import train_mnist

    options = [
        "--dataset", "digits", "--epochs", "6", "--batch-size", "64", "--network", "mgnet-narrow",
        "--channels", "8", "16", "--steps", "2", "2", "--shift", "1", "--lr", "0.24",
        "--precision", "float32",
    ]  # fmt: skip
    history = train_mnist.main([*options, "--out", "run"])[0].history
    out = capsys.readouterr().out
    assert f"last epoch: {history[-1].test['accuracy']:.2%}" in out
    assert "8,578 parameters" in out
    assert "multiply-adds" in out
    assert "mirror" not in out  # a mirrored digit is no digit
    assert history[-1].test["accuracy"] > 0.9
    assert Path("run/curve.png").stat().st_size > 5_000
    result = json.loads(Path("run/run.json").read_text())["result"]
    assert result["last epoch"] == history[-1].test
    assert f"{result['averaged over moves by a pixel']['accuracy']:.2%}" in out
    # A finished run resumes to its own end; nothing overwrites it by accident.
    resume = ["--out", "run", "--resume"]
    assert train_mnist.main(["--dataset", "digits", *resume])[0].history == history
    with pytest.raises(SystemExit, match="another recipe"):
        train_mnist.main(["--dataset", "digits", *resume, "--momentum", "0.1"])
    with pytest.raises(SystemExit, match="holds a run already: go on with it by --resume"):
        train_mnist.main([*options, "--out", "run"])
    longer = train_mnist.main(["--dataset", "digits", *resume, "--epochs", "7"])[0]
    assert "goes on with epochs 7, 6 until now" in capsys.readouterr().out
    assert longer.history[:6] == history


def test_several_seeds_give_mean_and_spread(capsys):
    from examples import train_mnist

    options = [
        "--dataset", "digits", "--epochs", "2", "--network", "mgnet-narrow", "--channels", "4",
        "--steps", "1", "--shift", "1", "--batch-size", "128", "--seeds", "3", "--seed", "5",
    ]  # fmt: skip
    trainers = train_mnist.main([*options, "--out", "runs"])
    assert [trainer.recipe.seed for trainer in trainers] == [5, 6, 7]
    values = [trainer.history[-1].test["accuracy"] for trainer in trainers]
    mean, spread = np.mean(values), np.std(values, ddof=1)
    out = capsys.readouterr().out
    assert f"3 seeds: accuracy {mean:.2%}, standard deviation {spread:.2%}" in out
    written = json.loads(Path("runs/seeds5-7.json").read_text())
    assert written["mean"] == pytest.approx(mean)
    assert written["standard_deviation"] == pytest.approx(spread)
    assert written["seeds"] == dict(zip(("5", "6", "7"), values, strict=True))
    again = train_mnist.main([*options, "--out", "runs", "--resume"])
    assert [trainer.history for trainer in again] == [trainer.history for trainer in trainers]


def test_train_series_has_the_recipe_of_the_table():
    from examples import train_series
    from examples.reproduce import TABLES

    row = next(row for row in TABLES["hearts"]() if row.dataset == "ecg200")
    recipe = replace(PRESETS["fast"], **train_series.SCRIPT.recipe, flip="never")
    assert recipe == row.recipe


def test_train_mnist_trains_the_network_of_the_table():
    from examples import train_mnist
    from examples.reproduce import TABLES

    row = next(row for row in TABLES["mnist"]() if row.network == "mgnet-hat")
    script = train_mnist.SCRIPT
    assert replace(PRESETS["fast"], **script.recipe, flip="never") == row.recipe
    assert script.network == row.network
    assert {k: tuple(v) for k, v in script.network_options.items()} == row.options


def test_train_cifar_trains_the_network_of_the_hour():
    from examples import train_cifar
    from examples.reproduce import TABLES
    from mgnet import zoo

    (row,) = TABLES["hour"]()
    script = train_cifar.SCRIPT
    recipe = replace(PRESETS["fast"], **script.recipe, epochs=40, cutout=8)
    assert (recipe, script.network) == (row.recipe, row.network)
    assert not script.network_options
    command = zoo.ZOO[row.network].results[0].command
    assert command.endswith("--epochs 40 --cutout 8 --sigma " + row.options["sigma"])


@pytest.mark.data
@pytest.mark.skipif("MGNET_DATA" not in os.environ, reason="MGNET_DATA names no folder")
def test_train_series_on_heart_beats():
    from examples import train_series

    options = ["--dataset", "ecg200", "--epochs", "30"]
    trainer = train_series.main([*options, "--out", "run"])[0]
    assert sum(p.numel() for p in trainer.model.parameters()) == 3450
    assert trainer.history[-1].test["accuracy"] > 0.75


def test_train_cifar_says_how_to_go_on(monkeypatch):
    from examples import train_mnist
    from mgnet.training import Interrupted, Trainer

    def interrupted(self):
        self.folder.mkdir()
        (self.folder / "checkpoint.pt").touch()
        raise Interrupted("interrupted in epoch 1; saved in run/checkpoint.pt")

    monkeypatch.setattr(Trainer, "fit", interrupted)
    monkeypatch.setattr(sys, "argv", ["examples/train_mnist.py"])
    options = ["--dataset", "digits", "--network", "mgnet-narrow", "--out", "a b"]
    command = "go on with: python examples/train_mnist.py --dataset digits --network mgnet-narrow "
    with pytest.raises(SystemExit, match=f"{command}--out 'a b' --resume"):
        train_mnist.main(options)


def test_train_cifar_reports_missing_data(tmp_path):
    from examples import train_cifar

    with pytest.raises(SystemExit, match="holds no cifar-10-batches-bin"):
        train_cifar.main(["--data", str(tmp_path)])
    with pytest.raises(SystemExit, match="finds no device 'cuda:99' here"):
        train_cifar.main(["--device", "cuda:99"])
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit, match="file"):
        train_cifar.main(["--out", str(tmp_path / "file")])


def small_table():
    from examples.reproduce import SHORT, Row

    recipe = replace(SHORT, epochs=2, shift=1, flip="never", batch_size=128)
    options = {"channels": (4, 8), "steps": (1, 1)}
    yield Row("small", "MgNet", "mgnet-narrow", "digits", options, recipe, 2, "99")
    yield Row("small", "ridge", "logistic-ridge", "digits", seeds=1)


def test_reproduce_keeps_what_is_done_and_goes_on(monkeypatch, capsys):
    from examples import reproduce
    from mgnet.training import Trainer

    monkeypatch.setattr(reproduce, "TABLES", {"small": small_table})
    options = ["--tables", "small", "--summary", "done.json", "--out", "runs"]
    evaluate = Trainer.evaluate

    def evaluate_and_stop(self):
        if self.recipe.seed == 1 and self.epoch == 0:
            signal.raise_signal(signal.SIGTERM)  # as when the time is over
        return evaluate(self)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "evaluate", evaluate_and_stop)
        assert not reproduce.main(options)
    assert "the same command goes on" in capsys.readouterr().out
    done = json.loads(Path("done.json").read_text())
    assert [(e["label"], e["seed"]) for e in done] == [("MgNet", 0), ("ridge", 0)]

    assert reproduce.main(options)
    out = capsys.readouterr().out
    assert "1 runs to do" in out
    assert "epoch   2" in out
    assert "epoch   1" not in out  # that was done
    values = [e["accuracy"] for e in json.loads(Path("done.json").read_text()) if "epochs" in e]
    mean, spread = 100 * np.mean(values), 100 * np.std(values, ddof=1)
    assert f"| MgNet | digits | 2,230 | 99 | {mean:.2f} ± {spread:.2f} | 2 |" in out
    assert reproduce.main([*options, "--hours", "0"])
    assert "0 runs to do" in capsys.readouterr().out


def test_processes_of_reproduce_share_the_work(monkeypatch, capsys):
    from examples import reproduce
    from mgnet.folder import claimed

    monkeypatch.setattr(reproduce, "TABLES", {"small": lambda: list(small_table())[1:]})
    options = ["--tables", "small", "--summary", "new/done.json", "--out", "runs"]
    (ridge,) = reproduce.TABLES["small"]()
    with claimed(Path("runs", "small", f"{ridge.digest()}-seed0")):
        assert not reproduce.main(options)
    said = capsys.readouterr().out
    assert "another process is at work on it" in said
    assert "not all of it is done yet: the same command goes on" in said

    # What another process does after the list of what is to be done was made.
    summary, other = (reproduce.Summary(Path("new/done.json")) for _ in range(2))
    load = reproduce.data.load

    def load_and_be_late(*args):
        other.add(ridge, 0, accuracy=0.5, auc=None, seconds=1.0)
        return load(*args)

    monkeypatch.setattr(reproduce.data, "load", load_and_be_late)
    monkeypatch.setattr(reproduce, "TABLES", {"small": small_table})
    assert reproduce.main(options)
    assert summary.find(ridge, 0)["accuracy"] == 0.5
    assert "ridge, digits, seed 0" not in capsys.readouterr().out


def test_processes_of_reproduce_lose_no_results():
    from examples import reproduce

    rows = [replace(next(small_table()), label=str(k)) for k in range(20)]
    with ThreadPoolExecutor(4) as threads:  # one summary each, as processes would have
        for row in rows:
            threads.submit(reproduce.Summary(Path("done.json")).add, row, 0, accuracy=0.5)
    assert {e["label"] for e in json.loads(Path("done.json").read_text())} == set(
        map(str, range(20))
    )


def test_the_time_of_reproduce_ends_a_baseline_too(monkeypatch, capsys):
    from examples import reproduce

    def endless(*args):
        signal.raise_signal(signal.SIGTERM)  # as when the time is over
        raise AssertionError("it went on")

    monkeypatch.setattr(reproduce, "TABLES", {"small": lambda: list(small_table())[1:]})
    monkeypatch.setattr(reproduce.baselines, "evaluate", endless)
    options = ["--tables", "small", "--summary", "done.json", "--out", "runs"]
    before = signal.getsignal(signal.SIGTERM)
    assert not reproduce.main(options)
    assert "the same command goes on" in capsys.readouterr().out
    assert signal.getsignal(signal.SIGTERM) is before

    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(reproduce.baselines, "evaluate", interrupted)
    assert not reproduce.main(options)
    assert "the same command goes on" in capsys.readouterr().out


def test_what_reproduce_cannot_use_is_said_in_one_sentence(monkeypatch):
    from examples import reproduce

    monkeypatch.setattr(reproduce, "TABLES", {"small": small_table})
    Path("damaged.json").write_text("[{")
    with pytest.raises(SystemExit, match=r"reproduce: damaged.json is damaged .*: name another"):
        reproduce.main(["--tables", "small", "--show", "--summary", "damaged.json"])
    options = ["--tables", "small", "--summary", "done.json", "--out", "runs"]
    with pytest.raises(SystemExit, match="reproduce: torch finds no device 'nowhere' here"):
        reproduce.main([*options, "--device", "nowhere"])


def test_data_that_are_missing_do_not_keep_other_rows_from_their_turn(
    monkeypatch, tmp_path, capsys
):
    from examples import reproduce

    first, ridge = small_table()
    rows = [replace(first, dataset="ecg200"), ridge]
    monkeypatch.setattr(reproduce, "TABLES", {"small": lambda: rows})
    options = ["--tables", "small", "--summary", "done.json", "--out", "runs"]
    assert not reproduce.main([*options, "--data", str(tmp_path)])
    out = capsys.readouterr().out
    assert out.count("small, ecg200: ") == 1
    assert "the same command goes on" in out
    assert reproduce.Summary(Path("done.json")).find(ridge, 0)


def test_a_row_that_diverges_does_not_keep_the_others_from_their_turn(monkeypatch, capsys):
    from examples import reproduce

    first, second = list(small_table())[:2]
    wild = replace(first, recipe=replace(first.recipe, sgd_lr=1e30, optimizer="sgd"))
    monkeypatch.setattr(reproduce, "TABLES", {"small": lambda: [wild, second]})
    options = ["--tables", "small", "--summary", "done.json", "--out", "runs"]
    assert reproduce.main(options)
    out = capsys.readouterr().out
    assert "this row diverges, and is not tried again" in out
    assert "| MgNet | digits | diverged with 2 seeds |" in out
    assert reproduce.Summary(Path("done.json")).find(second, 0)["accuracy"] > 0.9
    assert reproduce.main(options)
    assert "0 runs to do" in capsys.readouterr().out
    # Where one seed comes through, the mean is its own.
    summary = reproduce.Summary(Path("done.json"))
    summary.add(wild, 1, accuracy=0.5, seconds=60.0)
    assert "| MgNet | digits | - | 99 | 50.00 | 1 of 2, the others diverged | -" in (
        reproduce.markdown([wild], summary)
    )


def test_accuracy_against_parameters_is_drawn(capsys):
    from examples import reproduce

    summary = reproduce.Summary(Path("done.json"))
    for k, row in enumerate(reproduce.TABLES["sizes"]()):
        if k != 3:
            summary.add(row, 0, parameters=10 ** (3 + k % 4), accuracy=0.8 + 0.01 * k, seconds=60.0)
    before = os.listdir()
    options = ["--tables", "sizes", "--summary", "done.json"]
    reproduce.main(["--show", *options])
    assert "| MgNet, 2 to 16 | cifar10 | 1,000 | - | 80.00 | 1 |" in capsys.readouterr().out
    assert os.listdir() == before
    assert not reproduce.main(["--hours", "0", *options])
    assert Path("sizes.png").stat().st_size > 10_000
    # A row that was changed is not done.
    first = next(reproduce.TABLES["sizes"]())
    assert summary.find(first, 0)
    assert not summary.find(replace(first, options={"channels": (3, 6)}), 0)


def test_what_was_done_is_found_when_recipes_have_new_options():
    from mgnet.recipe import Recipe, option

    @dataclass(frozen=True)
    class Later(Recipe):
        added: float = option(0.0, "an option of a later version", least=0)

    row = next(small_table())
    later = replace(row, recipe=Later(**asdict(row.recipe)))
    assert later.digest() == row.digest()
    for changes in ({"epochs": 3}, {"added": 0.5}, {"lr": 0.07}):
        assert replace(row, recipe=replace(later.recipe, **changes)).digest() != row.digest()


def test_every_row_of_reproduce_can_be_built():
    from examples.reproduce import TABLES
    from mgnet import baselines, zoo

    rows = [row for table in TABLES.values() for row in table()]
    assert len({(r.table, r.label, r.dataset) for r in rows}) == len(rows)
    for row in rows:
        assert row.digest() == replace(row).digest()
        if row.network in baselines.BASELINES:
            continue
        with torch.device("meta"):
            zoo.build(row.network, **row.options)


@pytest.mark.slow
def test_smoothers_benchmark(capsys):
    from benchmarks import smoothers

    rows = smoothers.main(["--steps", "200", "--train-on", "31", "--sizes", "31", "127"])
    factor = {(r.smoother, r.cycle, r.unknowns): r.factor for r in rows}
    assert factor["trained 3x3", "V(1,1)", "127^2"] <= 0.13
    assert factor["Jacobi", "V(1,1)", "127^2"] == pytest.approx(0.366, rel=0.05)
    assert factor["red-black Gauss-Seidel", "V(1,1)", "127^2"] == pytest.approx(0.119, rel=0.05)
    assert nonempty("smoothers.png", "spectrum.png")


def test_precision_benchmark():
    from benchmarks import precision

    row = precision.measure((3, 1025), (1.0, 1.0))
    assert row.status == "ROUNDOFF"
    assert row.residual > 1e-4  # and yet
    assert row.error < 4
    assert all(len(shape) == len(extent) for shape, extent in precision.GRIDS)


@pytest.mark.slow
def test_busy_benchmark(monkeypatch, capsys):
    from benchmarks import busy

    median, worst = busy.step_times(1)
    assert 0 < median <= worst
    monkeypatch.setattr(busy, "SHAPES", ((17, 17),))
    monkeypatch.setattr(busy, "step_times", lambda *_, **__: (median, worst))  # each imports torch
    busy.main()
    table = capsys.readouterr().out
    assert "| 17 x 17 | 1 |" in table
    assert "OMP_WAIT_POLICY=passive |" in table
    with busy.busy_cores(2) as crowd:
        assert all(process.poll() is None for process in crowd)
    assert all(process.poll() is not None for process in crowd)


@pytest.mark.slow
def test_poisson_benchmark(capsys):
    from benchmarks import poisson

    sizes = ["--sizes-2d", "65", "129", "--sizes-3d", "33"]
    goals = poisson.main([*sizes, "--rounds", "1", "--no-startup"])
    with open("results/poisson.csv", newline="") as stream:
        rows = [poisson.Row._make(row) for row in list(csv.reader(stream))[1:]]
    solvers = {(row.nodes, row.solver) for row in rows}
    for nodes in ("65^2", "129^2", "33^3"):
        assert {
            (nodes, "full multigrid"),
            (nodes, "solve_poisson, mixed"),
            (nodes, "sine transforms"),
        } < solvers
    assert all(0 <= float(row.error) <= 1 for row in rows)
    assert all(float(row.ns_per_unknown) > 0 for row in rows)
    assert [goal.measure for goal in goals] == [
        f"{nodes}: memory beside g and u, {precision}{border}"
        for nodes in ("129^2", "33^3")
        for precision in ("float64", "mixed")
        for border in ("", ", non-zero border")
    ]
    assert "|  | 65^2 | 129^2 | 33^3 |" in capsys.readouterr().out
    assert nonempty("poisson.png")


def test_wrong_solutions_are_not_timed(monkeypatch):
    from benchmarks import poisson

    solve = poisson.mgcore.solve_poisson
    loose = lambda g, rtol, **how: solve(g, rtol=100 * rtol, **how)  # noqa: E731
    monkeypatch.setattr(poisson.mgcore, "solve_poisson", loose)
    with pytest.raises(RuntimeError, match="solve_poisson is wrong"):
        poisson.reduced((65, 65), 1e-6, 1)


def test_times_stand_by_size_and_solver():
    from benchmarks.poisson import DST, Row, by_size

    rows = [
        Row("to discretisation error", "33^2", "full multigrid", 4.0, 0.1),
        Row("to discretisation error", "33^2", DST, 16.0, 0.0),
        Row("residual x 1e-08", "33^2", DST, 17.0, 0.0),
        Row("residual x 1e-08", "65^2", "solve_poisson", 12.3456, 0.1),
    ]
    assert by_size(rows).splitlines() == [
        "|  | 33^2 | 65^2 |",
        "| --- | --- | --- |",
        "| full multigrid | 4 |  |",
        "| sine transforms | 16 |  |",
        "| solve_poisson, residual x 1e-08 |  | 12.3 |",
    ]


def test_goals_compare_what_was_measured():
    from benchmarks.poisson import Row, goals

    task = "to discretisation error"
    rows = [
        Row(task, "4097^2", "full multigrid", 4.0, 0.1),
        Row(task, "4097^2", "sine transforms", 16.0, 0.0),
    ]
    turns = [
        Row("sizes in turn", nodes, "full multigrid", t, 0.0)
        for nodes, t in (("513^2", 6.1), ("4097^2", 4.0))
    ]
    against_dst, *flat = goals(rows + turns, {}, {})
    assert (against_dst.reached, against_dst.met) == ("4.00 x", True)
    assert [(goal.reached, goal.met) for goal in flat] == [("1.52 x", False), ("1.00 x", True)]
    rows[0] = rows[0]._replace(ns_per_unknown=8.0)
    assert not goals(rows, {}, {})[0].met
    memory = goals([], {"memory": 1.6, "memory, non-zero border": 1.6}, {})
    assert [goal.met for goal in memory] == [False, True]
    starts = {
        "2D": {"import": 0.3, "cold": 21.0, "warm": 0.5},
        "3D": {"import": 0.5, "cold": 12.0, "warm": 0.4},
    }
    reached = {goal.measure: goal for goal in goals([], {}, starts)}
    assert len(reached) == 5
    assert reached["import mgcore"].reached == "0.50 s"
    assert [name for name, goal in reached.items() if not goal.met] == [
        "first solve, 2D, cold cache"
    ]


@pytest.mark.slow
def test_training_benchmark(capsys):
    from benchmarks import training

    rows = training.main(["--quick", "--no-memory", "--device", "cpu"])
    here, pyramid = ["here", "here, Muon"], ["here, float32, channels last"]
    pyramid = ["as published", *here, *pyramid, "here, float32, contiguous"]
    assert [(row.network, row.way) for row in rows] == [
        *[("mgnet-256", way) for way in ("as published", *here)],
        *[("mgnet-64", way) for way in ("as published", *here)],
        *[("mgnet-narrow", way) for way in pyramid],
        *[("resnet18", way) for way in ("plain", "here")],
    ]
    for row in rows:
        assert 0 < row.slowest <= row.median <= row.fastest
        assert row.share_of_peak > 0
        assert (row.times_published == 1) or row.way not in ("as published", "plain")
        if row.way in ("as published", "plain", *pyramid[3:]):
            assert row.precision == "float32"
    with open("results/training.csv", newline="") as stream:
        header, *lines = csv.reader(stream)
    assert tuple(header) == training.Row._fields
    assert [line[:2] for line in lines] == [list(row[:2]) for row in rows]
    out = capsys.readouterr().out
    assert "| mgnet-narrow | 2 | here, float32, contiguous | float32, contiguous |" in out
    assert "Matrix products, GFLOP/s: " in out
    assert "Goals" not in out  # there are none for narrow networks
    assert nonempty("training.png")
    with pytest.raises(SystemExit, match="finds no device 'cuda:99' here"):
        training.main(["--device", "cuda:99"])


@pytest.mark.slow
def test_memory_of_training_is_that_of_a_fresh_process(monkeypatch):
    import torch

    from benchmarks import training

    ways = training.ways
    monkeypatch.setattr(training, "ways", lambda *which: ways(*which)[:2])
    network = training.NETWORKS["mgnet-64"]
    ballast = torch.ones(2**28)  # 1 GiB here, of which a child has nothing
    plan = training.Plan(torch.device("cpu"), {"mgnet-64": network}, False, 2, 1, 1, (8,))
    found, before = training.peak_memory(plan)
    assert list(found) == [("mgnet-64", way) for way in ("as published", "here")]
    assert all(before < mib < 1000 for mib in found.values())
    assert ballast[-1] == 1


@pytest.mark.parametrize(
    ("name", "parameters", "here", "there"),
    [
        ("mgnet-256", 8_278_794, 3.60e9, 4.60e9),
        ("mgnet-64", 521_418, 0.226e9, 0.289e9),
        ("mgnet-narrow", 2_349_994, 0.171e9, 0.237e9),
    ],
)
def test_the_published_form_is_the_same_network(name, parameters, here, there):
    from benchmarks.published import PICTURE, Published, check_same
    from benchmarks.training import NETWORKS
    from mgnet import MgNet
    from mgnet.cost import count_parameters, multiply_adds

    channels = NETWORKS[name].channels
    assert check_same(channels) < 1e-4
    models = MgNet(channels=channels), Published(channels)
    assert [count_parameters(model) for model in models] == [parameters] * 2
    costs = [multiply_adds(model, PICTURE) for model in models]
    assert costs == [pytest.approx(here, rel=3e-3), pytest.approx(there, rel=3e-3)]


def test_the_published_form_has_the_same_gradients():
    import torch

    from benchmarks.published import twin
    from mgnet import MgNet

    torch.manual_seed(0)
    here = MgNet(channels=(4, 6), steps=(2, 3)).double()
    there = twin(here).double()
    pictures = torch.randn(4, 3, 8, 8, dtype=torch.float64)
    for model in (here, there):
        model(pictures).square().sum().backward()
    torch.testing.assert_close(here.levels[0].A[0].weight.grad, there.A[0].weight.grad)
    torch.testing.assert_close(here.levels[1].B[0].weight.grad, there.B[1].weight.grad)
    torch.testing.assert_close(here.stem[0].weight.grad, there.theta.weight.grad)


def test_networks_that_differ_are_not_timed(monkeypatch):
    import torch

    from benchmarks import published

    right = published.twin

    def wrong(network):
        model = right(network)
        with torch.no_grad():
            model.head.bias += 1e-3
        return model

    monkeypatch.setattr(published, "twin", wrong)
    with pytest.raises(RuntimeError, match="scores of both forms differ by 0.001"):
        published.check_same((4, 4, 4, 4))
    monkeypatch.setattr(published, "twin", lambda network: torch.nn.Linear(2, 2))
    with pytest.raises(RuntimeError, match="parameters here, 6 there"):
        published.check_same((4, 4, 4, 4))


def test_compiled_training_has_a_row_of_its_own(monkeypatch):
    import torch

    from benchmarks import training

    cpu, network = torch.device("cpu"), training.NETWORKS["mgnet-64"].narrow()
    compiled = [way for way in training.ways("mgnet-64", cpu, compiled=True) if way.compiled]
    assert [way.name for way in compiled] == ["here, compiled"]
    compile = functools.partial(torch.compile, backend="eager")
    monkeypatch.setattr(torch, "compile", compile)
    here = compiled[0]._replace(compiled=False)
    losses = [training.Training(network, way, 2, cpu).step() for way in (here, compiled[0])]
    assert losses[0].item() == pytest.approx(losses[1].item(), rel=1e-5)


def test_training_goals_are_for_bfloat16():
    import torch

    from benchmarks.training import Row, goals

    row = Row(
        "mgnet-64", "here", "bfloat16", "channels_last", 128, 521_418, 226_493_056, 100.0, 90.0,
        110.0, 3.25, 0.7, 400.0, 0.1,
    )  # fmt: skip
    rows = [row, row._replace(way="here, compiled", times_published=3.31)]
    rows += [row._replace(way="here, Muon"), row._replace(network="mgnet-256")]
    reached = goals(rows, torch.device("cpu"))
    assert [(goal.reached, goal.met) for goal in reached] == [("3.25 x", False), ("3.31 x", True)]
    (goal,) = goals(rows, torch.device("cuda"))
    assert (goal.wanted, goal.reached, goal.met) == ("30%", "70%", True)
    assert goals([row._replace(precision="float32")], torch.device("cpu")) == []


@pytest.mark.parametrize("shape", [(33, 33), (9, 9, 9)])
def test_petsc_solves_the_same_problem(shape):
    pytest.importorskip("petsc4py")
    import numpy as np

    from benchmarks.poisson import laplacian, petsc_solver
    from mgcore import Grid

    A = laplacian(Grid(shape))
    b = np.random.default_rng(0).standard_normal(A.shape[0])
    x = petsc_solver(A, 1e-8, Grid(shape))(b)
    assert np.linalg.norm(b - A @ x) <= 1.01e-8 * np.linalg.norm(b)


def test_one_step_of_jacobi_leaves_what_theory_says():
    import numpy as np

    from benchmarks.smoothers import spectrum

    n = 31
    cosine = np.cos(np.pi * np.arange(1, n + 1) / (n + 1))
    expected = abs(1 - 0.8 * (1 - (cosine[:, None] + cosine) / 2))
    np.testing.assert_allclose(spectrum("jacobi", n), expected, atol=1e-6)


def test_small_benchmarks(capsys, monkeypatch):
    import torch

    from benchmarks import batches, coarsest

    before = torch.get_num_threads()
    monkeypatch.setattr(coarsest, "SHAPES", ((65, 65), (33, 17)))
    monkeypatch.setattr(batches, "PROBLEMS", [((65, 65), "neumann")])
    coarsest.main(["--rounds", "2"])
    batches.main(["--rounds", "1", "--batch", "2"])
    torch.set_num_threads(before)
    cells = [line.split(" | ") for line in capsys.readouterr().out.splitlines()]
    assert len(cells) == 4 + 3
    times = [*cells[2][1:], *cells[6][2:]]
    assert all(float(t.strip(" |")) > 0 or "nan" in t for t in times)


def test_benchmarks_of_other_operators_and_sizes(capsys, monkeypatch):
    from benchmarks import convergence, operators, repeated, sizes

    monkeypatch.setattr(sizes, "SHAPES", ((20, 20),))
    monkeypatch.setattr(repeated, "SHAPES", ((65, 65),))
    monkeypatch.setattr(repeated, "SMALL", {(33, 33): 1e9})
    for reached, name in (
        (sizes.main(["--rounds", "2"]), "sizes"),
        (repeated.main(["--rounds", "2"]), "repeated"),
        (operators.main(["--size-2d", "65", "--size-3d", "17", "--rounds", "1"]), "operators"),
    ):
        assert reached
        assert Path(f"results/{name}.csv").stat().st_size > 50
    assert repeated.main(["--rounds", "2"])[-1].met
    with open("results/operators.csv", newline="") as stream:
        factors = {(r["problem"], r["nodes"]): float(r["factor"]) for r in csv.DictReader(stream)}
    assert factors["Neumann", "65\u00b2"] == pytest.approx(0.039, abs=0.002)
    assert factors["variable a", "17\u00b3"] == pytest.approx(0.109, abs=0.002)
    assert factors["one strong axis, lines", "65\u00b2"] < 1e-3
    capsys.readouterr()
    monkeypatch.setattr(convergence, "FACTOR_GRIDS", ((33, 33),))
    monkeypatch.setattr(convergence, "RATIO_GRIDS", {2: (17,)})
    monkeypatch.setattr(convergence, "WEAK", (1.0, 1e-4))
    convergence.main()
    out = capsys.readouterr().out
    assert "| red-black Gauss-Seidel | 0.119 / 0.080 / 0.060 / 0.073 |" in out
    assert "| 2D, grids down to one unknown | 17 | 0.0288 | 0.0957 |" in out
    assert "| 2D, zebra lines | 0.066 | 0.000 |" in out
