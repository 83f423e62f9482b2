"""The files of one training run, and whose they are."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mgnet import journal
from mgnet.checkpoint import CHECKPOINT, CheckpointError, read_checksum, write_checkpoint
from mgnet.folder import claimed
from mgnet.journal import Epoch
from mgnet.weights import WEIGHTS, write_weights

__all__ = ["RunFolder"]

FILES = (CHECKPOINT, WEIGHTS, journal.LOG, journal.CURVE, journal.RUN)


class RunFolder:
    """Keeps the files of a run, each whole or not there, and out of another run's.

    Parameters
    ----------
    path : path or None
        Nothing is written where there is none.
    writes : bool
        Whether this process does; of several that train together the first one alone.
    tensorboard : bool
        Whether the log is written for TensorBoard, too.

    Attributes
    ----------
    checksum : str or None
        Of the checkpoint that this run has written or was resumed from.

    Raises
    ------
    ValueError
        For TensorBoard without a folder or without its package.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None,
        *,
        writes: bool = True,
        tensorboard: bool = False,
    ):
        self.path = None if path is None else Path(path)
        self.writes = writes
        self.checksum: str | None = None
        self.claimed = False
        self.open_board = _board(self.path) if tensorboard and writes else None
        self.board: Any = None

    @property
    def checkpoint(self) -> Path | None:
        """The checkpoint's path, whether it is there or not."""
        return None if self.path is None else self.path / CHECKPOINT

    @contextmanager
    def claim(self) -> Iterator[Path | None]:
        """Keep other runs out, and this one out of a folder that holds another's.

        Yields
        ------
        Path or None
            The folder, if this process writes to one.

        Raises
        ------
        CheckpointError
            If the folder holds another run.
        FolderError
            If nothing can be written there, or another process trains there.
        """
        if self.path is None or not self.writes:
            yield None
        elif self.claimed:
            yield self.path
        else:
            with claimed(self.path, FILES):
                self._refuse_another_run(self.path / CHECKPOINT, self.path / journal.LOG)
                self.claimed = True
                try:
                    yield self.path
                finally:
                    self.claimed = False

    def _refuse_another_run(self, checkpoint: Path, log: Path) -> None:
        if checkpoint.exists():
            if self.checksum is None or read_checksum(checkpoint) != self.checksum:
                raise CheckpointError(
                    f"{self.path} holds another run: resume that, or name another folder"
                )
        elif log.exists():
            raise CheckpointError(
                f"{log} belongs to a run whose checkpoint is gone: move it away, or name another "
                "folder"
            )

    def begin(self, about: Mapping[str, Any], device: torch.device) -> None:
        """Note what is computed, and with what."""
        with self.claim() as folder:
            if folder is not None:
                journal.write_run(folder, about, device)
                if self.open_board is not None and self.board is None:
                    self.board = self.open_board()

    def note(self, **values: Any) -> None:
        """Write more values to run.json."""
        with self.claim() as folder:
            if folder is not None:
                journal.note(folder, values)

    def save(self, content: dict[str, Any], history: Sequence[Epoch], row: Epoch) -> None:
        """Write the checkpoint and the log, whose header is that of `row`."""
        with self.claim() as folder:
            if folder is not None:
                self.checksum = write_checkpoint(folder / CHECKPOINT, content)
                journal.write_log(folder, history, row)

    def show(self, row: Epoch) -> None:
        """Send a row of the log to TensorBoard, if that is wanted."""
        if self.board is not None:
            for name, value in row.flat().items():
                self.board.add_scalar(name.replace("_", "/", 1), value, row.epoch)
            self.board.flush()

    def finish(
        self, model: nn.Module, about: dict[str, Any], history: Sequence[Epoch], row: Epoch
    ) -> None:
        """Write what a finished run leaves besides its checkpoint."""
        with self.claim() as folder:
            if folder is not None:
                # A run that stopped between both files lacks the last row of its log.
                journal.write_log(folder, history, row)
                journal.write_curve(folder, history)
                write_weights(folder / WEIGHTS, model, about)


def _board(folder: Path | None) -> Callable[[], Any]:
    """What opens a writer for TensorBoard, once the folder is this run's."""
    if folder is None:
        raise ValueError("TensorBoard needs a folder to read from: name one")
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise ValueError(
            "there is no tensorboard to write for: pip install tensorboard, or do without"
        ) from None
    return partial(SummaryWriter, str(folder / "tensorboard"))
