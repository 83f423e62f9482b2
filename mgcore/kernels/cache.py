"""Compiled kernels on disk, for the processes to come.

Numba's own cache looks at the file that defines a function alone, though code of the functions that
it calls ends up in it; it trusts what it finds, and LLVM ends a process that hands it damaged code;
a full disk is an error to it; and processes that write at once may file one's code under another's
signature. Here each compiled signature has a file of its own, which begins with a digest of all
that it depends on: the sources of all kernels, the signature, the code itself. Whatever does not
fit is compiled anew, and whatever cannot be saved is not.
"""

import os
import pickle
import re
import time
from contextlib import suppress
from functools import cache
from hashlib import sha256
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.resources import files
from pathlib import Path
from typing import Any
from uuid import uuid4

import numba
from numba import config

from mgcore import numba_private

__all__ = ["keep"]

_DAY = 86_400  # seconds
# Names under which files are written before they get their own: uuid4 in hexadecimal.
_TEMPORARY = re.compile(r".+\.nbc\.[0-9a-f]{32}")


def keep(dispatcher: Any) -> None:
    """Keep on disk what a dispatcher compiles from now on, where Numba would, if that is possible.

    With a Numba whose internals nobody knows that is its own cache, with the faults above.
    """
    # RuntimeError: there is no place to write to, neither beside the code nor at home. OSError: the
    # sources cannot be read, and nobody could tell fresh code from stale.
    with suppress(RuntimeError, OSError):
        numba_private.keep(dispatcher, _Files)


class _Files:
    """The files of one function, one for each signature and processor."""

    def __init__(self, folder: Path, name: str):
        self._folder, self._name, self._sources = folder, name, _sources()

    def load(self, key: Any) -> Any:
        path = self._path(key)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        seal, code = content[:32], content[32:]
        return pickle.loads(code) if seal == self._seal(path, code) else None

    def save(self, key: Any, data: Any) -> None:
        path, code = self._path(key), numba_private.dumps(data)
        temporary = path.with_name(f"{path.name}.{uuid4().hex}")  # nobody shall read half a file
        try:
            temporary.write_bytes(self._seal(path, code) + code)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        _clean(self._folder)

    def flush(self) -> None:
        for path in self._folder.glob(f"{self._name}-*.nbc"):
            path.unlink(missing_ok=True)

    def _path(self, key: Any) -> Path:
        # Numba's key holds the signature and the processor; the suffix tells kinds of Python apart;
        # checks of bounds are compiled in.
        which = repr((key, EXTENSION_SUFFIXES[0], config.BOUNDSCHECK)).encode()
        return self._folder / f"{self._name}-{sha256(which).hexdigest()[:32]}.nbc"

    def _seal(self, path: Path, code: bytes) -> bytes:
        return sha256(self._sources + path.name.encode() + code).digest()


@cache  # once in a process that compiles is enough
def _clean(folder: Path) -> None:
    """Remove what processes that were killed left half written a day ago or earlier."""
    for path in folder.glob("*.nbc.*"):
        with suppress(OSError):  # another process may be faster
            if _TEMPORARY.fullmatch(path.name) and time.time() - path.stat().st_mtime > _DAY:
                path.unlink()


@cache
def _sources() -> bytes:
    """A digest of what code is compiled from and by: the sources of all kernels, and Numba.

    The code of vectors is in numba_private.py.
    """
    sources = sorted(
        (file.name, file.read_bytes())
        for file in files(__package__).iterdir()
        if file.name.endswith(".py") and file.is_file()  # some editors leave dangling links
    )
    if not sources:
        raise FileNotFoundError("the sources of the kernels are not there")
    private = files(numba_private.__package__) / "numba_private.py"
    sources.append((private.name, private.read_bytes()))
    return sha256(repr((numba.__version__, sources)).encode()).digest()
