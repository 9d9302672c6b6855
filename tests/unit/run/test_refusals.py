"""What ends a run before anything is touched: hosts that do not answer, another run, CAs that are not ours."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from observed import bare, record
from pki_cases import cluster, host

from kprov.objects.listing import list_object
from kprov.observe.gather import Fleet
from kprov.observe.observation import Observation
from kprov.roles import encryption
from kprov.roles.api_server import ENCRYPTION
from kprov.roles.documents import dump
from kprov.run.refusals import (
    CA_FILES,
    refuse_foreign_trust,
    refuse_left_out,
    refuse_locked,
    refuse_other_encryption,
    refuse_unknown_addresses,
    refuse_unreachable,
)
from kprov.state.rotation import begin, ended, onward, reached
from kprov.state.store import Store
from kprov.values.api_settings import EncryptionSettings
from kprov.values.errors import KprovError, LockedError, PkiError, PreflightError, TransportError
from kprov.values.model import Cluster
from kprov.values.paths import SERVICE_ACCOUNT_PUBLIC
from kprov.values.rotation import Kind

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def silent(*names: str) -> Fleet:
    return Fleet(failures={name: TransportError("no route", where=name) for name in names})


def made(folder: Path) -> Store:
    store = Store.open(folder, "c")
    store.create_trust("ecdsa-p256", 3650, NOW)
    return store


def trusting(store: Store) -> Observation:
    """A host that has the public certificates of a store's CAs from kprov."""
    paths = {CA_FILES[name]: pem for name, pem in store.ca.items()}
    return replace(bare(), texts=paths, records=dict(record("file", path) for path in paths))


def test_one_host_that_does_not_answer_is_told_as_it_is() -> None:
    with pytest.raises(TransportError, match="no route"):
        refuse_unreachable(silent("a"), None)


def test_several_are_told_together() -> None:
    with pytest.raises(PreflightError, match="2 hosts are unreachable; nothing was touched") as caught:
        refuse_unreachable(silent("a", "b"), None)
    assert all(name in caught.value.log for name in "ab")


def test_a_thousand_that_fail_alike_are_one_entry() -> None:
    with pytest.raises(PreflightError) as caught:
        refuse_unreachable(silent(*(f"n{number:04}" for number in range(1000))), None)
    assert len(str(caught.value).splitlines()) < 10
    assert "1000 hosts (n0000–n0999): no route" in str(caught.value)


def test_a_host_that_is_not_to_be_touched_need_not_answer() -> None:
    refuse_unreachable(silent("a"), frozenset({"b"}))


def test_another_run_is_named() -> None:
    with pytest.raises(LockedError, match="somebody"):
        refuse_locked(Fleet(observations={"a": replace(bare(), holder="somebody since noon")}))


def test_authorities_of_the_same_store_pass(tmp_path: Path) -> None:
    store = made(tmp_path / "state")
    refuse_foreign_trust(store, Fleet(observations={"a": trusting(store), "new": bare()}))


def test_authorities_that_the_store_does_not_know_are_refused(tmp_path: Path) -> None:
    other = Fleet(observations={"a": trusting(made(tmp_path / "other"))})
    for store in (made(tmp_path / "state"), Store.open(tmp_path / "lost", "c")):
        with pytest.raises(KprovError) as caught:
            refuse_foreign_trust(store, other)
        assert isinstance(caught.value, PkiError | PreflightError)
        assert caught.value.todo


def with_keys(seen: Observation, store: Store) -> Observation:
    texts = {**seen.texts, SERVICE_ACCOUNT_PUBLIC: store.trust().service_account_public}
    return replace(seen, texts=texts, records={**seen.records, **dict([record("file", SERVICE_ACCOUNT_PUBLIC)])})


def test_another_key_of_tokens_is_refused_before_every_token_is_void(tmp_path: Path) -> None:
    store = made(tmp_path / "state")
    refuse_foreign_trust(store, Fleet(observations={"a": with_keys(trusting(store), store)}))
    other = with_keys(trusting(store), made(tmp_path / "newer"))
    with pytest.raises(PkiError, match="older copy"):
        refuse_foreign_trust(store, Fleet(observations={"a": other}))
    refuse_foreign_trust(store, Fleet(observations={"a": replace(other, records=trusting(store).records)}))


def test_a_cluster_that_got_another_name_is_known_by_its_authorities(tmp_path: Path) -> None:
    old = Store.open(tmp_path / "old", "old")
    old.create_trust("ecdsa-p256", 3650, NOW)
    made(tmp_path / "c")  # another cluster beside it
    with pytest.raises(PreflightError) as caught:
        refuse_foreign_trust(
            Store.open(tmp_path / "new", "new"), Fleet(observations={"a": trusting(old)}), {"cluster.name": "i.yaml:2"}
        )
    assert (caught.value.where, caught.value.needed) == ("i.yaml:2", "new")
    assert "write `name: old` again" in caught.value.todo


def test_a_certificate_that_kprov_did_not_put_there_is_none_of_its_own(tmp_path: Path) -> None:
    seen = replace(trusting(made(tmp_path / "other")), records={})
    refuse_foreign_trust(made(tmp_path / "state"), Fleet(observations={"a": seen}))


def test_a_control_plane_that_nobody_knows_the_address_of_is_refused() -> None:
    """Its peers' settings name it; a worker is in nobody's settings but those of the network."""

    def where(**groups: str) -> Cluster:
        return cluster(*(host(name, (group,), address=f"{name}.example.org") for name, group in groups.items()))

    with pytest.raises(PreflightError) as caught:
        refuse_unknown_addresses(where(cp2="control_plane", e2="etcd"), silent("cp2", "e2"))
    assert "cp2, e2" in str(caught.value)
    assert "node_ip" in str(caught.value)
    refuse_unknown_addresses(where(w2="worker"), silent("w2"))
    refuse_unknown_addresses(cluster(host("cp2", ("control_plane",), address="10.0.0.2")), silent("cp2"))


def rotated(store: Store) -> tuple[Store, Store]:
    """The store with an etcd CA that is replaced, and the copy of it from before."""
    copy = Store.open(store.path, "c")
    step = partial(begin, kinds=("etcd",), algorithm="ecdsa-p256", ca_days=10, now=NOW + timedelta(hours=2))
    store.turned(step).keep()
    return Store.open(store.path, "c"), copy


def holding(store: Store) -> Fleet:
    """A host that has what a store trusts now."""
    paths = {CA_FILES[name]: pem for name, pem in store.bundle.items()}
    seen = replace(bare(), texts=paths, records=dict(record("file", path) for path in paths))
    return Fleet(observations={"cp1": seen})


def test_while_a_ca_is_replaced_hosts_may_have_either_or_both(tmp_path: Path) -> None:
    store = made(tmp_path / "c")
    before = holding(store)
    store, copy = rotated(store)
    for fleet in (before, holding(store)):
        refuse_foreign_trust(store, fleet)
    with pytest.raises(PkiError, match="the state folder is an older copy"):
        refuse_foreign_trust(copy, holding(store))


def test_a_dropped_ca_may_be_on_hosts_until_its_rotation_ends_and_then_no_more(tmp_path: Path) -> None:
    store, copy = rotated(made(tmp_path / "c"))
    both, old = holding(store), holding(copy)
    for step in (partial(reached, now=NOW), partial(onward, now=NOW)) * 2:
        store.turned(step).keep()
        store = Store.open(store.path, "c")
    assert store.rotation is not None
    assert store.rotation.phase == "drop"
    for fleet in (both, old, holding(store)):
        refuse_foreign_trust(store, fleet)
    store.reach(NOW)
    store.turned(ended).keep()
    store = Store.open(store.path, "c")
    refuse_foreign_trust(store, holding(store))
    with pytest.raises(PkiError):
        refuse_foreign_trust(store, both)


def dropping(store: Store, kind: Kind) -> Store:
    """A rotation of one kind in its last phase, in which hosts may have what goes."""
    start = partial(begin, kinds=(kind,), algorithm="ecdsa-p256", ca_days=10, now=NOW + timedelta(hours=2))
    for step in (start, *(partial(reached, now=NOW), partial(onward, now=NOW)) * 2):
        store.turned(step).keep()
        store = Store.open(store.path, "c")
    assert store.rotation is not None
    assert store.rotation.ends
    return store


def encrypting(store: Store) -> Observation:
    """An API server's host that encrypts with what a store knows."""
    document = encryption.settled(EncryptionSettings(), store.trust().encryption_keys)
    seen = replace(bare(), texts={ENCRYPTION: dump(document)})
    return replace(seen, records=dict([record("file", ENCRYPTION)]))


def test_a_key_of_encryption_that_nobody_here_knows_is_refused(tmp_path: Path) -> None:
    store, newer = made(tmp_path / "c"), encrypting(made(tmp_path / "newer"))
    one = cluster(host("cp1"))
    refuse_other_encryption(one, store, {"cp1": encrypting(store), "w1": bare()})
    with pytest.raises(PkiError, match="encrypt with a key that neither") as caught:
        refuse_other_encryption(one, store, {"cp1": newer, "cp2": encrypting(store)})
    assert caught.value.where == "cp1"
    refuse_other_encryption(one, store, {"cp1": replace(newer, records={})})  # it is not kprov's


def test_keys_that_a_rotation_drops_may_be_on_hosts_until_it_ends_and_no_others(tmp_path: Path) -> None:
    one, store = cluster(host("cp1")), made(tmp_path / "c")
    tokens, encrypts = Fleet(observations={"cp1": with_keys(bare(), store)}), {"cp1": encrypting(store)}
    refuse_other_encryption(one, dropping(made(tmp_path / "a"), "encryption"), encrypts)
    refuse_foreign_trust(dropping(made(tmp_path / "b"), "service-account"), tokens)
    with pytest.raises(PkiError):
        refuse_other_encryption(one, dropping(made(tmp_path / "d"), "service-account"), encrypts)
    with pytest.raises(PkiError):
        refuse_foreign_trust(dropping(made(tmp_path / "e"), "encryption"), tokens)


def nodes(*names: str, ready: str = "True", listed: tuple[str, ...] = ("a", "w1", "w2")) -> Fleet:
    found = [
        {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
         "status": {"conditions": [{"type": "Ready", "status": ready}]}}
        for name in names
    ]  # fmt: skip
    objects = (*found, list_object([("", "Node", "", name) for name in listed]))
    return Fleet(observations={"a": replace(bare(), objects=objects)})


def test_a_node_that_lives_is_not_deleted_because_its_line_got_lost() -> None:
    with pytest.raises(PreflightError, match="not in the inventory, and live; nothing was touched") as caught:
        refuse_left_out(cluster(host("a")), nodes("a", "w1", "w2"))
    assert caught.value.found == "w1, w2: Ready"
    assert "`kprov down --limit w1`" in caught.value.todo
    refuse_left_out(cluster(host("a"), host("w1"), host("w2")), nodes("a", "w1", "w2"))


def test_a_node_that_is_dead_or_not_kprovs_or_gone_may_be_left_out() -> None:
    refuse_left_out(cluster(host("a")), nodes("a", "w1", ready="Unknown"))
    refuse_left_out(cluster(host("a")), nodes("a", "theirs"))
    refuse_left_out(cluster(host("a")), nodes("a"))
    refuse_left_out(cluster(host("a")), silent("a"))
