"""Threads, forked processes, signal handlers."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numba
import numpy as np
import pytest
from processes import python

from mgcore import solve_poisson, threads


def test_threads_are_limited_for_one_call():
    g = np.random.default_rng(0).standard_normal((513, 513))
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


def test_on_a_busy_machine_kernels_go_on_with_one_thread(monkeypatch):
    cores = threads._Cores()
    monkeypatch.setattr(threads, "_cores", cores)
    monkeypatch.setattr(threads, "count", lambda: 2)
    waited, clock = [0.0], [100.0]
    monkeypatch.setattr(threads, "_waited", lambda: waited[0])
    monkeypatch.setattr(threads.time, "perf_counter", lambda: clock[0])

    def loops(seconds, part):
        """Parallel loops of a millisecond, whose threads wait for a core for part of the time."""
        for _ in range(round(1000 * seconds)):
            with threads.turn():
                clock[0] += 1e-3
                waited[0] += part * 1e-3
            if threads.usable() == 1:
                return

    loops(0.1, 0.05)
    assert threads.usable() == 2
    loops(0.1, 0.6)
    assert threads.usable() == 1
    assert threads.count() == 2  # what was asked for is another question
    pauses = []
    for _ in range(8):  # still busy: tried again after ever longer pauses
        began = clock[0]
        while threads.usable() == 1:
            clock[0] += 1e-3
        pauses.append(clock[0] - began)
        loops(0.1, 0.6)
    assert pauses[0] == pytest.approx(0.05, abs=0.01)
    assert sorted(pauses) == pauses
    assert pauses[-1] == pytest.approx(1, abs=0.01)
    clock[0] += 1
    loops(0.1, 0.0)
    assert threads.usable() == 2
    loops(0.1, 0.6)  # and when it is busy anew, briefly first
    clock[0] += 0.06
    assert threads.usable() == 2


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="this system does not tell")
def test_waiting_for_a_core_is_told():
    # Three processes that never rest on every core: this one has to wait.
    crowd = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"])
        for _ in range(3 * os.cpu_count())
    ]
    try:
        before, began = threads._waited(), time.perf_counter()
        while threads._waited() - before < 0.01:
            assert time.perf_counter() - began < 60
    finally:
        for process in crowd:
            process.kill()
            process.wait()


COUNT = """
import numba, numpy as np, mgcore
from mgcore import threads
g = np.ones((513, 513))
fine = mgcore.poisson_levels(g.shape, smoother="sor")[0]
def strips():  # in the memory of an earlier problem, if that is any use
    state = fine.start(g)
    fine.finish(state)
    return len(state.workspace.room.space)
print(threads.count(), strips())
mgcore.solve_poisson(g)
numba.set_num_threads(1)
print(threads.count(), strips())
"""


@pytest.mark.parametrize("n", [1, 2, 3])
def test_environment_and_numba_are_asked(n):
    assert python(COUNT, NUMBA_NUM_THREADS=n).stdout.split() == [f"{n}", f"{n}", "1", "1"]


THREADS = """
import sys
import time
from concurrent.futures import ThreadPoolExecutor
import numpy as np, numba, mgcore
shape = [int(n) for n in sys.argv[2:]]
levels = mgcore.poisson_levels(shape, smoother="sor")
sides = [np.random.default_rng(k).standard_normal(shape) for k in range(4)]
with ThreadPoolExecutor(4) as pool:
    at_once = list(pool.map(lambda g: mgcore.solve(levels, g).u, sides * 5))
for u, g in zip(at_once, sides * 5):  # sums depend on how many threads there were just then
    assert abs(u - mgcore.solve(levels, g).u).max() <= 1e-6 * abs(u).max()
assert numba.threading_layer() == sys.argv[1]
"""


@pytest.mark.parametrize("layer", ["workqueue", "omp"])
def test_one_hierarchy_serves_several_threads_at_once(layer):
    # workqueue, which Numba falls back to, aborts the process if kernels run at the same time.
    python(THREADS, layer, 513, 513, NUMBA_THREADING_LAYER=layer, NUMBA_NUM_THREADS=2)


@pytest.mark.parametrize("layer", ["workqueue", "omp"])
def test_several_threads_compile_at_once(layer, tmp_path):
    options = {"NUMBA_THREADING_LAYER": layer, "NUMBA_NUM_THREADS": 2, "NUMBA_CACHE_DIR": tmp_path}
    python(THREADS, layer, 131073, **options)


FORKED = """
import multiprocessing, sys, threading
import numpy as np, numba, mgcore
from mgcore import threads
g = np.random.default_rng(0).standard_normal((513, 513))
u = mgcore.solve_poisson(g).u
levels = mgcore.poisson_levels(g.shape)
mgcore.solve(levels, g)  # leaves its memory to others
state = levels[0].start(g)  # made for several threads
mgcore.solve(levels, g)
assert numba.threading_layer() == sys.argv[1]

def work(k):
    assert threads.count() == 1
    with threads.limited(2):  # asks for what there is not
        again = mgcore.solve_poisson((k + 1) * g).u
    mgcore.run(levels, mgcore.v_cycle(len(levels)), state)
    assert abs(mgcore.solve(levels, g).u - u).max() < 1e-7 * abs(u).max()
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


IMPORTED = """
import sys
import numpy as np, mgcore
before = set(sys.modules)
for precision in ("float64", "mixed"):
    mgcore.solve_poisson(np.ones(17), u0=np.ones(17), boundary=(1, 2), precision=precision)
print(sorted(name for name in set(sys.modules) - before if name.startswith(("numpy", "mgcore"))))
"""


def test_a_solve_imports_nothing_that_a_fork_could_wait_for():
    # A child whose parent's thread is in the middle of an import waits for that for ever.
    # Numba imports more where it compiles, with a lock that forks wait for.
    assert python(IMPORTED, NUMBA_DISABLE_JIT=1).stdout == "[]\n"


FORKED_MEANWHILE = """
import os, signal, sys, time
from concurrent.futures import ThreadPoolExecutor
import numpy as np, mgcore

solving = sys.argv[1] == "solving"
g = np.random.default_rng(0).standard_normal(16385)  # enough for several threads
small = np.ones(17, "f8" if solving else "f4")
if solving:
    mgcore.solve_poisson(g)

with ThreadPoolExecutor(1) as pool:
    busy = pool.submit(mgcore.solve_poisson, g, rtol=0, maxiter=2000 if solving else 1)
    children = []
    while not busy.done() and len(children) < 5:
        time.sleep(0.02)
        children.append(os.fork())
        if not children[-1]:
            signal.alarm(100)
            try:
                os._exit(0 if mgcore.solve_poisson(small).success else 1)
            finally:
                os._exit(2)
    assert children
    assert not any(os.waitpid(child, 0)[1] for child in children)
    busy.result()
assert mgcore.solve_poisson(g).success
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("layer", ["workqueue", "omp"])
@pytest.mark.parametrize("what", ["compiling", "solving"])
def test_a_fork_waits_until_no_lock_is_held(what, layer, tmp_path):
    # Otherwise the child would wait for ever for what a thread of its parent held.
    empty = {"NUMBA_CACHE_DIR": tmp_path} if what == "compiling" else {}
    python(FORKED_MEANWHILE, what, NUMBA_THREADING_LAYER=layer, NUMBA_NUM_THREADS=2, **empty)


HANDLER = """
import signal, sys, threading
import numpy as np, numba, mgcore
g = np.random.default_rng(0).standard_normal((513, 513))
levels = mgcore.poisson_levels(g.shape, smoother="sor")
u = mgcore.solve(levels, g).u
assert numba.threading_layer() == sys.argv[1]
inside, wrong, solved = False, 0, 0

def handler(*_):
    global inside, wrong, solved
    if not inside:  # else solves longer than the interval would pile up
        inside = True
        wrong += (mgcore.solve(levels, g).u != u).any()
        solved += 1
        inside = False

other = threading.Thread(target=lambda: [mgcore.solve(levels, g) for _ in range(50)])
other.start()
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.003, 0.003)
while solved < 100:
    wrong += (mgcore.solve(levels, g).u != u).any()
signal.setitimer(signal.ITIMER_REAL, 0)
other.join()
assert not wrong
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no interval timer")
@pytest.mark.parametrize("layer", ["workqueue", "omp"])
def test_signal_handlers_solve(layer):
    # The solve that they interrupt may hold the lock that kernels take under workqueue.
    python(HANDLER, layer, NUMBA_THREADING_LAYER=layer, NUMBA_NUM_THREADS=2)
