"""A state folder that is lost is made again from hosts that exist only here, and the cluster goes on by a rotation."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

import pytest
from test_backup_runs import Site
from test_backup_runs import content as content
from test_backup_runs import site as site

from kprov.pki.authority import fingerprints
from kprov.run import adopt
from kprov.run.up import prepare
from kprov.state import rotation
from kprov.values.errors import PkiError, PreflightError, StoreError


def test_a_folder_that_is_there_is_never_replaced(site: Site) -> None:
    with pytest.raises(StoreError, match="never replaced"):
        adopt.look(site.workspace())


def kinds(site: Site) -> set[str]:
    """What the next run would change."""
    with prepare(site.workspace(), draft=False) as prepared:
        return {change.key[0] for plan in prepared.plan.hosts.values() for change in plan.changes}


def go_on(site: Site) -> None:
    """The next phase, as `kprov certs rotate` has it."""
    site.workspace().store.turned(partial(rotation.onward, now=datetime.now(UTC))).keep()


def test_a_lost_folder_comes_back_and_a_rotation_gives_every_certificate_anew(site: Site) -> None:
    before = site.workspace().store.known_fingerprints()
    shutil.copytree(site.folder / "state", site.folder / "copy")
    shutil.rmtree(site.folder / "state")
    with pytest.raises(PkiError, match="kprov adopt"):
        site.up()
    calls = len(site.hosts.log)
    workspace = site.workspace()
    found = adopt.look(workspace)
    assert any("members of etcd" in line for line in found.lines)
    assert not (site.folder / "state" / "trust.json").exists(), "to look writes nothing"
    adopt.keep(workspace, found)
    assert len(site.hosts.log) == calls, "no host is changed"
    assert kinds(site) == {"file"}, "CAs, and no certificate"
    plain = site.cluster
    site.cluster = replace(plain, pki=replace(plain.pki, leaf_days=400, renew_before_days=380))
    assert kinds(site) == {"file"}, "one that is due stays to its end"
    site.cluster = replace(plain, api_sans=("other.example.org",))
    with pytest.raises(PreflightError, match="the private key of their CA is lost"):
        kinds(site)
    site.cluster = plain
    site.up()
    assert any("go on with `kprov certs rotate INVENTORY`" in note for note in site.notes)
    assert kinds(site) == set()
    go_on(site)
    assert kinds(site) == {"certificate"}
    site.up()
    go_on(site)
    assert kinds(site) == {"file"}
    site.up()
    now = site.workspace().store
    assert not any(before[name] & frozenset(fingerprints(pem)) for name, pem in now.bundle.items())
    shutil.rmtree(site.folder / "state")
    shutil.move(site.folder / "copy", site.folder / "state")
    with pytest.raises(PkiError, match="a copy from before its CAs were replaced"):
        site.up()


def test_a_copy_from_before_the_encryption_key_was_another_is_refused(site: Site) -> None:
    shutil.copytree(site.folder / "state", site.folder / "copy")
    begin = partial(rotation.begin, kinds=("encryption",), algorithm="ecdsa-p256", ca_days=10, now=datetime.now(UTC))
    site.workspace().store.turned(begin).keep()
    site.up()
    assert kinds(site) == set()
    shutil.move(site.folder / "state", site.folder / "newer")
    shutil.move(site.folder / "copy", site.folder / "state")
    calls = len(site.hosts.log)
    with pytest.raises(PkiError, match="encrypt with a key that neither"):
        site.up()
    assert len(site.hosts.log) == calls
