"""A run's folder: one process at a time, files whole or not there."""

import errno
import os
import subprocess
import sys
from unittest.mock import Mock

import pytest

from mgnet.folder import BusyError, FolderError, atomic, check, claimed

KILLED = """
import os, signal, sys
from pathlib import Path
from mgnet.folder import atomic, claimed

folder = Path(sys.argv[1])
with claimed(folder), atomic(folder / "checkpoint.pt") as path:
    path.write_bytes(b"half a check")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_what_a_killed_process_leaves_behind_is_removed(tmp_path):
    (tmp_path / "checkpoint.pt").write_bytes(b"good")
    killed = subprocess.Popen([sys.executable, "-c", KILLED, tmp_path])
    assert killed.wait(timeout=120) < 0
    left = f".checkpoint.pt.{killed.pid}"
    assert sorted(os.listdir(tmp_path)) == [left, ".lock", "checkpoint.pt"]
    for name in (".checkpoint.pt.1", ".checkpoint.pt.mine", ".other.pt.1", "checkpoint.pt.1"):
        (tmp_path / name).touch()
    with claimed(tmp_path, ("checkpoint.pt",)):  # its lock went with it
        assert sorted(os.listdir(tmp_path)) == [
            ".checkpoint.pt.mine", ".lock", ".other.pt.1", "checkpoint.pt", "checkpoint.pt.1",
        ]  # fmt: skip
    assert (tmp_path / "checkpoint.pt").read_bytes() == b"good"


def test_a_folder_is_claimed_once_at_a_time(tmp_path):
    folder = tmp_path / "made" / "here"
    with claimed(folder):
        (folder / ".checkpoint.pt.1").touch()
        with (
            pytest.raises(FolderError, match="another run is going on in .*here: wait for its"),
            claimed(folder, ("checkpoint.pt",)),
        ):
            pass
        assert (folder / ".checkpoint.pt.1").exists()  # somebody may be writing it
    with claimed(folder):
        pass
    with pytest.raises(ZeroDivisionError), claimed(folder):
        _ = 1 / 0
    with claimed(folder):
        pass


def test_a_folder_is_looked_at_and_not_made(tmp_path):
    check(tmp_path / "a" / "b")
    assert os.listdir(tmp_path) == []
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "a" / "b"):
        with pytest.raises(FolderError, match=r"nothing can be written to .*: name another folder"):
            check(path)
    check(tmp_path)
    with claimed(tmp_path), pytest.raises(BusyError):
        check(tmp_path)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_other_processes_are_kept_out(tmp_path):
    def another_gets_in():
        child = os.fork()
        if not child:
            try:
                with claimed(tmp_path):
                    os._exit(0)
            except BusyError:
                os._exit(1)
            finally:
                os._exit(2)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    with claimed(tmp_path):
        assert another_gets_in() == 1
    assert another_gets_in() == 0


def test_no_folder_can_be_made_where_a_file_is(tmp_path):
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "run"):
        with (
            pytest.raises(FolderError, match=r"nothing can be written to .*: name another folder"),
            claimed(folder),
        ):
            pass


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch, call):
    path = tmp_path / "log.csv"
    with atomic(path) as temporary:
        temporary.write_text("one")
        assert not path.exists()
    assert path.read_text() == "one"
    with pytest.raises(ZeroDivisionError), atomic(path) as temporary:
        temporary.write_text(f"tw{1 / 0}")

    for number, advice in ((errno.ENOSPC, "make room"), (errno.EIO, "mend that")):
        error = OSError(number, os.strerror(number))
        monkeypatch.setattr(os, call, Mock(side_effect=error))
        said = rf"log.csv could not be written \({error.strerror}\).*of before stays: {advice}"
        with pytest.raises(FolderError, match=said), atomic(path) as temporary:
            temporary.write_text("two")
        assert path.read_text() == "one"
        assert os.listdir(tmp_path) == ["log.csv"]


@pytest.mark.skipif(sys.platform == "win32", reason="folders cannot be opened there")
def test_the_replaced_name_reaches_the_disk_last(tmp_path, monkeypatch):
    calls, replace, fsync = [], os.replace, os.fsync

    def note(name, call):
        def noted(*args):
            calls.append("folder" if name == "fsync" and is_folder(*args) else name)
            return call(*args)

        return noted

    def is_folder(descriptor):
        return os.path.isdir(f"/dev/fd/{descriptor}")

    monkeypatch.setattr(os, "fsync", note("fsync", fsync))
    monkeypatch.setattr(os, "replace", note("replace", replace))
    with atomic(tmp_path / "log.csv") as path:
        path.touch()
    assert calls == ["fsync", "replace", "folder"]
