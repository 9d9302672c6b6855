"""Backups as files: what goes in comes out, and each file that is not whole, not ours or not known is refused in words."""

from __future__ import annotations

import hashlib
import io
import itertools
import os
import tarfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyrage
import pytest

from kprov.state import backup_file
from kprov.state.backup_file import SnapshotCheck
from kprov.state.backup_folder import Folder
from kprov.state.sealed import check_recipient, identities_of, lock_text, new_identity, recipient_of, unlock_text
from kprov.values.backup import Manifest, Snapshot, encode
from kprov.values.errors import BackupError, TransportError

BODY = os.urandom(300_000)
DB = BODY + hashlib.sha256(BODY).digest()
MANIFEST = Manifest(
    cluster="prod",
    cluster_id="0123",
    made=datetime(2026, 11, 30, 17, 0, tzinfo=UTC),
    member="cp1",
    members=("cp1", "cp2"),
    authorities={"kubernetes": "aa", "etcd": "bb", "front-proxy": "cc"},
    versions={"kubernetes": "1.37.2", "etcd": "3.7.0"},
    why="asked for",
    snapshot=Snapshot(
        size=len(DB),
        sha256=hashlib.sha256(BODY).hexdigest(),
        hash=7,
        revision=100,
        keys=20,
        counts={"pods": 3, "nodes": 1},
    ),
)
FILES = {backup_file.TRUST: b"keys", backup_file.INVENTORY: b"cluster: {}\n"}
KEY = new_identity()


def whole(put: Callable[[bytes], None]) -> None:
    for start in range(0, len(DB), 65_536):
        put(DB[start : start + 65_536])


def written(folder: Path, manifest: Manifest = MANIFEST, fill: backup_file.Fill = whole) -> Path:
    path = folder / "prod.age"
    with Folder(folder).create(path.name) as output:
        backup_file.write(output, manifest, FILES, fill, [recipient_of(KEY)])
    return path


def keys(text: str = KEY) -> list[Any]:
    return identities_of(text, "key")


def test_what_was_written_comes_out_again(tmp_path: Path) -> None:
    path = written(tmp_path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["prod.age"]
    opened = backup_file.read(path, keys(), tmp_path / "db")
    assert (opened.manifest, opened.files) == (MANIFEST, FILES)
    assert (tmp_path / "db").read_bytes() == DB
    assert (tmp_path / "db").stat().st_mode & 0o777 == 0o600
    assert backup_file.read_manifest(path, keys()) == MANIFEST
    assert "keys" not in repr(opened)


def test_age_and_tar_open_it_without_kprov(tmp_path: Path) -> None:
    text = pyrage.decrypt(written(tmp_path).read_bytes(), keys())
    with tarfile.open(fileobj=io.BytesIO(text)) as archive:
        assert archive.getnames() == ["manifest.json", "state/trust.json", "inventory.yaml", "snapshot.db"]


def test_each_recipient_opens_it(tmp_path: Path) -> None:
    other, path = new_identity(), tmp_path / "prod.age"
    with path.open("wb") as output:
        backup_file.write(output, MANIFEST, FILES, whole, [recipient_of(KEY), recipient_of(other)])
    assert backup_file.read(path, keys(other)).manifest == backup_file.read(path, keys()).manifest


def cut(content: bytes, at: int) -> bytes:
    return content[:at]


@pytest.mark.parametrize("kept", [30, 250, 400, 2_000, 66_000, -100_000, -10, -1])
def test_a_file_that_was_cut_is_told_wherever_it_was_cut(tmp_path: Path, kept: int) -> None:
    path = written(tmp_path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(BackupError, match="damaged or was cut off"):
        backup_file.read(path, keys())


@pytest.mark.parametrize("at", [300, 100_000, -5])
def test_a_file_that_was_changed_is_told(tmp_path: Path, at: int) -> None:
    path = written(tmp_path)
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)
    with pytest.raises(BackupError, match="damaged or was cut off"):
        backup_file.read(path, keys())


def test_the_manifest_is_read_without_the_rest_of_the_file(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.write_bytes(path.read_bytes()[:-1000])
    assert backup_file.read_manifest(path, keys()) == MANIFEST


def test_another_key_does_not_open_it(tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="none of the keys opens this backup"):
        backup_file.read(written(tmp_path), keys(new_identity()))


@pytest.mark.parametrize("content", [b"", b"junk" * 100])
def test_a_file_of_another_kind_is_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(BackupError, match="no backup of kprov's"):
        backup_file.read(path, keys())


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="cannot be read") as caught:
        backup_file.read(tmp_path / "x", keys())
    assert caught.value.found == "No such file or directory"


def test_an_age_file_with_something_else_in_it_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.age"
    path.write_bytes(pyrage.encrypt(b"hello" * 1000, [pyrage.x25519.Recipient.from_str(recipient_of(KEY))]))
    with pytest.raises(BackupError, match="there is no backup of kprov's in it"):
        backup_file.read(path, keys())


def test_a_newer_format_is_refused_before_anything_else_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        backup_file, "encode", lambda manifest: encode(manifest).replace(b'"format": 2', b'"format": 3')
    )
    path = written(tmp_path)
    with pytest.raises(BackupError, match="of a format that this kprov does not know") as caught:
        backup_file.read_manifest(path, keys())
    assert (caught.value.found, caught.value.needed) == ("format 3", "format 1 or format 2")


def test_the_first_format_had_the_hash_of_the_whole_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    older = replace(MANIFEST, snapshot=replace(MANIFEST.snapshot, sha256=hashlib.sha256(DB).hexdigest()))
    monkeypatch.setattr(
        backup_file, "encode", lambda manifest: encode(manifest).replace(b'"format": 2', b'"format": 1')
    )
    assert backup_file.read(written(tmp_path, older), keys()).manifest == older


@pytest.mark.parametrize("sizes", [[1], [31, 33], [32], [7, 100, 3], [65_536]])
def test_a_snapshot_may_come_in_pieces_of_any_size(sizes: list[int]) -> None:
    db = DB[-1000:-32] + hashlib.sha256(DB[-1000:-32]).digest()
    check, at = SnapshotCheck(), 0
    for size in itertools.cycle(sizes):
        if at >= len(db):
            break
        check.feed(db[at : at + size])
        at += size
    sha256 = hashlib.sha256(db[:-32]).hexdigest()
    check.verify(replace(MANIFEST, snapshot=replace(MANIFEST.snapshot, size=len(db), sha256=sha256)), "x")


def flipped(put: Callable[[bytes], None]) -> None:
    put(b"\0" + DB[1:])


def shorter(put: Callable[[bytes], None]) -> None:
    put(DB[:-1])


def broken_off(put: Callable[[bytes], None]) -> None:
    put(DB[:1000])
    raise TransportError("connection lost", where="cp1")


@pytest.mark.parametrize(
    ("fill", "error"),
    [(flipped, "not the one that was taken"), (shorter, "not the one"), (broken_off, "connection lost")],
)
def test_nothing_is_left_of_a_backup_that_does_not_come_whole(
    tmp_path: Path, fill: backup_file.Fill, error: str
) -> None:
    with pytest.raises((BackupError, TransportError), match=error):
        written(tmp_path, fill=fill)
    assert not list(tmp_path.iterdir())


def test_a_snapshot_without_etcds_own_hash_is_refused(tmp_path: Path) -> None:
    bad = DB[:-1] + bytes([DB[-1] ^ 1])
    snapshot = replace(MANIFEST.snapshot, sha256=hashlib.sha256(bad[:-32]).hexdigest())
    with pytest.raises(BackupError, match="the hash that etcd gave it"):
        written(tmp_path, replace(MANIFEST, snapshot=snapshot), lambda put: put(bad))


def test_a_full_disk_is_told_as_such_and_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    real = os.open
    monkeypatch.setattr(os, "open", lambda path, flags, mode: real("/dev/full", os.O_WRONLY))
    with pytest.raises(OSError, match="No space left"):
        written(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_key_locked_with_a_passphrase_opens_with_it_only() -> None:
    sealed = lock_text(KEY, "correct horse")
    assert unlock_text(sealed, "correct horse", "key") == KEY
    with pytest.raises(BackupError, match="passphrase does not open"):
        unlock_text(sealed, "wrong", "key")


def test_a_busy_computer_is_asked_again_before_it_is_too_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """age measures how fast this computer is at each try."""
    sealed, decrypt, busy = lock_text(KEY, "correct horse"), pyrage.passphrase.decrypt, [True, True]

    def measured(content: bytes, passphrase: str) -> bytes:
        if busy:
            busy.pop()
            raise pyrage.DecryptError(
                "Excessive work parameter for passphrase.\nDecryption would take around 99 seconds."
            )
        opened: bytes = decrypt(content, passphrase)
        return opened

    monkeypatch.setattr(pyrage.passphrase, "decrypt", measured)
    assert unlock_text(sealed, "correct horse", "key") == KEY
    busy[:] = [True] * 99
    with pytest.raises(BackupError, match="too slow, or too busy"):
        unlock_text(sealed, "correct horse", "key")


@pytest.mark.parametrize("text", ["", "# nothing\n", "AGE-SECRET-KEY-1QQ", "-----BEGIN OPENSSH PRIVATE KEY-----\nx"])
def test_a_file_without_a_private_key_is_refused_and_not_quoted(text: str) -> None:
    with pytest.raises(BackupError, match="no private key") as caught:
        identities_of(text, "key.txt")
    assert "SECRET-KEY-1QQ" not in str(caught.value)


def test_public_keys_are_checked() -> None:
    check_recipient(recipient_of(KEY))
    for text in ("age1nothing", "ssh-rsa x", "x"):
        with pytest.raises(ValueError, match=r"."):
            check_recipient(text)
