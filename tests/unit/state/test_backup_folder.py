"""The folder of backups: which are there, one writer at a time, and a folder that is away or full."""

from __future__ import annotations

import errno
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kprov.state import backup_folder
from kprov.state.backup_folder import Folder
from kprov.state.backup_place import file_name, kept, latest
from kprov.state.private import make_folder
from kprov.state.restore_record import NAME, RestoreRecord, read_record, remove_record, write_record
from kprov.values.errors import BackupError, LockedError, StoreError

MADE = datetime(2026, 11, 30, 17, 0, 5, tzinfo=UTC)


def test_backups_are_found_by_cluster_and_in_the_order_of_their_dates(tmp_path: Path) -> None:
    for made in (MADE + timedelta(days=1), MADE):
        (tmp_path / file_name("prod", made)).write_bytes(b"12")
    for name in (
        "prod-2-20261130T170005Z.kprov-backup.age",
        "prod-x.kprov-backup.age",
        "prod-20261130T170005Z.tar",
        ".x",
    ):
        (tmp_path / name).touch()
    found = kept(Folder(tmp_path), "prod")
    assert [(one.made, one.size) for one in found] == [(MADE, 2), (MADE + timedelta(days=1), 2)]
    assert latest(Folder(tmp_path), "prod") == found[1]
    assert [one.made for one in kept(Folder(tmp_path), "prod-2")] == [MADE]


def test_no_backup_is_told(tmp_path: Path) -> None:
    assert kept(Folder(tmp_path / "none"), "prod") == ()
    with pytest.raises(BackupError, match="no backup of cluster prod"):
        latest(Folder(tmp_path), "prod")


def test_two_at_once_are_refused_and_the_first_one_goes_on(tmp_path: Path) -> None:
    with Folder(tmp_path).writing("prod"):
        with pytest.raises(LockedError, match="another backup"), Folder(tmp_path).writing("prod"):
            pass
        (tmp_path / "x").touch()
    with Folder(tmp_path).writing("prod"):
        pass


def test_what_a_killed_one_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    part = tmp_path / f".{file_name('prod', MADE)}.part"
    other = tmp_path / f".{file_name('stage', MADE)}.part"
    whole = tmp_path / file_name("prod", MADE)
    for path in (part, other, whole):
        path.touch()
    with Folder(tmp_path).writing("prod"):
        pass
    assert not part.exists()
    assert other.exists()
    assert whole.exists()


def test_a_folder_that_the_user_named_is_not_made_as_a_disk_may_be_away(tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="cannot be used") as caught, Folder(tmp_path / "away").writing("prod"):
        pass
    assert caught.value.found == "No such file or directory"
    with Folder(tmp_path / "own", own=True).writing("prod"):
        pass
    assert (tmp_path / "own").stat().st_mode & 0o777 == 0o700


def test_a_disk_that_becomes_full_is_told_in_words(tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="disk became full"), Folder(tmp_path).writing("prod"):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_too_little_room_is_told_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup_folder.shutil, "disk_usage", lambda _: type("usage", (), {"free": 100 << 20})())
    Folder(tmp_path).need_room(30 << 20)
    with pytest.raises(BackupError, match="too little room") as caught:
        Folder(tmp_path).need_room(90 << 20)
    assert (caught.value.found, caught.value.needed) == ("100 MiB free", "155 MiB")


RECORD = RestoreRecord(file="/b", sha256="ab", token="t", bump=5)


def test_how_far_a_restore_came_is_kept_until_it_is_over(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    assert read_record(folder) is None
    make_folder(folder)
    assert read_record(folder) is None
    write_record(folder, RECORD)
    assert read_record(folder) == RECORD
    remove_record(folder)
    assert read_record(folder) is None
    (folder / NAME).touch(mode=0o600)
    with pytest.raises(StoreError, match="damaged"):
        read_record(folder)
