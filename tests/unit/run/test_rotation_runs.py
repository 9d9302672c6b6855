"""A rotation on hosts: what each phase sends, what an ordinary `up` between two phases does, and when a phase is done."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from cryptography import x509
from obedient import Machine, Payload
from own_cas import company
from test_cost import content as content  # the fixture: what binaries and images consist of
from test_living_cluster import HOSTS, Site
from test_living_cluster import site as site

from kprov.apply import wire
from kprov.artifacts.progress import Silent
from kprov.plan.conversation import Answer
from kprov.plan.rotation import Step
from kprov.roles.api_server import ENCRYPTION
from kprov.run.rotation import turned, with_store
from kprov.run.up import apply, prepare
from kprov.run.workspace import Options, Workspace
from kprov.state.store import Store
from kprov.transport.fake import FakeTransport
from kprov.values.certificate import AUTHORITIES, OwnAuthority
from kprov.values.errors import PreflightError, StoreError
from kprov.values.rotation import KINDS, Kind

CA = "/etc/kubernetes/pki/ca.crt"
ETCD_CA = "/etc/etcd/pki/ca.crt"
SERVING = "/etc/kubernetes/kube-apiserver/serving.crt"
PUBLIC = "/etc/kubernetes/pki/sa.pub"
PRIVATE = "/etc/kubernetes/pki/sa.key"


def workspace(site: Site, limit: frozenset[str] | None = None) -> Workspace:
    return Workspace(
        cluster=site.cluster,
        store=Store.open(site.folder / "state", site.cluster.name, own=site.cluster.pki.authorities),
        transport=FakeTransport(handler=site.hosts.answer),
        cache=site.folder,
        lock_file=None,
        emit=lambda _: None,
        progress=Silent(),
        options=Options(limit=limit, backup=False),
    )


def phase(site: Site, step: Step, kinds: tuple[Kind, ...] = KINDS, limit: frozenset[str] | None = None) -> set[str]:
    """Bring a phase to the hosts; returns what changed on them, without their names."""
    work = workspace(site, limit)
    work = with_store(work, turned(work, step, kinds))
    with prepare(work, draft=False) as prepared:
        changed = {change.key[1] for plan in prepared.plan.hosts.values() for change in plan.changes}
        assert apply(work, prepared).failures == ()
    return changed


def store(site: Site) -> Store:
    return Store.open(site.folder / "state", site.cluster.name)


def count(site: Site, host: str, path: str) -> int:
    return site.hosts.machines[host].contents[path].count(b"-----BEGIN")


def signed_by_what_signs(site: Site, host: str, path: str) -> bool:
    certificate = x509.load_pem_x509_certificate(site.hosts.machines[host].contents[path])
    try:
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(store(site).ca["kubernetes"]))
    except Exception:
        return False
    return True


def test_each_phase_sends_what_it_means(site: Site) -> None:
    trust = phase(site, "begin")
    assert {CA, ETCD_CA, PUBLIC} <= trust
    assert not {SERVING, PRIVATE} & trust
    for host in HOSTS:
        assert count(site, host, CA) == 2
    assert count(site, "cp1", PUBLIC) == 2

    issue = phase(site, "onward")
    assert {SERVING, PRIVATE} <= issue
    assert not {CA, ETCD_CA, PUBLIC} & issue, "what is trusted does not move"
    assert signed_by_what_signs(site, "cp2", SERVING)

    drop = phase(site, "onward")
    assert {CA, ETCD_CA, PUBLIC} <= drop
    assert not {SERVING, PRIVATE} & drop
    for host in HOSTS:
        assert count(site, host, CA) == 1
    assert count(site, "cp3", PUBLIC) == 1
    turned(workspace(site), "end", ()).keep()
    assert store(site).rotation is None
    assert site.run(site.cluster)[0].plan.empty


def test_what_is_taken_back_is_on_hosts_as_it_was(site: Site) -> None:
    before = {name: dict(machine.contents) for name, machine in site.hosts.machines.items()}
    phase(site, "begin", ("etcd", "service-account"))
    phase(site, "onward", ())
    phase(site, "backward", ())
    phase(site, "backward", ())
    for name, machine in site.hosts.machines.items():
        for path in (CA, ETCD_CA, PUBLIC, PRIVATE):
            assert machine.contents.get(path) == before[name].get(path), (name, path)
    turned(workspace(site), "end", ()).keep()
    assert site.run(site.cluster)[0].plan.empty


def naming(site: Site, **own: OwnAuthority) -> Site:
    """The cluster once its inventory names these CAs: another one, as a cluster is a value."""
    authorities = {authority: own[authority] for authority in AUTHORITIES if authority in own}
    return replace(site, cluster=replace(site.cluster, pki=replace(site.cluster.pki, authorities=authorities)))


def planned_empty(site: Site) -> bool:
    with prepare(workspace(site), draft=False) as prepared:
        return prepared.plan.empty


def test_a_ca_of_the_user_s_comes_and_goes_by_phases_alone(site: Site) -> None:
    own = company(datetime.now(UTC))
    theirs = naming(site, etcd=own.own)
    with pytest.raises(PreflightError, match="the etcd CA of a living cluster is replaced by a rotation alone"):
        planned_empty(theirs)
    phase(theirs, "begin", ("etcd",))
    assert count(site, "cp1", ETCD_CA) == 2, "the one above it is not trusted"
    phase(theirs, "onward", ())
    assert site.hosts.machines["cp1"].contents["/etc/etcd/pki/server.crt"].endswith(own.pem)
    phase(theirs, "onward", ())
    turned(workspace(theirs), "end", ()).keep()
    assert site.hosts.machines["cp1"].contents[ETCD_CA] == own.pem
    assert planned_empty(theirs)

    with pytest.raises(PreflightError, match="rotation alone"):
        planned_empty(site)  # whose inventory names it no more
    phase(site, "begin", ("etcd",))
    phase(site, "onward", ())
    phase(site, "onward", ())
    turned(workspace(site), "end", ()).keep()
    assert own.pem not in site.hosts.machines["cp1"].contents[ETCD_CA]
    assert planned_empty(site)


def test_no_key_of_a_ca_reaches_a_host(site: Site) -> None:
    own = company(datetime.now(UTC))
    theirs = naming(site, kubernetes=own.own)
    for step in ("begin", "onward", "onward"):
        phase(theirs, step, ("kubernetes",))  # type: ignore[arg-type]
    line = own.key_pem.split(b"\n")[1]
    for machine in site.hosts.machines.values():
        assert not [path for path, content in machine.contents.items() if line in content]
    assert site.hosts.machines["cp1"].contents["/etc/kubernetes/pki/root-ca.crt"] == own.chain


def test_one_that_ends_too_early_begins_no_rotation(site: Site) -> None:
    short = naming(site, etcd=company(datetime.now(UTC), days=100).own)
    with pytest.raises(PreflightError, match="your etcd CA ends before"):
        turned(workspace(short), "begin", ("etcd",))
    assert store(site).rotation is None


def test_an_ordinary_run_ends_a_phase_that_was_cut_off(site: Site) -> None:
    work = workspace(site)
    turned(work, "begin", KINDS).keep()  # and then the computer was switched off
    assert not store(site).rotation.done  # type: ignore[union-attr]
    site.run(site.cluster)
    assert store(site).rotation.done  # type: ignore[union-attr]
    assert count(site, "w1", CA) == 2


def test_a_phase_is_done_when_all_hosts_have_it(site: Site) -> None:
    turned(workspace(site), "begin", ("kubernetes",)).keep()
    site.run(site.cluster, limit=frozenset({"w1"}))
    assert count(site, "w1", CA) == 2
    with pytest.raises(StoreError, match="not on all hosts yet"):
        phase(site, "onward", ())


def test_nothing_is_kept_of_a_phase_that_was_only_looked_at(site: Site) -> None:
    text = (site.folder / "state" / "trust.json").read_bytes()
    work = workspace(site)
    with prepare(with_store(work, turned(work, "begin", KINDS)), draft=True) as prepared:
        assert not prepared.plan.empty
    assert (site.folder / "state" / "trust.json").read_bytes() == text


def test_a_phase_that_fails_on_a_host_is_not_done_and_goes_on(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    work = workspace(site)
    work = with_store(work, turned(work, "begin", ("etcd",)))
    with monkeypatch.context() as broken:
        broken.setattr(site.hosts, "_answered", lambda *_: Answer(code=1, words="Error: no route"))
        with prepare(work, draft=False) as prepared:
            assert apply(work, prepared).failures
    rotation = store(site).rotation
    assert rotation is not None
    assert (rotation.phase, rotation.done) == ("trust", False)
    phase(site, "apply", ())
    assert store(site).rotation.done  # type: ignore[union-attr]
    assert all(count(site, host, ETCD_CA) == 2 for host in ("cp1", "cp2", "cp3"))


def test_what_the_new_key_may_have_written_is_written_again_before_that_key_goes(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that fails while objects are written again leaves objects of both keys."""
    phase(site, "begin", ("encryption",))
    work = workspace(site)
    work = with_store(work, turned(work, "onward", ()))
    answered = site.hosts._answered

    def refused(machine: Machine, payload: Payload, asked: wire.Ask) -> Answer:
        return Answer(code=1, words="Error: no") if asked.program == "rewrite" else answered(machine, payload, asked)

    with monkeypatch.context() as broken:
        broken.setattr(site.hosts, "_answered", refused)
        with prepare(work, draft=False) as prepared:
            assert apply(work, prepared).failures
    assert site.hosts.machines["cp1"].contents[ENCRYPTION].index(b"key2") > 0
    work = workspace(site)
    work = with_store(work, turned(work, "backward", ()))
    with prepare(work, draft=False) as prepared:
        assert prepared.plan.encryption is not None, "or what the new key wrote could be read no more"
        assert apply(work, prepared).failures == ()
    assert store(site).trust().encryption_name == "key1"
    phase(site, "backward", ())
    assert b"key2" not in site.hosts.machines["cp1"].contents[ENCRYPTION]


def test_objects_are_written_again_once_a_rotation(site: Site) -> None:
    for step in ("begin", "onward", "onward"):
        work = workspace(site)
        work = with_store(work, turned(work, step, ("encryption",)))  # type: ignore[arg-type]
        with prepare(work, draft=False) as prepared:
            rewrites = prepared.plan.encryption is not None
            assert apply(work, prepared).failures == ()
        rotation = store(site).rotation
        assert rotation is not None
        assert rewrites == (rotation.phase == "issue")
