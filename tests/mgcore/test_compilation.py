"""Compiled kernels: where they are kept, when they are used again, and doing without."""

import os
import random
import shutil
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from pathlib import Path

import numpy as np
import pytest
from helpers import direct_solution
from numba import config
from processes import python

import mgcore
from mgcore import numba_private
from mgcore.kernels import cache
from mgcore.kernels.compilation import inlined, serial

PACKAGE = Path(mgcore.__file__).parent
U = direct_solution(np.arange(257.0))

SOLVE = """
import sys
from pathlib import Path
import numpy as np
from numba.core import event
import mgcore
with event.install_recorder("numba:compile") as recorder:
    solution = mgcore.solve_poisson(np.arange(257, dtype=sys.argv[1]), smoother="jacobi")
print(Path(mgcore.__file__).parent, len(recorder.buffer), solution.residuals[1], *solution.u)
"""


def solve(cache, dtype="float64", package=None, code=SOLVE, **environment):
    """Compilations of a process that solves, and the residual after its first cycle."""
    if package is not None:
        code = f"import sys; sys.path.insert(0, {str(package.parent)!r})\n{code}"
    result = python(code, dtype, NUMBA_CACHE_DIR=cache, NUMBA_NUM_THREADS=1, **environment)
    where, compilations, residual, *u = result.stdout.split()
    assert Path(where) == (PACKAGE if package is None else package)
    assert not result.stderr
    np.testing.assert_allclose(np.array(u, float), U, rtol=1e-4 if dtype == "float32" else 1e-7)
    return int(compilations), float(residual)


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A cache with what solving takes."""
    cache = tmp_path_factory.mktemp("filled")
    assert solve(cache)[0] > 0
    assert solve(cache)[0] == 0
    return cache


def files_in(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def shortened(content, rng):
    return content[: rng.choice([0, 1, 31, 32, 33, len(content) // 2, len(content) - 1])]


def garbled(content, rng):
    content = bytearray(content)
    start = max(content.find(b"\x7fELF"), 0)  # the code of Linux: pickle sees nothing wrong
    for _ in range(20):
        content[rng.randrange(start, min(start + 2000, len(content)))] ^= rng.randrange(1, 256)
    return content


@pytest.mark.parametrize("damage", [shortened, garbled])
@pytest.mark.parametrize("seed", range(2))
def test_damaged_files_are_compiled_anew(filled, damage, seed):
    # LLVM ends a process that hands it such code.
    rng = random.Random(seed)
    for path in files_in(filled):
        path.write_bytes(damage(path.read_bytes(), rng))
    assert solve(filled)[0] > 0
    assert solve(filled)[0] == 0


def test_files_that_took_each_others_names_are_compiled_anew(filled):
    paths = files_in(filled)
    contents = [path.read_bytes() for path in paths]
    for path, content in zip(paths, contents[1:] + contents[:1], strict=True):
        path.write_bytes(content)
    assert solve(filled)[0] > 0
    assert [path.read_bytes() for path in paths] != contents[1:] + contents[:1]
    assert solve(filled)[0] == 0


def test_a_change_of_any_source_is_noticed(tmp_path):
    # The interpolation of line.py, which stays as it is, becomes linear.
    package, cache = tmp_path / "mgcore", tmp_path / "cache"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    compilations, residual = solve(cache, package=package)
    source = package / "kernels" / "common.py"
    text = source.read_text()
    assert text.count("-1, 9, 9, -1\n") == 1
    source.write_text(text.replace("-1, 9, 9, -1\n", "0, 8, 8, 0\n"))
    changed = solve(cache, package=package)
    assert changed[0] == compilations
    assert changed[1] != pytest.approx(residual)
    assert changed == solve(tmp_path / "another cache", package=package)
    for path in files_in(package / "kernels"):  # a copy of an install need not compile
        os.utime(path, (0, 0))
    assert solve(cache, package=package) == (0, changed[1])


DIGESTS = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from mgcore.kernels import cache
package = Path(cache.__file__).parent.parent
assert package.parent == Path(sys.argv[1])
digests = [cache._sources.__wrapped__()]
assert digests == [cache._sources.__wrapped__()]
for source in [*(package / "kernels").glob("*.py"), package / "numba_private.py"]:
    source.write_text(source.read_text() + "# changed")
    digests.append(cache._sources.__wrapped__())
print(len(digests), len(set(digests)))
"""


def test_every_source_of_compiled_code_counts(tmp_path):
    shutil.copytree(PACKAGE, tmp_path / "mgcore", ignore=shutil.ignore_patterns("__pycache__"))
    sources = len([*(PACKAGE / "kernels").glob("*.py"), PACKAGE / "numba_private.py"])
    # What all of mgcore.kernels is, and the code of vectors, nothing of which may be stale.
    assert python(DIGESTS, tmp_path).stdout.split() == [str(sources + 1)] * 2


def test_checks_of_bounds_are_compiled_in(filled):
    assert solve(filled, NUMBA_BOUNDSCHECK=1)[0] > 0
    assert solve(filled, NUMBA_BOUNDSCHECK=1)[0] == 0
    assert solve(filled)[0] == 0


FULL = """
import resource
_, most = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, most))  # files that are longer: OSError
"""


@pytest.mark.skipif(os.name == "nt", reason="this system does not limit the size of files")
def test_a_full_disk(tmp_path):
    assert solve(tmp_path, code=FULL + SOLVE)[0] > 0
    assert not files_in(tmp_path)
    assert solve(tmp_path)[0] > 0
    assert solve(tmp_path)[0] == 0


REMOVED = f"""
import os, shutil
import numpy as np, mgcore
mgcore.solve_poisson(np.arange(17.0), smoother="jacobi")
shutil.rmtree(os.environ["NUMBA_CACHE_DIR"])
{SOLVE}
"""


def test_a_cache_that_is_removed_meanwhile(tmp_path):
    assert solve(tmp_path / "cache", "float32", code=REMOVED)[0] > 0
    assert solve(tmp_path / "cache", "float32")[0] == 0


def test_processes_that_compile_at_once(tmp_path):
    dtypes = ["float32", "float64"] * 2
    with ThreadPoolExecutor() as pool:
        assert all(n > 0 for n, _ in pool.map(lambda dtype: solve(tmp_path, dtype), dtypes))
    assert [solve(tmp_path, dtype)[0] for dtype in dtypes[:2]] == [0, 0]


def test_recompiling_replaces_files(tmp_path, monkeypatch):
    monkeypatch.setattr("numba.config.CACHE_DIR", str(tmp_path))

    @serial
    def twice(x):
        return 2 * x

    assert twice(3) == 6
    (path,) = files_in(tmp_path)
    path.write_bytes(b"")
    stale = path.with_name(path.name.replace("-", "-0"))
    stale.write_bytes(b"")
    twice.recompile()
    assert twice(3) == 6
    assert files_in(tmp_path) == [path]
    assert path.read_bytes()


@pytest.mark.skipif(not numba_private.KNOWN or config.DISABLE_JIT, reason="it can be called")
def test_inlined_functions_are_for_compiled_ones():
    @inlined
    def twice(x):
        return x + x

    @serial
    def four_times(x):
        return twice(twice(x))

    assert four_times(3) == 12
    for _ in range(2):  # compiled or not
        with pytest.raises(TypeError, match="twice is there for compiled functions alone"):
            twice(3)


def test_what_killed_processes_left_is_removed_after_a_day(tmp_path, monkeypatch):
    monkeypatch.setattr("numba.config.CACHE_DIR", str(tmp_path))

    def once(x):
        return 3 * x

    assert serial(once)(3) == 9
    (path,) = files_in(tmp_path)
    left = path.name + "." + 32 * "a"
    mine = [path, *(path.with_name(name) for name in ("notes.nbc.old", f"b{left}c", "a.nbi", "b"))]
    young, old = path.with_name("y" + left), [path.with_name(x + left) for x in ("", "another")]
    for each in [*mine[1:], young, *old]:
        each.write_bytes(b"half")
    day = 24 * 3600
    for each in [*mine, *old]:
        os.utime(each, (time.time() - 1.01 * day,) * 2)
    os.utime(young, (time.time() - 0.99 * day,) * 2)

    def twice(x):
        return 2 * x

    cache._clean.cache_clear()  # as in a new process
    assert serial(once)(3) == 9  # which only reads
    assert all(each.exists() for each in old)
    assert serial(twice)(3) == 6
    left = files_in(tmp_path)
    assert not set(left) & set(old)
    assert set(left) > {*mine, young}


OTHERS = {
    "lacks parts": "import numba.core.ccallback\ndel numba.core.caching.FunctionCache",
    "newer than what was tested": "import numba\nnumba.__version__ = '0.99.0'",
}


@pytest.mark.parametrize("what", OTHERS)
def test_another_numba(what, tmp_path):
    # Its own cache is used.
    other = f"{OTHERS[what]}\n{SOLVE}"
    assert solve(tmp_path, code=other)[0] > 0
    assert any(path.suffix == ".nbi" for path in files_in(tmp_path))
    assert solve(tmp_path, code=other)[0] == 0


def test_numba_is_asked_for_in_the_versions_that_are_known():
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())["project"]
    first, beyond = numba_private.VERSIONS
    assert f"numba>={first},<{beyond}" in project["dependencies"]
    assert numba_private.KNOWN


@pytest.mark.slow
@pytest.mark.parametrize("home", ["writable", "read-only"])
def test_an_install_that_cannot_be_written(tmp_path, home):
    package, cache = tmp_path / "mgcore", tmp_path / "home"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    for folder in (package, package / "kernels"):
        (folder / "__pycache__").write_text("a file where a folder should be made")
    if home == "read-only":
        cache.write_text("this, too")
    first, second = (
        solve("", package=package, XDG_CACHE_HOME=cache, HOME=cache)[0] for _ in range(2)
    )
    assert second == (0 if home == "writable" else first)


PLAIN = """
import sys
import numpy as np, mgcore
for shape in (33, 33), (17, 17, 17):
    g = np.random.default_rng(0).standard_normal(shape)
    for dtype in "float64", "float32":
        levels = mgcore.poisson_levels(shape, dtype=dtype, coarsest=1)
        assert not any(level.fused for level in levels)
        assert levels.title.endswith("; plain kernels: no explicit vectors " + sys.argv[1])
        assert str(levels).startswith(levels.title)
        u = mgcore.solve(levels, g.astype(dtype)).u
        print(*u.ravel().astype(float))
assert "plain" not in str(mgcore.poisson_levels((33, 33), smoother="jacobi"))
assert "plain" not in str(mgcore.poisson_levels(33))
assert str(mgcore.poisson_levels((65, 65), fused=False)).count("; plain kernels: fused=False") == 1
"""


@pytest.mark.slow
@pytest.mark.parametrize("what", ["generic", "without AVX", "newer Numba"])
def test_where_there_are_no_vectors_plain_kernels_run(what, tmp_path):
    code, where, environment = PLAIN, "on this processor", {}
    if what == "generic":
        environment = {"NUMBA_CPU_NAME": "generic"}
    elif what == "without AVX":
        environment = {"NUMBA_ENABLE_AVX": 0}
    else:
        code, where = f"{OTHERS['newer than what was tested']}\n{PLAIN}", "with Numba 0.99.0"
        environment = {"NUMBA_CACHE_DIR": tmp_path}
    lines = python(code, where, **environment).stdout.splitlines()
    for shape, (double, single) in {(33, 33): lines[:2], (17, 17, 17): lines[2:]}.items():
        u = direct_solution(np.random.default_rng(0).standard_normal(shape)).ravel()
        for line, tolerance in ((double, 1e-7), (single, 1e-3)):
            error = abs(np.array(line.split(), float) - u).max()
            assert error <= tolerance * abs(u).max()


UNCOMPILED = """
import numpy as np, mgcore
from mgcore.kernels import compilation
compilation.SMALL = 0  # several strips, where there are several threads
for shape in (17,), (9, 17), (33, 33), (9, 9, 9):
    g = np.arange(np.prod(shape)).reshape(shape) / 10
    for options in {}, {"precision": "mixed"}, {"threads": 1}:
        assert mgcore.solve_poisson(g, **options).success
    assert mgcore.solve_poisson(g.astype("f4")).success
    for dtype in "float64", "float32":
        levels = mgcore.poisson_levels(g.shape, smoother="redblack", dtype=dtype, coarsest=1)
        assert len(shape) == 1 or levels[-2].fused
        print(*mgcore.solve(levels, g.astype(dtype), rtol=0, maxiter=3).u.ravel().astype(float))
"""


def test_solving_without_compiling():
    uncompiled = python(UNCOMPILED, NUMBA_DISABLE_JIT=1).stdout.splitlines()
    compiled = python(UNCOMPILED).stdout.splitlines()
    for line, expected, eps in zip(uncompiled, compiled, cycle([1e-12, 1e-5]), strict=False):
        u = np.array(expected.split(), float)
        np.testing.assert_allclose(np.array(line.split(), float), u, atol=eps * abs(u).max())
    assert len(uncompiled) == len(compiled) == 8


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
