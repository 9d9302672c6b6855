"""A cluster is read back from its hosts when the state folder is lost, and goes on until new CAs may issue."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from observed import bare, record
from pki_cases import NOW, cluster, host, leaf

from kprov.observe.observation import FileState, Observation
from kprov.pki.conflict import trust_conflict
from kprov.plan.adoption import PLACES, SECRETS, Adopted, adopt
from kprov.plan.host import Change, HostPlan
from kprov.plan.succession import hold, refuse_to_issue
from kprov.roles import encryption
from kprov.roles.api_server import ENCRYPTION
from kprov.roles.documents import dump
from kprov.roles.layout import CA, SERVICE_ACCOUNT_KEY
from kprov.state import rotation
from kprov.state.adoption import made_again
from kprov.state.store import Store
from kprov.values.api_settings import EncryptionSettings
from kprov.values.certificate import AUTHORITIES, Authority
from kprov.values.errors import KprovError, PkiError, PreflightError, StoreError
from kprov.values.paths import SERVICE_ACCOUNT_PUBLIC
from kprov.values.resources import Certificate

CLUSTER = cluster(host("cp1"), host("w1", ("worker",), address="10.0.0.21"))
FAR = timedelta(days=300)


@dataclass(frozen=True)
class Living:
    """A cluster whose state folder is about to be lost."""

    store: Store
    hosts: Mapping[str, Observation]
    secrets: Mapping[str, Mapping[str, bytes]]

    def adopted(self, now: datetime = NOW) -> Adopted:
        return adopt(CLUSTER, self.hosts, self.secrets, now)


def seen(texts: Mapping[str, bytes]) -> Observation:
    return replace(bare(), texts=texts, records=dict(record("file", path) for path in texts))


def issued(store: Store, name: Authority, life: timedelta = FAR) -> bytes:
    return store.authority(name).issue(leaf(authority=name), NOW, life=life).cert_pem


def living(folder: Path, settings: EncryptionSettings | None = None, life: timedelta = FAR) -> Living:
    store = Store.open(folder, "prod")
    store.create_trust("ecdsa-p256", 3650, NOW)
    trust = store.trust()
    bundles = {PLACES[name][0]: pem for name, pem in store.bundle.items()}
    leaves = {f"/etc/kubernetes/pki/{name}-leaf.crt": issued(store, name, life) for name in AUTHORITIES}
    document = encryption.settled(settings or EncryptionSettings(), trust.encryption_keys)
    secrets = {
        SERVICE_ACCOUNT_KEY: trust.service_account_key,
        SERVICE_ACCOUNT_PUBLIC: trust.service_account_public,
        ENCRYPTION: dump(document),
    }
    hosts = {"cp1": seen({**bundles, **leaves}), "w1": seen({CA: store.bundle["kubernetes"]})}
    return Living(store, hosts, {"cp1": secrets})


@pytest.fixture
def known(tmp_path: Path) -> Living:
    return living(tmp_path / "old")


def new_folder(found: Adopted, path: Path) -> Store:
    store = Store.open(path, "prod")
    store.create(made_again("prod", found.held, "ecdsa-p256", 3650, NOW, ended=found.ended))
    return Store.open(path, "prod")


def test_what_hosts_hold_is_all_but_the_keys_of_the_cas(known: Living, tmp_path: Path) -> None:
    found = known.adopted()
    assert not found.ended
    store = new_folder(found, tmp_path / "new")
    old, new = known.store.trust(), store.trust()
    assert new.issuer == old.issuer
    assert (new.service_account_key, new.encryption_keys, new.encrypted_by) == (
        old.service_account_key,
        old.encryption_keys,
        old.encrypted_by,
    )
    assert new.lost == frozenset(AUTHORITIES)
    assert not known.store.trust().lost
    assert all(known.store.known_fingerprints()[name] < store.known_fingerprints()[name] for name in AUTHORITIES), (
        "new CAs beside the old"
    )
    assert store.backup_key().reveal() != known.store.backup_key().reveal()
    text = " ".join(found.lines)
    assert "its private key is lost" in text
    assert f"{found.first_end:%Y-%m-%d}" in text
    with pytest.raises(StoreError, match="exist already"):
        store.create(made_again("prod", found.held, "ecdsa-p256", 3650, NOW, ended=False))


def test_new_cas_issue_by_a_rotation_that_has_begun(known: Living, tmp_path: Path) -> None:
    store = new_folder(known.adopted(), tmp_path / "new")
    before = store.bundle
    assert store.rotation is not None
    assert (store.rotation.phase, store.rotation.done) == ("trust", False)
    assert store.authority("etcd").cert_pem not in store.ca["etcd"]
    for step in (rotation.backward, rotation.onward):
        with pytest.raises(StoreError):
            store.turned(partial(step, now=NOW))  # there is no way back to keys that nobody has
    store.reach(NOW)
    store.turned(partial(rotation.onward, now=NOW)).keep()
    again = Store.open(tmp_path / "new", "prod")
    assert not again.trust().lost
    assert again.known_fingerprints() == store.known_fingerprints(), "the old ones are trusted still"
    for name in AUTHORITIES:
        assert again.authority(name).cert_pem == again.ca[name] != known.store.ca[name]
        assert again.ca[name] in before[name]
    with pytest.raises(StoreError, match="keys of the old CAs are not here"):
        again.turned(partial(rotation.backward, now=NOW))
    again.reach(NOW)
    again.turned(partial(rotation.onward, now=NOW)).keep()
    last = Store.open(tmp_path / "new", "prod")
    assert last.bundle == dict(last.ca)
    last.reach(NOW)
    last.turned(rotation.ended).keep()
    assert Store.open(tmp_path / "new", "prod").rotation is None


def test_where_leaves_have_ended_new_cas_issue_at_once(tmp_path: Path) -> None:
    found = living(tmp_path / "old", life=timedelta(minutes=30)).adopted()
    assert found.ended
    assert not new_folder(found, tmp_path / "new").trust().lost


def test_a_folder_that_is_lost_in_a_rotation_tells_who_issues_from_who_is_only_trusted(
    known: Living, tmp_path: Path
) -> None:
    store = new_folder(known.adopted(), tmp_path / "new")
    both = {PLACES[name][0]: pem for name, pem in store.bundle.items()}
    hosts = {**known.hosts, "cp1": seen({**known.hosts["cp1"].texts, **both})}
    found = adopt(CLUSTER, hosts, known.secrets, NOW)
    assert not found.ended
    assert found.held.authorities == dict(known.store.ca)
    assert found.held.former["etcd"] == store.authority("etcd").cert_pem
    third = new_folder(found, tmp_path / "third")
    observed = {"cp1": store.known_fingerprints()}
    assert trust_conflict(third.known_fingerprints(), observed) is None, "hosts may have them until the next run"
    mixed = {**hosts["cp1"].texts, "/etc/kubernetes/pki/new.crt": issued(store, "kubernetes")}
    assert adopt(CLUSTER, {**hosts, "cp1": seen(mixed)}, known.secrets, NOW).ended, "of one nobody knows the key of"


def test_other_encryption_than_kprovs_own_is_known_again(tmp_path: Path) -> None:
    provider = {"aescbc": {"keys": [{"name": "k", "secret": "MDEyMzQ1Njc4OTAxMjM0NQ=="}]}}
    known = living(tmp_path / "old", EncryptionSettings(providers=(provider,)))
    held = known.adopted().held
    assert held.encryption == known.store.trust().encryption_key
    assert json.loads(held.encrypted_by)["resources"][0]["providers"][0] == provider


def test_nothing_of_kprovs_is_no_cluster(known: Living) -> None:
    with pytest.raises(PreflightError, match="no cluster to adopt"):
        adopt(CLUSTER, {"cp1": bare()}, {}, NOW)
    foreign = {name: replace(one, records={}) for name, one in known.hosts.items()}
    with pytest.raises(PreflightError, match="no cluster to adopt"):
        adopt(CLUSTER, foreign, known.secrets, NOW)


def lacking(known: Living, path: str) -> Living:
    texts = {name: text for name, text in known.hosts["cp1"].texts.items() if name != path}
    return replace(known, hosts={**known.hosts, "cp1": seen(texts)})


def holding(known: Living, path: str, text: bytes) -> Living:
    return replace(known, secrets={"cp1": {**known.secrets["cp1"], path: text}})


def test_hosts_that_lack_something_or_differ_are_refused_in_words(known: Living, tmp_path: Path) -> None:
    other = living(tmp_path / "other")
    stranger = {**known.hosts, "w1": other.hosts["w1"]}
    cases: dict[str, tuple[KprovError | type[KprovError], Living]] = {
        "no host that answers has the certificate of the etcd CA": (PkiError, lacking(known, PLACES["etcd"][0])),
        "CAs of different clusters": (PkiError, replace(known, hosts=stranger)),
        "is of the etcd CA": (PkiError, lacking(known, "/etc/kubernetes/pki/etcd-leaf.crt")),
        "cannot be read": (PkiError, holding(known, ENCRYPTION, b"]")),
        "has no key of kprov's": (
            PkiError,
            holding(known, ENCRYPTION, b"{resources: [{resources: [secrets], providers: [{identity: {}}]}]}"),
        ),
        "control planes differ": (
            PkiError,
            replace(known, secrets={"cp1": known.secrets["cp1"], "cp2": other.secrets["cp1"]}),
        ),
    }
    cases |= {
        f"lacks {path}": (
            PkiError,
            replace(known, secrets={"cp1": {k: v for k, v in known.secrets["cp1"].items() if k != path}}),
        )
        for path in SECRETS
    }
    for text, (kind, one) in cases.items():
        with pytest.raises(kind, match=text) as caught:  # type: ignore[arg-type]
            one.adopted()
        assert "KEY" not in str(caught.value)


def planned(store: Store, **spec: object) -> tuple[HostPlan, Observation, Certificate]:
    """A host whose certificate is due, with a plan that renews it."""
    path, key_path = "/etc/kubernetes/pki/a.crt", "/etc/kubernetes/pki/a.key"
    made = store.authority("kubernetes").issue(leaf(), NOW, life=timedelta(days=10))
    state = FileState(mode=0o644, owner="root", group="root", kind="regular file", stat="-")
    there = replace(
        bare(),
        texts={path: made.cert_pem},
        files={path: state, key_path: replace(state, mode=0o600, sha256="k")},
        records=dict([record("file", path), record("file", key_path, "k")]),
    )
    certificate = Certificate(path=path, key_path=key_path, spec=replace(leaf(), **spec))  # type: ignore[arg-type]
    change = Change(stage="node", key=certificate.key, action="update", reasons=("due",), resource=certificate)
    return HostPlan(host="w1", changes=(change,), restarts=(), stamps={}, unstamps={}), there, certificate


def test_nothing_is_renewed_before_its_end_while_nobody_can_issue(known: Living, tmp_path: Path) -> None:
    plan, there, _ = planned(known.store)
    assert hold(plan, there, known.store.trust(), NOW) == plan, "with its key there, it is renewed"
    trust = new_folder(known.adopted(), tmp_path / "new").trust()
    assert not hold(plan, there, trust, NOW).changes
    refuse_to_issue({"w1": hold(plan, there, trust, NOW)}, trust)


def test_what_must_be_issued_is_refused_while_nobody_can(known: Living, tmp_path: Path) -> None:
    trust = new_folder(known.adopted(), tmp_path / "new").trust()
    for plan, there, now in (
        (*planned(known.store, dns_names=("another",))[:2], NOW),
        (*planned(known.store)[:2], NOW + timedelta(days=11)),
    ):
        held = hold(plan, there, trust, now)
        assert held.changes
        with pytest.raises(PreflightError, match="key of their CA is lost") as caught:
            refuse_to_issue({"w1": held}, trust)
        assert "w1" in caught.value.found
        refuse_to_issue({"w1": held}, known.store.trust())
