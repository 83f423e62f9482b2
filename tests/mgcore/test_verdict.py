"""Norms in, a status out: no level and no cycle is needed to tell."""

import pickle

import numpy as np
import pytest

from mgcore import Status
from mgcore.verdict import Limits, Verdict


def judge(history, rtol=1e-8, atol=0.0, maxiter=50, scale=None, roundoff=0.0, **how):
    """The status after each of the residuals of `history`, one for each of a batch in each."""
    norms = [np.array(norm, float) for norm in history]
    limits = Limits.checked(rtol, atol, maxiter, 1e-16)
    scale = norms[0] if scale is None else np.array(scale, float)
    verdict = Verdict(limits, scale, norms[0], rounding=how.pop("rounding", 0.0), **how)
    statuses = [verdict.status]
    for norm in norms[1:]:
        verdict.after_cycle(norm, lambda: np.float64(roundoff))
        statuses.append(verdict.status)
    return statuses, verdict


@pytest.mark.parametrize(
    ("history", "how", "last"),
    [
        ([1, 1e-4, 0.9e-8], {}, Status.CONVERGED),
        ([1, 1e-4, 1.1e-8], {}, Status.RUNNING),
        ([1, 1e-3], {"rtol": 0, "atol": 2e-3}, Status.CONVERGED),
        ([0], {}, Status.CONVERGED),
        ([0], {"rtol": 0, "maxiter": 1}, Status.RUNNING),  # cycles asked for are run
        ([1], {"maxiter": 0}, Status.MAXITER),
        ([1], {"rtol": 0, "maxiter": 0}, Status.CYCLES_DONE),
        ([1, 0.1], {"maxiter": 1}, Status.MAXITER),
        ([1, 1e9, 1e30], {"rtol": 0, "maxiter": 2}, Status.CYCLES_DONE),
        ([1, np.inf], {"rtol": 0}, Status.DIVERGENCE),
        ([1, np.nan], {}, Status.DIVERGENCE),
        ([1, 50, 99], {}, Status.RUNNING),
        ([1, 50, 101], {}, Status.DIVERGENCE),
        ([1, 300], {}, Status.RUNNING),  # the first cycle may leave rounding errors of float32
        ([1, 300, 200], {}, Status.RUNNING),  # falling
        ([1] + 9 * [0.97], {}, Status.RUNNING),
        ([1] + 10 * [0.97], {}, Status.STAGNATION),
        ([0.97**k for k in range(11)], {}, Status.RUNNING),
        ([1, 0.6], {"roundoff": 0.151}, Status.ROUNDOFF),
        ([1, 0.6], {"roundoff": 0.149}, Status.RUNNING),
        ([1, 0.4], {"roundoff": 0.151}, Status.RUNNING),  # cycles still help
        ([[1, 1], [1e-9, 1e-3]], {}, Status.RUNNING),  # the worst of a batch
        ([[1, 1], [1e-9, 1e-9]], {}, Status.CONVERGED),
        ([[1, 1e-9], [1e-9, 1e-9]], {}, Status.RUNNING),  # each by its own right-hand side
        ([[4, 1e-9]], {"scale": [4, 1]}, Status.RUNNING),
        ([[4, 1e-9], [4e-9, 1e-9]], {"scale": [0, 1]}, Status.CONVERGED),  # b = 0
    ],
)
def test_status(history, how, last):
    statuses, verdict = judge(history, **how)
    assert set(statuses[:-1]) <= {Status.RUNNING}
    assert statuses[-1] is last
    assert verdict.cycles == len(history) - 1
    assert verdict.residuals == pytest.approx([np.max(norm) for norm in history], nan_ok=True)


def test_a_status_knows_what_it_means():
    assert [status.value for status in Status] == list(range(8))
    assert [status for status in Status if status.success] == [0, 1, 2]
    assert Status(3) is Status.MAXITER
    assert "increase maxiter" in Status.MAXITER.message
    assert pickle.loads(pickle.dumps(Status.ROUNDOFF)) is Status.ROUNDOFF


def test_the_end_is_provisional_where_the_residual_may_be_another():
    for how, provisional in (({}, False), ({"lifted": True}, True), ({"rounding": 1e-7}, True)):
        _, verdict = judge([1, 1e-9], **how)
        assert verdict.status is Status.CONVERGED
        assert verdict.provisional is provisional
        assert verdict.so_far is (Status.RUNNING if provisional else Status.CONVERGED)
    verdict.after_refinement(np.array(2e-8), np.array(True))
    assert verdict.status is Status.ROUNDOFF
    verdict.after_refinement(np.array(2e-8), np.array(False))
    assert verdict.status is Status.STAGNATION
    verdict.after_refinement(np.array(1e-8), np.array(False))
    assert verdict.status is Status.CONVERGED


def test_cycles_that_are_asked_for_are_run():
    for first in (0.0, 1e-9, 1.0):
        _, verdict = judge([first], scale=1)
        verdict.ask_for(2)
        for status in (Status.RUNNING, Status.CONVERGED):
            assert verdict.status is Status.RUNNING
            verdict.after_cycle(np.array(1e-9), lambda: np.float64(0))
            assert verdict.status is status
    _, verdict = judge([0], maxiter=0)
    verdict.ask_for(2)
    assert verdict.status is Status.CONVERGED


def test_an_interruption_ends_what_has_not_ended():
    _, verdict = judge([1, 0.1])
    verdict.interrupt()
    assert verdict.status is Status.CALLBACK
    _, verdict = judge([1, 1e-9])
    verdict.interrupt()
    assert verdict.status is Status.CONVERGED
