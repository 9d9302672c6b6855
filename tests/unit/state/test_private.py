"""Private files: modes whatever the umask, no following of links, all or nothing when a writer dies."""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager

import pytest

from kprov.state.private import (
    check_private,
    create_private,
    make_folder,
    private_folder,
    read_private,
    remove_parts,
    replace_private,
)
from kprov.values.errors import StoreError


@contextmanager
def umask(mask):
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def mode(path):
    return stat.S_IMODE(path.lstat().st_mode)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "state"
    make_folder(path)
    return path


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o277])
def test_modes_do_not_depend_on_the_umask(tmp_path, mask):
    path = tmp_path / "a" / "b"
    with umask(mask):
        make_folder(path)
        with private_folder(path) as opened:
            create_private(opened, "made", b"x")
            replace_private(opened, "replaced", b"x")
    assert (mode(tmp_path / "a"), mode(path)) == (0o700, 0o700)
    assert (mode(path / "made"), mode(path / "replaced")) == (0o600, 0o600)


def test_a_file_is_private_from_its_first_moment(folder, monkeypatch):
    seen = []
    really_open = os.open

    def watched(path, flags, permissions=0o777, **more):
        descriptor = really_open(path, flags, permissions, **more)
        if flags & os.O_CREAT:
            seen.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
            assert flags & os.O_EXCL
            assert flags & os.O_NOFOLLOW
        return descriptor

    with private_folder(folder) as opened, umask(0):
        monkeypatch.setattr(os, "open", watched)
        create_private(opened, "key", b"secret")
    assert seen == [0o600]


def test_making_a_folder_leaves_one_that_is_there(tmp_path):
    tmp_path.chmod(0o755)
    make_folder(tmp_path / "new")
    assert mode(tmp_path) == 0o755


def test_creating_never_replaces(folder):
    with private_folder(folder) as opened:
        create_private(opened, "key", b"first")
        with pytest.raises(FileExistsError):
            create_private(opened, "key", b"second")
        assert read_private(opened, folder / "key") == b"first"
    assert names(folder) == ["key"]


def test_replacing_replaces_a_link_and_not_its_target(folder, tmp_path):
    target = tmp_path / "target"
    target.write_bytes(b"theirs")
    (folder / "key").symlink_to(target)
    with private_folder(folder) as opened:
        replace_private(opened, "key", b"ours")
    assert target.read_bytes() == b"theirs"
    assert not (folder / "key").is_symlink()


@pytest.mark.parametrize("call", ["fsync", "link", "rename"])
def test_a_failed_write_leaves_the_old_content_and_no_part(folder, monkeypatch, call):
    def fails(*_args, **_more):
        raise OSError(28, "No space left on device")

    put = create_private if call == "link" else replace_private
    with private_folder(folder) as opened:
        create_private(opened, "other", b"old")
        monkeypatch.setattr(os, call, fails)
        with pytest.raises(OSError, match="No space"):
            put(opened, "other" if put is replace_private else "new", b"new")
        assert read_private(opened, folder / "other") == b"old"
    assert names(folder) == ["other"]


def test_parts_of_a_killed_writer_are_removed_and_nothing_else(folder):
    (folder / ".trust.json.00ff.part").write_bytes(b"half")
    (folder / ".gitignore").write_bytes(b"*")
    (folder / "notes.part").write_bytes(b"mine")
    with private_folder(folder) as opened:
        remove_parts(opened)
    assert names(folder) == [".gitignore", "notes.part"]


def test_reading_what_is_not_there(folder):
    with private_folder(folder) as opened:
        assert read_private(opened, folder / "absent") is None


def test_reading_refuses_links_pipes_and_open_files(folder, tmp_path):
    (tmp_path / "real").write_bytes(b"x")
    (folder / "link").symlink_to(tmp_path / "real")
    os.mkfifo(folder / "pipe", 0o600)
    (folder / "open").write_bytes(b"x")
    (folder / "open").chmod(0o640)
    with private_folder(folder) as opened:
        with pytest.raises(StoreError, match="cannot be opened"):
            read_private(opened, folder / "link")
        with pytest.raises(StoreError, match="no regular file"):
            read_private(opened, folder / "pipe")
        with pytest.raises(StoreError, match="others") as caught:
            read_private(opened, folder / "open")
    assert caught.value.found == "mode 0640"
    assert "chmod 0600" in caught.value.todo


@pytest.mark.parametrize("open_mode", [0o750, 0o705, 0o701, 0o770])
def test_a_folder_others_may_enter_is_refused(folder, open_mode):
    folder.chmod(open_mode)
    with pytest.raises(StoreError, match="others") as caught, private_folder(folder):
        pass
    assert caught.value.found == f"mode {open_mode:04o}"
    assert f"chmod 0700 {folder}" in caught.value.todo


def test_a_link_in_the_folders_place_is_refused(folder, tmp_path):
    (tmp_path / "alias").symlink_to(folder)
    with pytest.raises(StoreError) as caught, private_folder(tmp_path / "alias"):
        pass
    assert caught.value.found == "a symbolic link"


def test_somebody_elses_folder_is_refused(folder, monkeypatch):
    status = folder.stat()
    monkeypatch.setattr(os, "geteuid", lambda: status.st_uid + 1)
    with pytest.raises(StoreError, match="another user") as caught:
        check_private(status, str(folder), "0700")
    assert caught.value.found == f"user id {status.st_uid}"
