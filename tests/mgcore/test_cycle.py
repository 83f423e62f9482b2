"""Cycles as data, and the interpreter that walks them."""

import copy
import pickle
import subprocess
import sys

import pytest

from mgcore.cycle import (
    Cycle,
    Visit,
    cycle_pair,
    f_cycle,
    full_multigrid,
    run,
    slash_cycle,
    v_cycle,
    w_cycle,
)


class Recorder:
    """A level that writes down what is asked of it, in the words of a recursive multigrid."""

    def __init__(self, number, log):
        self.number, self.log = number, log

    def smooth(self, state, steps):
        self.log.append(("smooth", self.number, steps))
        return state

    def descend(self, state, steps):
        self.log.append(("down", self.number, steps))
        return state, self.number + 1

    def ascend(self, state, coarse, steps):
        assert coarse == self.number + 1
        self.log.append(("up", self.number, steps))
        return state

    def interpolate(self, state, coarse):
        assert coarse == self.number + 1
        self.log.append(("fresh", self.number))
        return state


def walk(cycle, n):
    log = []
    assert run([Recorder(k, log) for k in range(n)], cycle, cycle[0].level) == cycle[-1].level
    return log


def recursive(n, pre, post, kind, level=0):
    """Textbook recursion (Trottenberg et al. 2001, section 2.4), as a list of operations."""
    if level == n - 1:
        return [("smooth", level, pre + post)]
    below = recursive(n, pre, post, kind, level + 1)
    if level + 1 < n - 1 and kind in "wf":
        below = below + recursive(n, pre, post, "v" if kind == "f" else "w", level + 1)
    return [("down", level, pre), *below, ("up", level, post)]


@pytest.mark.parametrize("n", [1, 2, 3, 5])
@pytest.mark.parametrize(("kind", "build"), [("v", v_cycle), ("w", w_cycle), ("f", f_cycle)])
def test_cycles_are_the_textbook_recursions(n, kind, build):
    assert walk(build(n, 2, 1), n) == recursive(n, 2, 1, kind)


def test_full_multigrid_starts_each_grid_from_the_coarser_solution():
    expected = [("down", 0, 0), ("down", 1, 0), ("smooth", 2, 3)]
    for level in (1, 0):
        expected += [("fresh", level), *recursive(3, 1, 2, "v", level)]
    assert walk(full_multigrid(3, 1, 2), 3) == expected


def test_slash_cycle_goes_down_only():
    assert slash_cycle((2, 3, 4)) == ((0, 2, False), (1, 3, False), (2, 4, False))
    assert walk(slash_cycle((2, 3, 4)), 3) == [("down", 0, 2), ("down", 1, 3), ("smooth", 2, 4)]


def test_every_visit_smooths_exactly_once():
    # A turn written as one visit: up, two steps, down again.
    cycle = Cycle([(0, 1), (1, 1), (0, 2), (1, 1), (0, 1)])
    assert walk(cycle, 2) == [
        ("down", 0, 1), ("smooth", 1, 1), ("up", 0, 2),
        ("down", 0, 0), ("smooth", 1, 1), ("up", 0, 1),
    ]  # fmt: skip


def test_fresh_visit_may_smooth():
    assert walk(Cycle([(0, 0), (1, 1), (0, 3, True)]), 2) == [
        ("down", 0, 0), ("smooth", 1, 1), ("fresh", 0), ("smooth", 0, 3),
    ]  # fmt: skip


def test_work_units_are_exact():
    sizes = [(2**s - 1) ** 2 for s in (7, 6, 5, 4, 3, 2, 1)]
    relative = [size / sizes[0] for size in sizes]
    assert v_cycle(7).work_units(sizes) == pytest.approx(2 * sum(relative[:-1]))
    assert w_cycle(4, 1, 1).work_units([64, 16, 4, 1]) == 2 * (1 + 2 / 4 + 4 / 16)
    assert f_cycle(4, 1, 1).work_units([64, 16, 4, 1]) == 2 * (1 + 2 / 4 + 3 / 16)
    assert full_multigrid(4).work_units([64, 16, 4, 1]) == 2 * (1 + 2 / 4 + 3 / 16)
    # V(1,1) on ever finer grids costs 2 (1 + 1/4 + 1/16 + ...) = 8/3 in 2D.
    assert v_cycle(12).work_units([4.0**-k for k in range(12)]) == pytest.approx(8 / 3, rel=1e-6)


def test_diagram():
    assert str(v_cycle(3, 2, 1)) == (
        "level 0  2       1\n"
        "          \\     /\n"
        "level 1    2   1\n"
        "            \\ /\n"
        "level 2      o"
    )  # fmt: skip
    assert str(slash_cycle((2, 3))) == "level 0  2\n          \\\nlevel 1    3"
    assert "^" in str(full_multigrid(3))
    # A visit is a solve only where the last level is known, and is that one.
    cut = [(0, 1), (1, 8), (0, 1)]
    for levels, mark in ((None, "8"), (3, "8"), (2, "o")):
        assert str(Cycle(cut, levels)) == (
            f"level 0  1   1\n          \\ /\nlevel 1    {mark}"
        )  # fmt: skip
    assert len(str(full_multigrid(12)).splitlines()) == 12


@pytest.mark.parametrize(
    ("visits", "message"),
    [
        ([], "at least one visit"),
        ([(0, 1), (2, 1)], "one level at most"),
        ([(0, -1)], "0 or more"),
        ([(0, 1.5)], "whole numbers"),
        ([(1, 1), (0, 1)], "rise above the level it starts on"),
        ([(-1, 1)], "0 or more"),
        ([(0, 1), (1, 1, True)], "next coarser level"),
        ([(0, 1, True)], "next coarser level"),
        ([(0, 1), (1, 1), (2, 1, True)], "next coarser level"),
    ],
)
def test_impossible_cycles_are_refused(visits, message):
    with pytest.raises(ValueError, match=message):
        Cycle(visits)


@pytest.mark.parametrize("build", [v_cycle, w_cycle, f_cycle, full_multigrid])
def test_a_cycle_needs_a_level(build):
    with pytest.raises(ValueError, match="at least one level"):
        build(0)


def test_a_cycle_remembers_its_levels():
    for build in (v_cycle, w_cycle, f_cycle, full_multigrid):
        cycle = build(3)
        assert cycle.levels == 3
        for twin in (pickle.loads(pickle.dumps(cycle)), copy.deepcopy(cycle), Cycle(cycle, 3)):
            assert twin == cycle
            assert str(twin) == str(cycle)
    assert slash_cycle((1, 2)).levels is None
    assert Cycle(v_cycle(3), 4) == v_cycle(3)
    with pytest.raises(ValueError, match="for 2 levels may not visit level 2"):
        Cycle(v_cycle(3), 2)


def test_a_solve_tells_its_cycle_the_levels():
    given = [(0, 1), (1, 2), (0, 1)]
    for n, direct, mark in ((2, True, "o"), (3, True, "2"), (2, False, "2")):
        for cycle in (given, Cycle(given), v_cycle(2)):
            first, then = cycle_pair(cycle, n, direct=direct)
            assert first is then
            assert str(first).splitlines()[-1] == f"level 1    {mark}"
    assert "o" not in str(cycle_pair("fmg", 3, direct=False)[0]).replace("level", "")


def test_visits_are_plain_tuples():
    assert v_cycle(2) == ((0, 1, False), (1, 2, False), (0, 1, False))
    assert v_cycle(2)[0] == Visit(0, 1)


def test_the_driver_imports_the_standard_library_only():
    code = (
        "import sys, importlib.util as u\n"
        "s = u.spec_from_file_location('cycle', sys.argv[1]); m = u.module_from_spec(s)\n"
        "sys.modules['cycle'] = m; before = set(sys.modules); s.loader.exec_module(m)\n"
        "new = {n.split('.')[0] for n in set(sys.modules) - before}\n"
        "sys.exit(str(new - sys.stdlib_module_names) if new - sys.stdlib_module_names else 0)"
    )
    import mgcore.cycle

    subprocess.run([sys.executable, "-S", "-c", code, mgcore.cycle.__file__], check=True)


def test_importing_mgcore_imports_neither_torch_nor_matplotlib():
    code = "import mgcore, sys; assert not {'torch', 'matplotlib'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
