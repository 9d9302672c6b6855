"""Backups that hosts take: they are listed and brought here; what lies on hosts for them changes only when keys do."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyrage
import pytest
from pki_cases import NOW, cluster, host

from kprov.artifacts.progress import Silent
from kprov.run.backup_collect import collect, outdated, remove
from kprov.run.host_backups import bring, newest, on_hosts, split_word
from kprov.run.workspace import Workspace
from kprov.state import backup_file
from kprov.state.backup_folder import Folder
from kprov.state.backup_place import file_name
from kprov.state.deposit import timed
from kprov.state.sealed import identities_of, open_bytes
from kprov.state.store import Store
from kprov.transport.base import Result
from kprov.transport.fake import FakeTransport
from kprov.values.backup import Manifest, Snapshot
from kprov.values.errors import BackupError, TransportError
from kprov.values.model import BackupSettings, Host, Keep

OLD, NEW = "prod-20260101T000000Z.kprov-backup.age", "prod-20260102T000000Z.kprov-backup.age"
CONTENT = b"sealed" * 100
CLUSTER = replace(
    cluster(host("cp1", ("etcd",)), host("cp2", ("etcd",), address="10.0.0.12"), host("w1", ("worker",))),
    backup=BackupSettings(every=3600),
)


def workspace(folder: Path, lists: dict[str, str], silent: tuple[str, ...] = ()) -> Workspace:
    def answer(asked: Host, command: str, _: bytes) -> Result:
        if command.startswith("exec cat"):
            return Result(status=0, stdout=CONTENT, stderr=b"")
        return Result(status=0, stdout=lists.get(asked.name, "").encode(), stderr=b"")

    unreachable = {name: TransportError("no route", where=name) for name in silent}
    return Workspace(
        cluster=CLUSTER,
        store=Store.open(folder / "state", "prod"),
        transport=FakeTransport(handler=answer, unreachable=unreachable),
        cache=folder,
        lock_file=None,
        emit=lambda _: None,
        progress=Silent(),
    )


def test_what_hosts_have_is_listed_once_the_newest_last(tmp_path: Path) -> None:
    strange = "\nnotes 5\nother-20260101T000000Z.kprov-backup.age 4\n../x.age 3\nprod-x.kprov-backup.age 1"
    found = on_hosts(workspace(tmp_path, {"cp1": f"{NEW} 9{strange}", "cp2": f"{OLD} 7\n{NEW} 9", "w1": f"{OLD} 1"}))
    assert [(one.word, one.size) for one in found.backups] == [(f"cp2:{OLD}", 7), (f"cp1:{NEW}", 9)]
    assert found.backups[0].made == datetime(2026, 1, 1, tzinfo=UTC)
    assert found.silent == ()


def test_a_host_that_is_away_hides_no_other(tmp_path: Path) -> None:
    found = on_hosts(workspace(tmp_path, {"cp2": f"{OLD} 7"}, silent=("cp1",)))
    assert [one.host for one in found.backups] == ["cp2"]
    assert [error.where for error in found.silent] == ["cp1"]


def test_one_is_brought_here_under_its_name_and_once(tmp_path: Path) -> None:
    work = workspace(tmp_path, {})
    there = split_word(work, f"cp2:{NEW}")
    assert there is not None
    path = bring(work, *there)
    assert (path.name, path.read_bytes(), path.stat().st_mode & 0o777) == (NEW, CONTENT, 0o600)
    path.write_bytes(b"here already")
    assert bring(work, *there).read_bytes() == b"here already"
    assert sorted(one.name for one in path.parent.iterdir()) == [".lock", NEW]


def test_the_newest_is_the_newest_wherever_it_is(tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="there is no backup"):
        newest(workspace(tmp_path, {}))
    assert newest(workspace(tmp_path, {"cp2": f"{OLD} 7"})).name == OLD
    here = tmp_path / "state" / "backups" / NEW
    here.write_bytes(b"mine")
    assert newest(workspace(tmp_path, {"cp2": f"{OLD} 7"})) == here
    assert newest(workspace(tmp_path, {}, silent=("cp1", "cp2"))) == here


def test_a_word_that_names_no_host_is_a_file(tmp_path: Path) -> None:
    work = workspace(tmp_path, {})
    assert [split_word(work, text) for text in (NEW, f"w1:{NEW}", f"/mnt/{NEW}", "latest")] == [None] * 4
    with pytest.raises(BackupError, match="no name of a backup"):
        bring(work, CLUSTER.hosts[0], "../../etc/shadow")


def test_what_hosts_hold_of_the_folder_changes_only_with_keys_and_recipients(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "state", "prod")
    store.create_trust("ecdsa-p256", 3650, NOW)
    own = pyrage.x25519.Identity.generate()
    recipient = str(own.to_public())
    one = timed(store, [recipient])
    assert timed(Store.open(tmp_path / "state", "prod"), [recipient]) == one
    assert one.recipients[-1] == recipient
    for identity in (str(own), store.backup_key().reveal()):
        assert open_bytes(one.state, identities_of(identity, "key"), "x") == store.text()
    assert timed(store, []).state != one.state
    store.keep_encryption('{"resources": []}')
    assert open_bytes(timed(store, []).state, identities_of(store.backup_key().reveal(), "key"), "x") == store.text()


def test_a_backup_of_a_host_has_the_state_folder_in_it_as_any(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "state", "prod")
    store.create_trust("ecdsa-p256", 3650, NOW)
    keys = timed(store, [])
    body = b"db" * 1000
    db = body + hashlib.sha256(body).digest()
    snapshot = Snapshot(size=len(db), sha256=hashlib.sha256(db).hexdigest(), hash=1, revision=2, keys=3)
    manifest = Manifest(
        cluster="prod",
        cluster_id=keys.cluster_id,
        made=NOW,
        member="cp1",
        members=("cp1",),
        authorities=keys.authorities,
        versions={},
        why="",
        snapshot=snapshot,
    )
    path = tmp_path / NEW
    with path.open("wb") as output:
        backup_file.write(output, manifest, {backup_file.SEALED: keys.state}, lambda put: put(db), keys.recipients)
    opened = backup_file.read(path, identities_of(store.backup_key().reveal(), "key"))
    assert opened.files == {backup_file.TRUST: store.text()}
    other = identities_of(str(pyrage.x25519.Identity.generate()), "key")
    with pytest.raises(BackupError, match="does not open"):
        open_bytes(keys.state, other, "x")


def test_what_hosts_took_is_copied_once_to_where_backups_are_kept(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    folder.mkdir()
    (folder / OLD).write_bytes(b"there already")
    size = len(CONTENT)
    work = workspace(tmp_path, {"cp1": f"{OLD} {size}\n{NEW} {size}", "cp2": f"{NEW} {size}"})
    done = collect(work, Folder(folder))
    assert (done.new, done.silent) == ((NEW,), ())
    assert (folder / OLD).read_bytes() == b"there already"
    assert (folder / NEW).read_bytes() == CONTENT
    assert collect(work, Folder(folder)).new == ()
    away = collect(workspace(tmp_path, {"cp2": f"{NEW} {size}"}, silent=("cp1",)), Folder(folder))
    assert [error.where for error in away.silent] == ["cp1"]


def test_a_copy_that_is_not_whole_is_none(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    folder.mkdir()
    with pytest.raises(BackupError, match="did not come whole"):
        collect(workspace(tmp_path, {"cp1": f"{NEW} {len(CONTENT) + 1}"}), Folder(folder))
    assert Folder(folder).names().keys() == {".lock"}


def test_what_no_rule_keeps_is_removed_and_nothing_else(tmp_path: Path) -> None:
    names = [file_name("prod", NOW - timedelta(hours=hours)) for hours in range(5)]
    for name in (*names, "notes", "other-20260101T000000Z.kprov-backup.age"):
        (tmp_path / name).touch()
    work = workspace(tmp_path, {})
    keep = BackupSettings(keep=Keep(last=2, daily=0, weekly=0, monthly=0))
    work = replace(work, cluster=replace(work.cluster, backup=keep))
    found = outdated(work, Folder(tmp_path))
    assert [one.name for one in found] == names[:1:-1]
    remove(work, Folder(tmp_path), found)
    assert {path.name for path in tmp_path.iterdir()} >= {
        *names[:2],
        "notes",
        "other-20260101T000000Z.kprov-backup.age",
    }
    assert outdated(work, Folder(tmp_path)) == ()
