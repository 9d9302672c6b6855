"""A state folder that is lost, wrong or an older copy, and a run of somebody else: every command is refused, in words, and
touches no host that exists only here."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from test_backup_runs import Members, Site
from test_backup_runs import backup as backup
from test_backup_runs import content as content
from test_backup_runs import site as site
from test_living_cluster import written

from kprov.plan.findings import Finding
from kprov.run import adopt, one_member, status
from kprov.run import backup as run_backup
from kprov.run import down as run_down
from kprov.run import restore as run_restore
from kprov.run.backup_verify import identities
from kprov.run.up import prepare
from kprov.run.workspace import Options
from kprov.state import rotation
from kprov.state.store import Store
from kprov.values.errors import BackupError, LockedError, PkiError, PreflightError, TransportError
from kprov.values.rotation import Kind

Command = Callable[[Site, Path], object]


def plan(site: Site, _: Path) -> None:
    with prepare(site.workspace(), draft=True):
        raise AssertionError("it was not refused")


def restore(site: Site, backup: Path) -> None:
    workspace = site.workspace()
    keys = identities(replace(workspace, store=Store.open(site.folder / "kept", site.cluster.name)))
    with run_restore.intend(workspace, backup, keys):
        raise AssertionError("it was not refused")


COMMANDS: dict[str, Command] = {
    "plan": plan,
    "up": lambda site, _: site.up(),
    "backup": lambda site, _: run_backup.backup(site.workspace()),
    "restore": restore,
    "restore --from-member": lambda site, _: one_member.from_member(site.workspace(), "cp2"),
    "down --limit": lambda site, _: run_down.down(site.workspace(options=Options(limit=frozenset({"cp3"})))),
}


def lost(site: Site) -> None:
    shutil.rmtree(site.folder / "state")


def wrong(site: Site) -> None:
    lost(site)
    Store.open(site.folder / "state", site.cluster.name).create_trust("ecdsa-p256", 3650, datetime.now(UTC))


def older(*kinds: Kind) -> Callable[[Site], None]:
    """Somebody with another copy has begun a rotation."""

    def make(site: Site) -> None:
        begin = partial(rotation.begin, kinds=kinds, algorithm="ecdsa-p256", ca_days=3650, now=datetime.now(UTC))
        site.workspace().store.turned(begin).keep()
        site.up()
        lost(site)
        shutil.copytree(site.folder / "kept", site.folder / "state")

    return make


FOLDERS: dict[str, tuple[Callable[[Site], None], str]] = {
    "lost": (lost, "whose CA keys are not in the state folder|holds no keys of cluster"),
    "wrong": (wrong, "not those of the cluster on these hosts|backup of another cluster"),
    "older, kubernetes": (older("kubernetes"), "an older copy: CAs have been made since"),
    "older, etcd": (older("etcd"), "an older copy: CAs have been made since"),
    "older, front-proxy": (older("front-proxy"), "an older copy: CAs have been made since"),
    "older, service-account": (older("service-account"), "an older copy: the keys of service accounts"),
    "older, encryption": (older("encryption"), "encrypt with a key that neither the state folder nor the inventory"),
}


@pytest.fixture
def kept(site: Site, backup: Path) -> Path:
    """A backup in a place of its own; a copy of the state folder is beside it."""
    shutil.copytree(site.folder / "state", site.folder / "kept")
    return Path(shutil.copy(backup, site.folder))


def untouched(site: Site) -> tuple[object, ...]:
    machines = site.hosts.machines
    return {name: machine.generation for name, machine in machines.items()}, tuple(site.hosts.log)


@pytest.mark.parametrize("folder", FOLDERS)
def test_another_folder_than_the_cluster_s_is_refused_by_every_command(site: Site, kept: Path, folder: str) -> None:
    make, words = FOLDERS[folder]
    make(site)
    before = untouched(site)
    for name, command in COMMANDS.items():
        if (folder, name) == ("lost", "restore"):
            continue  # it brings the folder back first
        with pytest.raises((PkiError, BackupError), match=words) as caught:
            command(site, kept)
        assert "folder" in caught.value.todo or "a backup of this cluster" in caught.value.todo, name
        assert untouched(site) == before, name


def told(site: Site) -> list[Finding]:
    return [finding for finding in status.ask(site.workspace()).findings if finding.name == "StateFolder"]


@pytest.mark.parametrize("folder", [name for name in FOLDERS if name != "older, encryption"])
def test_another_folder_is_told_by_status(site: Site, kept: Path, folder: str) -> None:
    assert kept.exists()
    assert told(site) == []
    make, words = FOLDERS[folder]
    make(site)
    [finding] = told(site)
    assert re.search(words, finding.what)
    assert any(host in finding.what for host in site.hosts.machines)
    assert str(site.folder / "state") in str(finding)
    assert finding.grave
    assert "folder" in finding.todo


def test_hosts_may_go_all_together_whatever_folder_is_there(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody stays who would have to be told."""
    gone: list[str] = []
    monkeypatch.setattr(run_down, "take_down", lambda *_, names, **__: gone.extend(names))
    lost(site)
    run_down.down(site.workspace(options=Options(backup=False)))
    assert sorted(gone) == sorted(site.hosts.machines)


def test_a_run_of_somebody_else_is_named_by_every_command(site: Site, kept: Path) -> None:
    for machine in site.hosts.machines.values():
        machine.says = ("fact\tholder\tben@laptop pid 7 since 2026-12-01 08:00:00 UTC",)
    before = untouched(site)
    for name, command in COMMANDS.items():
        with pytest.raises(LockedError, match="ben@laptop"):
            command(site, kept)
        assert untouched(site) == before, name
    lost(site)
    with pytest.raises(LockedError, match="ben@laptop"):
        adopt.look(site.workspace())


@pytest.mark.parametrize("name", ["backup", "restore --from-member", "down --limit"])
def test_a_run_with_the_same_folder_is_named(site: Site, kept: Path, name: str) -> None:
    before = untouched(site)
    with site.workspace().store.lock("the first"), pytest.raises(LockedError, match="another run works on cluster"):
        COMMANDS[name](site, kept)
    assert untouched(site) == before


def test_what_the_inventory_says_otherwise_than_hosts_have_it_is_not_adopted(site: Site) -> None:
    lost(site)
    site.cluster = replace(site.cluster, pod_cidr=IPv4Network("10.99.0.0/16"))
    with pytest.raises(PreflightError):
        adopt.look(site.workspace())


def test_a_cluster_is_adopted_from_the_hosts_that_answer(site: Site) -> None:
    lost(site)
    silent = {name: TransportError("no route", where=name) for name in ("cp2", "w1")}
    found = adopt.look(site.workspace(unreachable=silent))
    assert [line for line in found.lines if "does not answer" in line] == [
        "cp2 does not answer: no route",
        "w1 does not answer: no route",
    ]
    everyone = {name: TransportError("no route", where=name) for name in site.hosts.machines}
    with pytest.raises(TransportError, match="no route"):
        adopt.look(site.workspace(unreachable=everyone))


@pytest.fixture
def apart(content: Path, tmp_path: Path) -> Site:
    """A cluster whose etcd is on a host of its own; a copy of the state folder is beside it."""
    assert content.exists()
    made = Site(folder=tmp_path, hosts=Members(), cluster=written(tmp_path, {"cp1": "control_plane", "e1": "etcd"}))
    made.up()
    shutil.copytree(tmp_path / "state", tmp_path / "kept")
    return made


def test_where_etcd_is_apart_api_servers_tell_of_keys_that_an_older_copy_lacks(apart: Site) -> None:
    older("encryption")(apart)
    with pytest.raises(PkiError, match="encrypt with a key that neither"):
        run_backup.backup(apart.workspace())
    with pytest.raises(PkiError, match="encrypt with a key that neither"):
        one_member.from_member(apart.workspace(), "e1")


def test_where_etcd_is_apart_a_backup_needs_its_hosts_alone(apart: Site) -> None:
    silent = TransportError("no route", where="it")
    assert run_backup.backup(apart.workspace(unreachable={"cp1": silent})).manifest.member == "e1"
    with pytest.raises(TransportError, match="no route"):
        run_backup.backup(apart.workspace(unreachable={"e1": silent}))
