"""Threads, forked processes, and a cache that cannot be written."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest

import mgcore
from mgcore import solve_poisson, threads

PACKAGE = Path(mgcore.__file__).parent


def python(code, *arguments, **environment):
    """What a Python process of its own prints."""
    result = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=os.environ | {key: str(value) for key, value in environment.items()},
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    if "threading layer" in result.stderr and environment.get("NUMBA_THREADING_LAYER") == "omp":
        pytest.skip("this build of Numba has no OpenMP layer")
    assert result.returncode == 0, result.stderr[-2000:]
    return result


def test_threads_are_limited_for_one_call():
    g = np.random.default_rng(0).standard_normal((257, 257))
    before, most = threads.count(), numba.config.NUMBA_NUM_THREADS
    seen = []
    one = solve_poisson(g, threads=1, callback=lambda _: seen.append(threads.count()))
    assert set(seen) == {1}
    assert threads.count() == before
    every = solve_poisson(g, threads=most)
    assert abs(one.u - every.u).max() <= 1e-12 * abs(one.u).max()
    with threads.limited(1):
        assert threads.count() == 1
        with threads.limited(most):
            assert threads.count() == most
        assert threads.count() == 1
    assert threads.count() == before
    for wrong in (0, most + 1, 1.5, "2", True):
        with pytest.raises(ValueError, match="threads must be a whole number from 1 to"):
            solve_poisson(g, threads=wrong)


COUNT = """
import numba, numpy as np, mgcore
from mgcore import threads
g = np.ones((257, 257))
print(threads.count(), len(mgcore.poisson_levels(g.shape, smoother="sor")[0].start(g).space))
mgcore.solve_poisson(g)
numba.set_num_threads(1)
print(threads.count(), len(mgcore.poisson_levels(g.shape, smoother="sor")[0].start(g).space))
"""


@pytest.mark.parametrize("n", [1, 2, 3])
def test_environment_and_numba_are_asked(n):
    assert python(COUNT, NUMBA_NUM_THREADS=n).stdout.split() == [f"{n}", f"{n}", "1", "1"]


THREADS = """
import sys
from concurrent.futures import ThreadPoolExecutor
import numpy as np, numba, mgcore
levels = mgcore.poisson_levels((257, 257), smoother="sor")
sides = [np.random.default_rng(k).standard_normal((257, 257)) for k in range(4)]
with ThreadPoolExecutor(4) as pool:
    at_once = list(pool.map(lambda g: mgcore.solve(levels, g).u, sides * 5))
assert all((u == mgcore.solve(levels, g).u).all() for u, g in zip(at_once, sides * 5))
assert numba.threading_layer() == sys.argv[1]
"""


@pytest.mark.parametrize("layer", ["workqueue", "omp"])
def test_one_hierarchy_serves_several_threads_at_once(layer):
    # workqueue, which Numba falls back to, aborts the process if kernels run at the same time.
    python(THREADS, layer, NUMBA_THREADING_LAYER=layer, NUMBA_NUM_THREADS=2)


FORKED = """
import multiprocessing, sys, threading
import numpy as np, numba, mgcore
from mgcore import threads
g = np.random.default_rng(0).standard_normal((257, 257))
u = mgcore.solve_poisson(g).u
levels = mgcore.poisson_levels(g.shape)
state = levels[0].start(g)  # made for several threads
assert numba.threading_layer() == sys.argv[1]

def work(k):
    assert threads.count() == 1
    with threads.limited(2):  # asks for what there is not
        again = mgcore.solve_poisson((k + 1) * g).u
    mgcore.run(levels, mgcore.v_cycle(len(levels)), state)
    return abs(again / (k + 1) - u).max() / abs(u).max()

with multiprocessing.get_context("fork").Pool(2) as pool:
    assert max(pool.map_async(work, range(4)).get(timeout=200)) < 1e-7
assert threads.count() == 2
mgcore.solve_poisson(g)  # and the parent goes on
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("layer", ["workqueue", "omp"])
def test_forked_processes_solve_after_their_parent_did(layer):
    # GNU OpenMP ends a forked process that uses it, workqueue waits for threads that are gone.
    python(FORKED, layer, NUMBA_THREADING_LAYER=layer, NUMBA_NUM_THREADS=2)


SOLVE = """
import numpy as np, mgcore
print(mgcore.solve_poisson(np.ones(17)).success, mgcore.__file__)
"""


@pytest.mark.slow
@pytest.mark.parametrize("home", ["writable", "read-only"])
def test_an_install_that_cannot_be_written(tmp_path, home):
    shutil.copytree(PACKAGE, tmp_path / "mgcore", ignore=shutil.ignore_patterns("__pycache__"))
    for folder in (tmp_path / "mgcore", tmp_path / "mgcore" / "kernels"):
        (folder / "__pycache__").write_text("a file where a folder should be made")
    cache = tmp_path / "home"
    if home == "read-only":
        cache.write_text("this, too")
    for _ in range(2):
        result = python(
            f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{SOLVE}",
            XDG_CACHE_HOME=cache, HOME=cache, NUMBA_CACHE_DIR="", NUMBA_NUM_THREADS=1,
        )  # fmt: skip
        assert result.stdout.startswith("True")
        assert str(tmp_path) in result.stdout
    assert home == "read-only" or list(cache.rglob("*.nbi"))


NOTICE = """
import sys
import numpy as np
sys.ps1 = ">>> "  # as in an interactive session
import mgcore
mgcore.solve_poisson(np.ones(9))
mgcore.solve_poisson(np.ones(9, "f4"))
"""


@pytest.mark.slow
def test_compilation_is_announced_once_and_to_people_only(tmp_path):
    quiet = python(NOTICE.replace("sys.ps1", "_"), NUMBA_CACHE_DIR=tmp_path / "a")
    assert not quiet.stderr
    first = python(NOTICE, NUMBA_CACHE_DIR=tmp_path / "b")
    assert first.stderr.count("compiling its kernels") == 1
    assert not python(NOTICE, NUMBA_CACHE_DIR=tmp_path / "b").stderr  # cached
