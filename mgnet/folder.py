"""The folder of a training run: one process at a time, and every file whole or not there."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile

from filelock import FileLock, Timeout

__all__ = ["LOCK", "BusyError", "FolderError", "atomic", "check", "claimed"]

#: The empty file that the process which trains in a folder keeps locked. It stays behind, unlocked:
#: whoever removed it could take it away from the next process, which has just opened it.
LOCK = ".lock"

# A full disk, a file as large as may be, or all the room of a user, which Windows has no name for.
_FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}


class FolderError(OSError):
    """A run cannot write to its folder; the message says what to do."""


class BusyError(FolderError):
    """Another process is at work in the folder."""


@contextmanager
def claimed(folder: Path, files: Sequence[str] = ()) -> Iterator[None]:
    """Keep all other processes out of a folder, which is made where there is none.

    The lock is the operating system's and goes with its process, however that ends.

    Parameters
    ----------
    folder : Path
    files : sequence of str
        Names of files which :func:`atomic` writes here. What killed processes left of them half
        written is removed.

    Raises
    ------
    BusyError
        If another process has claimed it.
    FolderError
        If nothing can be written there.
    """
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise BusyError(
            f"another run is going on in {folder}: wait for its end, or name another folder"
        ) from None
    except OSError as error:
        raise _not_writable(folder, error) from error
    try:
        try:
            _remove_leftovers(folder, files)
            with TemporaryFile(dir=folder):  # the lock may be an old file where no new ones may be
                pass
        except OSError as error:
            raise _not_writable(folder, error) from error
        yield
    finally:
        lock.release()


def check(folder: Path) -> None:
    """Raise what :func:`claimed` would, as far as that can be told, and make no folder."""
    if folder.exists():
        with claimed(folder):
            return
    above = next(path for path in folder.absolute().parents if path.exists())
    try:
        with TemporaryFile(dir=above):
            pass
    except OSError as error:
        raise _not_writable(folder, error) from error


def _not_writable(folder: Path, error: OSError) -> FolderError:
    return FolderError(
        f"nothing can be written to {folder} ({error.strerror or error}): name another folder"
    )


def _remove_leftovers(folder: Path, files: Sequence[str]) -> None:
    # Nobody is at work on them: only the process that has claimed the folder writes here.
    names = "|".join(map(re.escape, files))
    for path in folder.iterdir():
        if re.fullmatch(rf"\.({names})\.\d+", path.name):
            path.unlink()


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place only when the block succeeds.

    Raises
    ------
    FolderError
        If the file cannot be written, on a full disk for example. What was at `path` stays.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        with temporary.open("rb+") as stream:  # on the disk before it takes the old one's place
            os.fsync(stream.fileno())
        os.replace(temporary, path)
        _sync_names(path.parent)
    except OSError as error:
        kept = "; the one of before stays" if path.exists() else ""
        advice = "make room" if error.errno in _FULL else "mend that"
        raise FolderError(
            f"{path} could not be written ({error.strerror or error}){kept}: {advice}, then go on"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def _sync_names(folder: Path) -> None:
    """Put a folder's names on the disk: a power cut could bring the replaced file back."""
    if os.name == "nt":
        return  # folders cannot be opened there
    with suppress(OSError):  # some file systems refuse; the file itself is complete and in place
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
