"""The processes of one training run, as `torchrun` starts them; mostly there is one."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn

__all__ = [
    "ALONE",
    "LostProcessError",
    "Processes",
    "first_to_report",
    "joined",
    "own_device",
    "peers",
]

#: How long a process waits for the others: for the first one to evaluate and to save, say.
PATIENCE = timedelta(minutes=30)


class LostProcessError(RuntimeError):
    """Another process of the run has ended, so this one cannot go on."""


@dataclass(frozen=True)
class Processes:
    """This process's place among those of a run.

    Attributes
    ----------
    rank, count : int
        The processes are numbered from 0 to count - 1. The one of rank 0 writes and prints.
    """

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and prints."""
        return self.rank == 0

    def share(self, size: int, parts: int = 1) -> list[slice]:
        """What this process does of `size` things in a row, in `parts` equal pieces."""
        mine = [self.rank * parts + k for k in range(parts)]
        return [slice(size * k // (self.count * parts), size * (k + 1) // (self.count * parts))
                for k in mine]  # fmt: skip

    def add(self, numbers: Tensor) -> Tensor:
        """The sum of all processes' tensors, in place."""
        if self.count > 1:
            with peers():
                dist.all_reduce(numbers)
        return numbers

    def any(self, flag: bool, device: torch.device) -> bool:
        """Whether the flag is set in any of the processes."""
        if self.count == 1:
            return flag
        return bool(self.add(torch.tensor([float(flag)], device=device)).item())

    @contextmanager
    def alike(self) -> Iterator[None]:
        """A block in which the error of one process becomes that of all."""
        failed = None
        try:
            yield
        except (OSError, ValueError) as error:
            failed = error
        said: list[str | None] = [None if failed is None else str(failed)]
        if self.count > 1:
            said *= self.count
            with peers():
                dist.all_gather_object(said, said[0])
        if failed is not None:
            raise failed
        if any(said):
            raise ValueError(next(filter(None, said)))

    def agree(self, module: nn.Module) -> None:
        """Take the first process's buffers: each normalisation has seen its own examples."""
        if self.count > 1:
            with peers():
                for buffer in module.buffers():
                    dist.broadcast(buffer, 0)


ALONE = Processes()


def own_device(name: str) -> str:
    """The device of this process: of several that `torchrun` has started, each has its own GPU.

    Parameters
    ----------
    name : str
        As a user gives it for all of them: "cuda" or "cpu".

    Raises
    ------
    ValueError
        If all were to share the GPU of one number, which NCCL refuses.
    """
    rank = os.environ.get("LOCAL_RANK")
    if rank is None or not name.startswith("cuda"):
        return name
    if name == "cuda":
        return f"cuda:{rank}"
    if int(os.environ.get("LOCAL_WORLD_SIZE", "1")) > 1:
        raise ValueError(f"several processes cannot share {name}: name cuda, for a GPU each")
    return name


@contextmanager
def joined(device: torch.device) -> Iterator[Processes]:
    """Join the processes that `torchrun` has started; without it this one is alone.

    Parameters
    ----------
    device : torch.device
        That of this process; "cuda" without a number is a GPU for each of them. Communication goes
        by NCCL between GPUs, by gloo between CPUs.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield ALONE
        return
    before = None
    if threading.current_thread() is threading.main_thread():
        # torchrun says SIGTERM twice when a process has ended, and SIGKILL after 30 s. The others
        # need that time to save and to say why they end.
        before = signal.signal(signal.SIGTERM, lambda number, frame: None)
    if device.type == "cuda":
        own = own_device("cuda") if device.index is None else device
        torch.cuda.set_device(own)  # a barrier has no tensor to say where
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    processes = Processes(dist.get_rank(), count)
    yield processes
    # Behind an error there is nobody to say goodbye to, and saying so could wait for ever.
    with peers():
        dist.barrier()
    dist.destroy_process_group()
    if before is not None:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def peers() -> Iterator[None]:
    """Say plainly that another process has gone, whatever the library below calls it."""
    try:
        yield
    except RuntimeError as error:
        raise lost(error) from error


def lost(error: RuntimeError) -> RuntimeError:
    """`error`, or in place of it that another process is gone where that is what it means."""
    text = str(error).lower()
    signs = ("closed by peer", "reset by peer", "broken pipe", "connection refused", "socket")
    if isinstance(error, dist.DistError) or any(sign in text for sign in signs):
        return LostProcessError("another process of this run has ended")
    return error


def first_to_report() -> bool:
    """Whether no other process of the run has said yet why it ends."""
    host, port = os.environ.get("MASTER_ADDR"), os.environ.get("MASTER_PORT")
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or host is None or port is None:
        return True
    try:  # torchrun's own process keeps this store, so it outlives the others
        store = dist.TCPStore(host, int(port), None, False, timedelta(seconds=5))
        return int(store.add("mgnet/reported", 1)) == 1
    except RuntimeError:
        return True
