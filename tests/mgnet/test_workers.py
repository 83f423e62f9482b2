"""The solver inside the workers of a DataLoader."""

import os
import subprocess
import sys

import pytest

WORKERS = """
import numpy as np, torch, mgcore
from torch.utils.data import DataLoader, Dataset

def side(k):
    return np.random.default_rng(k).standard_normal((513, 513))

class Solutions(Dataset):
    def __len__(self):
        return 4
    def __getitem__(self, k):
        return torch.from_numpy(mgcore.solve_poisson(side(k)).u)

if __name__ == "__main__":
    here = [mgcore.solve_poisson(side(k)).u for k in range(4)]  # threads have started
    loader = DataLoader(Solutions(), batch_size=2, num_workers=2, multiprocessing_context="fork")
    there = torch.cat(list(loader)).numpy()
    assert all(abs(a - b).max() <= 1e-7 * abs(a).max() for a, b in zip(here, there))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_workers_solve_after_their_parent_did():
    result = subprocess.run(
        [sys.executable, "-c", WORKERS], env=os.environ | {"NUMBA_NUM_THREADS": "2"},
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-2000:]
