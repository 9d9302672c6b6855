"""Backups and restores of hosts that exist only here: what is sent to whom, and that a restore goes on wherever it was cut
off."""

from __future__ import annotations

import gzip
import hashlib
import io
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from obedient import Machine, Obedient
from sent import received
from test_cost import content as content  # the fixture: what binaries and images consist of
from test_living_cluster import written

from kprov.apply import scripts, wire
from kprov.apply.scripts import APPLY_COMMAND
from kprov.artifacts.progress import Silent
from kprov.observe.probe import PROBE_COMMAND
from kprov.roles.api_server import ENCRYPTION
from kprov.run import backup as run_backup
from kprov.run import backup_places, host_backups
from kprov.run import restore as run_restore
from kprov.run import status as run_status
from kprov.run.backup_verify import identities
from kprov.run.rotation import turned, with_store
from kprov.run.up import apply, prepare
from kprov.run.workspace import Options, Workspace
from kprov.state import backup_folder
from kprov.state.backup_folder import Folder
from kprov.state.backup_place import kept
from kprov.state.restore_record import read_record
from kprov.state.store import Store
from kprov.transport.base import Result
from kprov.transport.fake import Call, FakeTransport
from kprov.values.errors import ApplyError, BackupError, KprovError, LockedError, PkiError, PreflightError
from kprov.values.events import Event, Note
from kprov.values.model import Cluster, Host

BODY = b"what etcd has" * 1000
DB = BODY + hashlib.sha256(BODY).digest()
STATUS = '{"hash":7,"revision":42,"totalKey":4,"totalSize":9}'
ANSWER = f"file\t{len(DB)}\t{hashlib.sha256(BODY).hexdigest()}\nstatus\t{STATUS}\ncount\t2\t/registry/pods/ns/\n"
PLANES = ("cp1", "cp2", "cp3")


@dataclass(kw_only=True)
class Members(Obedient):
    """Obedient hosts that give snapshots, too. log: units as they start and stop, host by host."""

    snapshot: str = ANSWER
    content: bytes = DB
    log: list[str] = field(default_factory=list)

    def answer(self, host: Host, command: str, stdin: bytes) -> Result:
        if stdin == scripts.text("snapshot.sh"):
            return Result(status=0, stdout=self.snapshot.encode(), stderr=b"")
        if command.startswith("exec cat"):
            return Result(status=0, stdout=self.content, stderr=b"")
        if command.startswith("rm -rf"):
            return Result(status=0, stdout=b"", stderr=b"")
        return super().answer(host, command, stdin)

    def _do_stop(self, machine: Machine, payload: Mapping[str, bytes], asked: Any) -> None:
        self.log.append(f"stop {asked.unit}")
        super()._do_stop(machine, payload, asked)

    def _do_restart(self, machine: Machine, payload: Mapping[str, bytes], asked: Any) -> None:
        if asked.unit in ("etcd.service", "kube-apiserver.service"):
            self.log.append(f"start {asked.unit}")
        super()._do_restart(machine, payload, asked)


@dataclass(kw_only=True)
class Site:
    folder: Path
    hosts: Members
    cluster: Cluster
    told: list[Event] = field(default_factory=list)

    def workspace(self, **transport: Any) -> Workspace:
        options = transport.pop("options", Options())
        return Workspace(
            cluster=self.cluster,
            store=Store.open(self.folder / "state", self.cluster.name),
            transport=FakeTransport(handler=self.hosts.answer, **transport),
            cache=self.folder,
            lock_file=None,
            emit=self.told.append,
            progress=Silent(),
            options=options,
        )

    def up(self, **more: Any) -> None:
        workspace = self.workspace(**more)
        with prepare(workspace, draft=False) as prepared:
            assert apply(workspace, prepared).failures == ()

    def restore(self, path: Path, **transport: Any) -> run_restore.Restored:
        workspace = self.workspace(**transport)
        with run_restore.intend(workspace, path, identities(workspace)) as intended:
            return run_restore.restore(intended, backup_first=False)

    @property
    def notes(self) -> list[str]:
        return [event.text for event in self.told if isinstance(event, Note)]


@pytest.fixture
def site(content: Path, tmp_path: Path) -> Site:
    made = Site(folder=tmp_path, hosts=Members(), cluster=written(tmp_path))
    made.up()
    return made


def test_a_backup_asks_one_member_and_changes_no_host(site: Site) -> None:
    workspace = site.workspace()
    generations = {name: machine.generation for name, machine in site.hosts.machines.items()}
    made = run_backup.backup(workspace)
    assert (made.manifest.snapshot.revision, made.manifest.snapshot.counts) == (42, {"pods": 2})
    assert made.manifest.members == PLANES
    assert [path.name for path in path_of(made).parent.glob("*.age")] == [made.name]
    calls = workspace.transport.calls  # type: ignore[attr-defined]
    assert {call.host for call in calls if "snapshot" in call.command} == {"cp3"}
    assert "w1" not in {call.host for call in calls}
    assert {name: machine.generation for name, machine in site.hosts.machines.items()} == generations


@pytest.mark.parametrize(
    ("snapshot", "content", "error"),
    [
        ("failed\tetcdctl snapshot save: no\n", DB, "etcd gave no snapshot"),
        ("room\t1\t67108864\n", DB, "too little room for a snapshot on the host"),
        (ANSWER, DB[:-1], "not the one that was taken"),
        ("", DB, "did not say what it took"),
    ],
)
def test_a_backup_that_does_not_come_whole_leaves_nothing_and_the_host_forgets_it(
    site: Site, snapshot: str, content: bytes, error: str
) -> None:
    site.hosts.snapshot, site.hosts.content = snapshot, content
    workspace = site.workspace()
    with pytest.raises(BackupError, match=error):
        run_backup.backup(workspace)
    assert not list((site.folder / "state" / backup_folder.FOLDER).glob("*age*"))
    assert workspace.transport.calls[-1].command == "rm -rf /var/lib/kprov/snapshot"  # type: ignore[attr-defined]


def test_two_backups_at_once_are_refused(site: Site) -> None:
    workspace = site.workspace()
    with workspace.store.lock("the first"), pytest.raises(LockedError, match="another run works on cluster"):
        run_backup.backup(workspace)


def test_a_cluster_that_was_never_made_has_no_backup(content: Path, tmp_path: Path) -> None:
    bare = Site(folder=tmp_path, hosts=Members(), cluster=written(tmp_path))
    with pytest.raises(BackupError, match="holds no keys"):
        run_backup.backup(bare.workspace())


def test_a_state_folder_of_an_older_kprov_gets_a_key_and_keeps_all_others(site: Site) -> None:
    store = Store.open(site.folder / "state", site.cluster.name)
    path = site.folder / "state" / "trust.json"
    path.write_text(path.read_text().replace(store.backup_key().reveal(), ""))
    older = Store.open(site.folder / "state", site.cluster.name)
    trust = older.trust()
    key = older.backup_key()
    again = Store.open(site.folder / "state", site.cluster.name)
    assert again.backup_key() == key
    assert again.trust() == trust


def path_of(made: run_backup.Backup) -> Path:
    return Path(made.where)


@pytest.fixture
def backup(site: Site) -> Path:
    path = path_of(run_backup.backup(site.workspace()))
    site.hosts.log.clear()
    return path


def restored(site: Site) -> None:
    """Every member began with the snapshot, and runs; what was there before was kept once."""
    for name in PLANES:
        machine = site.hosts.machines[name]
        assert machine.data == DB
        assert len(machine.aside) == 1
        assert (machine.units["etcd.service"], machine.units["kube-apiserver.service"]) == ("active", "active")
    assert read_record(site.folder / "state") is None


def test_api_servers_stop_first_and_start_last(site: Site, backup: Path) -> None:
    assert site.restore(backup).failures == ()
    restored(site)
    steps = list(dict.fromkeys(site.hosts.log))
    units = (("stop", "kube-apiserver"), ("stop", "etcd"), ("start", "etcd"), ("start", "kube-apiserver"))
    assert steps == [f"{verb} {unit}.service" for verb, unit in units]
    site.up()


def test_what_a_replaced_key_has_encrypted_is_read_again_after_a_restore_and_written_anew(
    site: Site, backup: Path
) -> None:
    before = site.workspace().store.trust()
    for step in ("begin", "onward", "onward", "end"):
        workspace = site.workspace(options=Options(backup=False))
        workspace = with_store(workspace, turned(workspace, step, ("encryption",)))  # type: ignore[arg-type]
        if step == "end":
            workspace.store.keep()
            break
        with prepare(workspace, draft=False) as prepared:
            assert apply(workspace, prepared).failures == ()
    today = site.workspace().store.trust()
    assert today.encryption_keys == (("key2", today.encryption_key),)
    assert site.restore(backup).failures == ()
    restored(site)
    trust = site.workspace().store.trust()
    assert trust.encryption_keys == (("key2", today.encryption_key), ("key1", before.encryption_key))
    assert b"key1" in site.hosts.machines["cp1"].contents[ENCRYPTION]
    assert '"key2"' in trust.encrypted_by.partition("secretbox")[2][:40], "all was written again by the key of today"
    site.up()
    rotation = site.workspace().store.rotation
    assert rotation is not None
    assert (rotation.phase, rotation.done) == ("issue", True), "the old key may be dropped now"


def asks_for_objects(call: Call) -> bool:
    return call.command == PROBE_COMMAND and b"\nobjects\t" in gzip.decompress(call.stdin)


def founds(call: Call) -> bool:
    return any(isinstance(operation, wire.EtcdFlags) for operation in received(call.stdin))


def test_what_a_backup_knows_of_other_hosts_is_asked_for_where_no_api_server_ran_before(
    site: Site, backup: Path
) -> None:
    """The nodes of hosts that are no more go only if they are seen, and on new machines nobody could be asked at first."""
    site.hosts = Members(objects=site.hosts.objects)
    workspace = site.workspace()
    with run_restore.intend(workspace, backup, identities(workspace)) as intended:
        assert run_restore.restore(intended, backup_first=False).failures == ()
    calls: list[Call] = workspace.transport.calls  # type: ignore[attr-defined]
    founded = next(number for number, call in enumerate(calls) if call.command == APPLY_COMMAND and founds(call))
    assert [call.host for call in calls[founded:] if asks_for_objects(call)] == ["cp1"]


def test_nodes_of_other_hosts_that_a_backup_knows_leave_though_new_ones_have_their_networks(
    site: Site, backup: Path
) -> None:
    old = {key: item for key, item in site.hosts.objects.items() if key[1] in ("Node", "ConfigMap")}
    site.hosts = Members(objects=old)
    hosts = tuple(replace(host, name=f"new-{host.name}") for host in site.cluster.hosts)
    site.cluster = replace(site.cluster, hosts=hosts)
    workspace = site.workspace()
    with run_restore.intend(workspace, backup, identities(workspace)) as intended:
        assert run_restore.restore(intended, backup_first=False).failures == ()
    calls: list[Call] = workspace.transport.calls  # type: ignore[attr-defined]
    asked = [row for call in calls if call.command == APPLY_COMMAND for row in received(call.stdin)]
    assert [row for row in asked if isinstance(row, wire.Ask) and row.asked[0] == "delete"]
    living = [item for item in site.hosts.objects.values() if item["kind"] == "Node"]
    networks = {item["metadata"]["name"]: item["spec"]["podCIDR"] for item in living}
    assert networks["new-cp1"] == networks["cp1"], "nobody knew of the old ones when the new ones were made"


def cut_off(site: Site, backup: Path, host: str, number: int, when: str) -> bool:
    """Whether a restore was cut off at that exec of a host."""
    workspace_again = {f"drop_{when}": {host: number}}
    try:
        return bool(site.restore(backup, **workspace_again).failures)
    except KprovError:
        return True


@pytest.mark.parametrize(("host", "when"), [("cp1", "before"), ("cp3", "after")])
def test_a_restore_goes_on_with_the_same_command_wherever_it_was_cut_off(
    site: Site, backup: Path, host: str, when: str
) -> None:
    cuts = 0
    for number in range(1, 40):
        for name in PLANES:  # as after the loss of everything
            machine = site.hosts.machines[name]
            machine.aside.clear()
            machine.data = b"old"
        if not cut_off(site, backup, host, number, when):
            restored(site)
            break
        cuts += 1
        half = read_record(site.folder / "state")
        if half is not None and not half.founded:
            with pytest.raises(BackupError, match="a restore of this cluster was cut off"):
                site.up()
        assert site.restore(backup).failures == ()
        restored(site)
    assert cuts > 5


def test_what_is_there_is_backed_up_first_and_a_failure_of_that_touches_nothing(site: Site, backup: Path) -> None:
    workspace = site.workspace()
    with run_restore.intend(workspace, backup, identities(workspace)) as intended:
        assert any("the cluster is alive" in line for line in intended.prospects)
        site.hosts.snapshot = "failed\tno\n"
        with pytest.raises(BackupError, match="could not be backed up"):
            run_restore.restore(intended, backup_first=True)
    assert site.hosts.log == []
    assert read_record(site.folder / "state") is None


def test_another_backup_is_refused_while_etcd_is_half_restored(site: Site, backup: Path) -> None:
    body = b"other" * 100
    other_db = body + hashlib.sha256(body).digest()
    site.hosts.content = other_db
    site.hosts.snapshot = ANSWER.replace(str(len(DB)), str(len(other_db))).replace(
        hashlib.sha256(BODY).hexdigest(), hashlib.sha256(body).hexdigest()
    )
    other = backup.parent / "elsewhere"
    other.mkdir()
    path = path_of(run_backup.backup(site.workspace(), Folder(other)))
    assert cut_off(site, backup, "cp1", 4, "before")
    assert read_record(site.folder / "state") is not None
    with pytest.raises(BackupError, match="a restore of another backup was cut off"):
        site.restore(path)


def test_a_backup_of_another_cluster_is_refused_with_nothing_sent(site: Site, backup: Path, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    other = Site(folder=folder, hosts=Members(), cluster=site.cluster)
    other.up()
    workspace = other.workspace()
    keys = [*identities(workspace), *identities(site.workspace())]
    with pytest.raises(BackupError, match="of another cluster"), run_restore.intend(workspace, backup, keys):
        pass
    assert workspace.transport.calls == []  # type: ignore[attr-defined]


def test_a_lost_state_folder_comes_back_and_is_never_replaced(site: Site, backup: Path, tmp_path: Path) -> None:
    workspace = site.workspace()
    keys = identities(workspace)
    assert not run_restore.adopt_folder(workspace, backup, keys)
    (site.folder / "state").rename(tmp_path / "gone")
    backup = tmp_path / "gone" / "backups" / backup.name
    with pytest.raises(PkiError):
        site.up()
    lost = site.workspace()
    with pytest.raises(BackupError, match="no key to open backups"):
        identities(lost)
    assert run_restore.adopt_folder(lost, backup, keys)
    assert lost.store.trust() == workspace.store.trust()
    site.up()


def test_a_minor_upgrade_takes_a_backup_first_and_says_where(site: Site) -> None:
    for machine in site.hosts.machines.values():
        machine.stamps.pop("kube-scheduler.service", None)
    with prepare(site.workspace(), draft=False) as prepared:
        changed = replace(prepared, plan=replace(prepared.plan, steps=("Kubernetes 1.36 → 1.37",)))
        apply(site.workspace(), changed)
    assert [note for note in site.notes if note.startswith("backup before Kubernetes 1.36 → 1.37: ")]
    assert len(kept(Folder(site.folder / "state" / backup_folder.FOLDER), "lives")) == 1


@pytest.mark.parametrize("wanted", [True, False])
def test_an_upgrade_without_a_backup_touches_nothing_unless_that_was_said(site: Site, wanted: bool) -> None:
    site.hosts.snapshot = "failed\tno\n"
    for machine in site.hosts.machines.values():
        machine.stamps.pop("kube-scheduler.service", None)
    workspace = site.workspace(options=Options(backup=wanted))
    generations = [machine.generation for machine in site.hosts.machines.values()]
    with prepare(workspace, draft=False) as prepared:
        changed = replace(prepared, plan=replace(prepared.plan, steps=("etcd 3.6 → 3.7",)))
        if wanted:
            with pytest.raises(BackupError, match="no backup could be taken before etcd"):
                apply(workspace, changed)
        else:
            assert apply(workspace, changed).failures == ()
    assert (generations == [machine.generation for machine in site.hosts.machines.values()]) == wanted


def test_a_run_does_not_begin_an_empty_cluster_where_all_data_is_gone(site: Site) -> None:
    for name in PLANES:
        site.hosts.machines[name].members = ""
        site.hosts.machines[name].units["etcd.service"] = "inactive"
    with pytest.raises(PreflightError, match="etcd has no quorum") as caught:
        site.up()
    assert "kprov restore latest" in caught.value.todo
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("kprov.run.up.refuse_lost_quorum", lambda *_: None)
        with pytest.raises(ApplyError, match="the data of all etcd members is gone"):
            site.up()


@dataclass
class Memory:
    """A store: what is in it has to be brought here before it is read."""

    files: dict[str, bytes] = field(default_factory=dict)

    def where(self, name: str) -> str:
        return f"s3://made-up/{name}"

    def names(self) -> dict[str, int]:
        return {name: len(content) for name, content in self.files.items()}

    @contextmanager
    def writing(self, cluster: str) -> Iterator[None]:
        yield

    def need_room(self, size: int) -> None: ...

    @contextmanager
    def create(self, name: str) -> Iterator[io.BytesIO]:
        output = io.BytesIO()
        yield output
        self.files[name] = output.getvalue()

    def head(self, name: str, size: int) -> bytes:
        return self.files[name][:size]

    def bring(self, name: str, put: Any) -> None:
        put(self.files[name])

    def remove(self, name: str) -> None:
        del self.files[name]


def test_the_newest_of_a_store_is_brought_here_and_restored(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Memory()
    for module in (backup_places, run_backup, host_backups, run_status):
        monkeypatch.setattr(module, "place_of", lambda workspace, to=None: store)
    workspace = site.workspace()
    made = run_backup.backup(workspace)
    assert (made.where, made.size) == (f"s3://made-up/{made.name}", len(store.files[made.name]))
    own = site.folder / "state" / backup_folder.FOLDER
    assert not list(own.glob("*.age")) if own.exists() else True
    assert run_status.last_backup(workspace, made.manifest.made).path == made.where
    (own / made.name).parent.mkdir(mode=0o700, exist_ok=True)
    (own / made.name).write_bytes(b"cut off")
    path = host_backups.newest(workspace)
    assert path == own / made.name
    assert path.read_bytes() == store.files[made.name], "one of another length is no copy of it"
    assert site.restore(path).failures == ()
    restored(site)


def test_a_store_costs_nothing_where_there_is_none() -> None:
    script = (
        "import sys, kprov.cli.backup, kprov.cli.status; sys.exit('paramiko' in sys.modules or 'boto3' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_each_kind_of_place_is_known(site: Site, tmp_path: Path) -> None:
    workspace = site.workspace()
    found = [
        backup_places.place_of(workspace, to) for to in (None, str(tmp_path), "sftp://a@store/~/b", "s3://bucket/p")
    ]
    own = site.folder / "state" / backup_folder.FOLDER
    assert [one.where("x") for one in found] == [
        f"{own}/x", f"{tmp_path}/x", "sftp://a@store/~/b/x", "s3://bucket/p/x",
    ]  # fmt: skip
    with pytest.raises(BackupError, match="no place for backups"):
        backup_places.place_of(workspace, "ftp://store")
