"""Settings of the tests of networks."""

import os

import torch

if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):  # they share the cores
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // int(workers)))
