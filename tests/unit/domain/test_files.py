from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from freehold.domain.files import PUBLIC, sync_folder, write_whole


def test_a_file_holds_the_newest_content_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    for data in (b"first, and longer", b"second"):
        write_whole(path, data)
        assert path.read_bytes() == data
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("broken", ["fsync", "link", "write"])
def test_what_fails_half_way_leaves_the_old_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    path = tmp_path / "record.json"
    write_whole(path, b"old")

    def fail(*args: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    if broken == "write":
        monkeypatch.setattr(Path, "replace", fail)
    else:
        monkeypatch.setattr(os, broken, fail)
    with pytest.raises(OSError, match="No space"):
        write_whole(path, b"new", replace=broken != "link")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_content_is_synced_before_its_name_and_the_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    sync, replace = os.fsync, Path.replace

    def note_sync(handle: int) -> None:
        done.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        sync(handle)

    def note_replace(source: Path, target: Path) -> Path:
        done.append("rename")
        return replace(source, target)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(Path, "replace", note_replace)
    write_whole(tmp_path / "record", b"data")
    assert done == ["file", "rename", "folder"]


def test_files_are_private_unless_meant_for_others(tmp_path: Path) -> None:
    secret, public = tmp_path / "secret", tmp_path / "public"
    before = os.umask(0o022)
    try:
        write_whole(secret, b"")
        write_whole(public, b"", mode=PUBLIC)
    finally:
        os.umask(before)
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (secret, public)]
    assert modes == [0o600, 0o644]


def test_a_file_that_must_not_be_there_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    write_whole(path, b"the only key", replace=False)
    with pytest.raises(FileExistsError):
        write_whole(path, b"another", replace=False)
    assert path.read_bytes() == b"the only key"
    assert list(tmp_path.iterdir()) == [path]


def test_only_folders_are_synced_as_folders(tmp_path: Path) -> None:
    sync_folder(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        sync_folder(tmp_path / "file")
