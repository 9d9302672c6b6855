"""Stores that backups are kept in, for real: an sshd on loopback, and moto's S3. What goes in comes out.

What fails leaves what was there before.
"""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import boto3
import pytest
from ssh_server import SshServer, make_folder

from kprov.state import backup_file, backup_s3
from kprov.state.backup_place import Place, file_name, kept, latest
from kprov.state.backup_s3 import S3Place
from kprov.state.backup_sftp import SftpPlace
from kprov.state.sealed import identities_of, new_identity, recipient_of
from kprov.transport.openssh_config import Files
from kprov.values.backup import Manifest, Snapshot
from kprov.values.backup_place import S3Address, S3Settings, SftpAddress, SftpSettings
from kprov.values.errors import BackupError

NAMES = [file_name("prod", datetime(2026, 11, day, tzinfo=UTC)) for day in (1, 2, 3)]
CONTENT = os.urandom(6_000_001)
KEYS = "[default]\naws_access_key_id = AKIATEST\naws_secret_access_key = secret-that-must-never-show\n"


@dataclass(frozen=True)
class Store:
    """A place, and who changes its files behind kprov's back."""

    place: Place
    plant: Callable[[str, bytes], object]


@pytest.fixture(scope="module")
def server() -> Iterator[SshServer]:
    made = SshServer(make_folder(), extra="Subsystem sftp internal-sftp\n")
    made.start()
    yield made
    made.stop()


def sftp_place(server: SshServer, folder: Path, **changes: object) -> SftpPlace:
    known = {"key": server.key, "host_key": server.host_key, **changes}
    address = SftpAddress(host="127.0.0.1", port=server.port, folder=str(folder))
    return SftpPlace(address, SftpSettings(**known), Files(config=Path("/dev/null")))  # type: ignore[arg-type]


def sftp_store(server: SshServer, folder: Path) -> Store:
    kept_there = folder / "backups"
    kept_there.mkdir()
    return Store(sftp_place(server, kept_there), lambda name, content: (kept_there / name).write_bytes(content))


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [Path(sys.executable).parent / "moto_server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        ends = time.monotonic() + 120
        while time.monotonic() < ends:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=2).close()
                break
            except OSError:
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
        process.terminate()


def s3_settings(folder: Path, endpoint: str) -> S3Settings:
    credentials = folder / "credentials"
    credentials.touch(mode=0o600)
    credentials.write_text(KEYS)
    return S3Settings(endpoint=endpoint, credentials=credentials)


def s3_store(endpoint: str, folder: Path) -> Store:
    bucket = f"b{abs(hash(folder))}"
    client = boto3.client(
        "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x"
    )
    client.create_bucket(Bucket=bucket)
    place = S3Place(S3Address(bucket=bucket, prefix="some/where/"), s3_settings(folder, endpoint))
    return Store(place, lambda name, content: client.put_object(Bucket=bucket, Key=f"some/where/{name}", Body=content))


@pytest.fixture(params=["sftp", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(backup_s3, "_PART", 5 << 20)  # the least that a store takes
    if request.param == "sftp":
        return sftp_store(request.getfixturevalue("server"), tmp_path)
    return s3_store(request.getfixturevalue("moto"), tmp_path)


def write(place: Place, name: str, content: bytes) -> None:
    with place.writing("prod"), place.create(name) as output:
        for start in range(0, len(content), 65_552):
            output.write(content[start : start + 65_552])


def brought(place: Place, name: str) -> bytes:
    pieces: list[bytes] = []
    place.bring(name, pieces.append)
    return b"".join(pieces)


def test_what_goes_in_comes_out_and_is_listed(store: Store) -> None:
    for name, content in ((NAMES[1], CONTENT), (NAMES[0], b"short")):
        write(store.place, name, content)
    store.plant("notes", b"x")
    assert [(one.name, one.size) for one in kept(store.place, "prod")] == [(NAMES[0], 5), (NAMES[1], len(CONTENT))]
    assert latest(store.place, "prod").where == store.place.where(NAMES[1])
    assert store.place.head(NAMES[1], 1000) == CONTENT[:1000]
    assert store.place.head(NAMES[0], 1000) == b"short"
    assert brought(store.place, NAMES[1]) == CONTENT
    store.place.remove(NAMES[1])
    assert set(store.place.names()) == {"notes", NAMES[0]}
    with pytest.raises(BackupError, match="there is no such backup"):
        brought(store.place, NAMES[2])


def test_what_fails_in_the_middle_leaves_nothing_and_what_was_there_stays(store: Store) -> None:
    write(store.place, NAMES[0], b"before")
    with pytest.raises(RuntimeError, match="no more"):
        break_off(store.place, NAMES[1])
    assert set(store.place.names()) == {NAMES[0]}
    assert brought(store.place, NAMES[0]) == b"before"


def break_off(place: Place, name: str) -> None:
    with place.create(name) as output:
        output.write(CONTENT)
        raise RuntimeError("no more")


def test_two_at_once_do_not_meet_and_no_name_is_given_twice(store: Store) -> None:
    with store.place.create(NAMES[0]) as first, store.place.create(NAMES[1]) as second:
        first.write(b"1")
        second.write(b"22")
    assert store.place.names() == {NAMES[0]: 1, NAMES[1]: 2}
    with pytest.raises(BackupError, match=r"refuses|of that name already"):
        write(store.place, NAMES[0], b"another")
    assert brought(store.place, NAMES[0]) == b"1"
    assert len(store.place.names()) == 2


def test_a_backup_says_what_it_is_without_being_brought_and_one_that_was_cut_is_told(
    store: Store, tmp_path: Path
) -> None:
    db = CONTENT + hashlib.sha256(CONTENT).digest()
    snapshot = Snapshot(size=len(db), sha256=hashlib.sha256(CONTENT).hexdigest(), hash=1, revision=2, keys=3)
    manifest = Manifest(
        cluster="prod", cluster_id="c", made=datetime(2026, 11, 1, tzinfo=UTC), member="cp1", members=("cp1",),
        authorities={}, versions={}, why="", snapshot=snapshot,
    )  # fmt: skip
    key = new_identity()
    with store.place.create(NAMES[0]) as output:
        size = backup_file.write(output, manifest, {}, lambda put: put(db), [recipient_of(key)])
    assert store.place.names() == {NAMES[0]: size}
    keys = identities_of(key, "key")
    head = store.place.head(NAMES[0], backup_file.HEAD)
    assert len(head) == backup_file.HEAD
    assert backup_file.manifest_in(head, "x", keys) == manifest
    with pytest.raises(BackupError, match="none of the keys opens"):
        backup_file.manifest_in(head, "x", identities_of(new_identity(), "key"))
    file = tmp_path / "brought"
    file.write_bytes(brought(store.place, NAMES[0]))
    assert backup_file.read(file, keys).manifest == manifest
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(BackupError, match="damaged or was cut off"):
        backup_file.read(file, keys)


def test_a_server_that_is_away_and_a_key_that_it_does_not_know_are_told(server: SshServer, tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="the store cannot be used: ") as caught:
        sftp_place(server, tmp_path, key=server.other_key).names()
    assert str(server.port) in caught.value.where
    other = (server.folder / "other.pub").read_text().rsplit(" ", 1)[0]
    with pytest.raises(BackupError, match="the store cannot be used: "):
        sftp_place(server, tmp_path, host_key=other).names()
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = SftpAddress(host="127.0.0.1", port=closed.getsockname()[1], folder="/x")
        with pytest.raises(BackupError, match="the store cannot be used: "):
            SftpPlace(address, SftpSettings(), Files(config=Path("/dev/null"))).names()


def test_a_folder_that_is_not_there_is_not_made(server: SshServer, tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="the folder of backups cannot be used"):
        write(sftp_place(server, tmp_path / "away"), NAMES[0], b"x")
    assert not (tmp_path / "away").exists()


def test_the_users_own_folder_is_named_by_a_tilde(server: SshServer, tmp_path: Path) -> None:
    below = os.path.relpath(tmp_path, Path.home())
    assert sftp_place(server, Path(f"~/{below}")).names() == {}


def lose(place: Place, server: SshServer) -> None:
    with place.create(NAMES[1]) as output:
        output.write(CONTENT)
        server.cut()
        for _ in range(20):
            output.write(CONTENT)


def test_a_lost_connection_is_told_and_the_next_one_removes_what_it_left(server: SshServer, tmp_path: Path) -> None:
    store = sftp_store(server, tmp_path)
    write(store.place, NAMES[0], b"before")
    with pytest.raises(BackupError, match="was lost"):
        lose(store.place, server)
    [part] = [name for name in store.place.names() if name.endswith(".part")]
    write(store.place, NAMES[1], b"next")
    assert part in store.place.names(), "it may be somebody's who is writing"
    os.utime(tmp_path / "backups" / part, (0, 0))
    write(store.place, NAMES[2], b"last")
    assert set(store.place.names()) == set(NAMES)


@pytest.mark.skipif(os.geteuid() != 0, reason="a small disk needs root")
def test_a_full_disk_of_the_server_is_told_and_nothing_is_left(server: SshServer, tmp_path: Path) -> None:
    with small_disk(tmp_path / "small"):
        place = sftp_place(server, tmp_path / "small")
        write(place, NAMES[0], b"before")
        with pytest.raises(BackupError, match=r"refuses|did not come whole") as caught:
            write(place, NAMES[1], CONTENT)
        assert "full" in caught.value.todo
        assert set(place.names()) == {NAMES[0]}


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize(
    ("status", "code", "says"),
    [
        (403, "InvalidAccessKeyId", "the store does not let us in"),
        (403, "SignatureDoesNotMatch", "the store does not let us in"),
        (404, "NoSuchBucket", "there is no such bucket"),
        (507, "XMinioStorageFull", "the store is full"),
        (400, "Strange", "the store refuses"),
    ],
)
def test_what_a_store_refuses_is_told_without_its_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, code: str, says: str
) -> None:
    monkeypatch.setattr(backup_s3, "_TRIES", 1)
    with refusing(status, code) as endpoint:
        place = S3Place(S3Address(bucket="bucket"), s3_settings(tmp_path, endpoint))
        with pytest.raises(BackupError, match=says) as caught:
            write(place, NAMES[0], b"x")
    assert code in caught.value.found
    assert "never-show" not in str(caught.value)


@contextmanager
def refusing(status: int, code: str) -> Iterator[str]:
    """A store that answers everything in one way."""

    class Answer(BaseHTTPRequestHandler):
        def refuse(self) -> None:
            body = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_PUT = do_POST = do_DELETE = refuse

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Answer) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_address[1]}"
        httpd.shutdown()


def test_a_store_that_is_away_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup_s3, "_TRIES", 1)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(BackupError, match="the store cannot be reached"):
            S3Place(S3Address(bucket="bucket"), s3_settings(tmp_path, endpoint)).names()


@pytest.mark.parametrize(("text", "mode", "says"), [(KEYS, 0o644, "others may read"), ("x=1", 0o600, "no credentials")])
def test_credentials_that_are_open_or_none_are_refused(tmp_path: Path, text: str, mode: int, says: str) -> None:
    path = tmp_path / "credentials"
    path.write_text(text)
    path.chmod(mode)
    with pytest.raises(BackupError, match=says) as caught:
        S3Place(S3Address(bucket="bucket"), S3Settings(endpoint="http://127.0.0.1:1", credentials=path)).names()
    assert "never-show" not in str(caught.value)


def test_without_the_library_it_is_told_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("boto3", "botocore.exceptions", "botocore.config"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(BackupError, match="cannot be kept in S3") as caught:
        write(S3Place(S3Address(bucket="bucket"), s3_settings(tmp_path, "http://127.0.0.1:1")), NAMES[0], b"x")
    assert "pip install boto3" in caught.value.todo
