"""CAs that are the user's own in the state folder: their keys are never in it, and they come and go by a rotation."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from own_cas import company
from pki_cases import NOW, leaf

from kprov.pki.authority import fingerprint, fingerprints
from kprov.state import rotation as machine
from kprov.state.signer import Signer
from kprov.state.store import Store
from kprov.state.trustfile import decode
from kprov.values.certificate import AUTHORITIES, Authority, OwnAuthority, SignerCommand
from kprov.values.context import Trust
from kprov.values.errors import StoreError

LATER = NOW + timedelta(days=1)
FIRST, SECOND = company(NOW), company(NOW)
OWN: Mapping[Authority, OwnAuthority] = {"kubernetes": FIRST.own}
OTHER: Mapping[Authority, OwnAuthority] = {"kubernetes": SECOND.own}


def opened(path: Path, own: Mapping[Authority, OwnAuthority]) -> Store:
    return Store.open(path, "prod", own=own)


def made(path: Path, own: Mapping[Authority, OwnAuthority]) -> Store:
    store = opened(path / "prod", own)
    store.create_trust("ecdsa-p256", 3650, NOW)
    return opened(store.path, own)


def took(store: Store, change: Callable[[machine.Trusted], machine.Trusted]) -> Store:
    store.turned(change).keep()
    return opened(store.path, store.own)


def begun(store: Store) -> Store:
    begin = partial(
        machine.begin, kinds=("kubernetes",), algorithm="ecdsa-p256", ca_days=3650, now=LATER, own=store.own
    )
    return took(store, begin)


def onward(store: Store) -> Store:
    store.reach(LATER)
    return took(store, partial(machine.onward, now=LATER))


def back(store: Store) -> Store:
    return took(store, partial(machine.backward, now=LATER, own=store.own))


def states(store: Store) -> list[Store]:
    """The cluster before, and after each phase. `store` knows by what the rotation is to end."""
    trust = begun(store)
    issue = onward(trust)
    drop = onward(issue)
    drop.reach(LATER)
    return [store, trust, issue, drop, took(opened(store.path, store.own), machine.ended)]


def accepts(trust: Trust, by: Store) -> bool:
    """Whether who trusts this CA or these, and no other, accepts what `by` signs."""
    issued = by.authority("kubernetes").issue(leaf(), LATER)
    certificate = x509.load_pem_x509_certificate(issued.cert_pem)
    for anchor in x509.load_pem_x509_certificates(trust.bundle["kubernetes"]):
        try:
            certificate.verify_directly_issued_by(anchor)
        except Exception:  # noqa: S112
            continue
        return True
    return False


def test_a_cluster_is_made_with_it(tmp_path: Path) -> None:
    store = made(tmp_path, OWN)
    trust = store.trust()
    assert not trust.lost
    assert trust.bundle["kubernetes"] == FIRST.pem, "whoever the root signs for is not let in"
    assert trust.given_out("kubernetes") == store.given_out("kubernetes") == FIRST.chain
    assert trust.given_out("etcd") == trust.bundle["etcd"]
    issued = store.authority("kubernetes").issue(leaf(), NOW)
    assert issued.cert_pem.endswith(FIRST.pem)
    assert FIRST.above not in issued.cert_pem
    assert store.authority("etcd").issue(leaf(authority="etcd"), NOW).cert_pem.count(b"BEGIN") == 1
    assert FIRST.key_pem.split(b"\n")[1] not in store.text(), "its key is where it was"
    assert decode(store.text()).identity.format == 3, "an older kprov would trust the root, too"


def test_of_each_name_in_one_cluster(tmp_path: Path) -> None:
    all_of = {name: company(NOW).own for name in AUTHORITIES}
    store = made(tmp_path, all_of)
    for name in AUTHORITIES:
        assert store.authority(name).issue(leaf(authority=name), NOW).cert_pem.count(b"BEGIN") == 2
    assert not store.keeps


def test_without_the_inventory_s_word_nothing_is_signed(tmp_path: Path) -> None:
    store = opened(made(tmp_path, OWN).path, {})
    with pytest.raises(StoreError, match="does not say how it signs") as raised:
        store.authority("kubernetes")
    assert "pki.authority.kubernetes" in raised.value.needed
    assert not store.signs("kubernetes")
    assert opened(store.path, OWN).signs("kubernetes")
    assert store.signs("etcd")
    assert store.trust().lost == {"kubernetes"}


def test_a_signer_stands_in_the_key_s_place(tmp_path: Path) -> None:
    command = SignerCommand(words=("sign",), folder=tmp_path, timeout=5)
    store = made(tmp_path, {"etcd": OwnAuthority(chain=FIRST.chain, signer=command)})
    signer = store.authority("etcd")
    assert isinstance(signer, Signer)
    assert (signer.name, signer.pem, signer.command) == ("etcd", FIRST.chain, command)


@pytest.mark.parametrize(("before", "after"), [({}, OWN), (OWN, OTHER), (OWN, {})])
def test_each_phase_of_a_change_accepts_the_ones_beside_it(tmp_path: Path, before: Any, after: Any) -> None:
    store = opened(made(tmp_path, before).path, after)
    # Where the key of the old CA is named no more, nobody signs by it before all hosts trust the new one.
    pairs = itertools.pairwise(states(store)) if not before else itertools.pairwise(states(store)[1:])
    for one, other in pairs:
        assert accepts(one.trust(), other)
        assert accepts(other.trust(), one)


def test_kprov_s_own_gives_way_and_its_key_is_gone(tmp_path: Path) -> None:
    store = opened(made(tmp_path, {}).path, OWN)
    old = store.trust().bundle["kubernetes"]
    trust, issue, _, after = states(store)[1:]
    assert set(fingerprints(trust.bundle["kubernetes"])) == {fingerprint(old), fingerprint(FIRST.pem)}
    assert trust.ca["kubernetes"] == old
    assert trust.given_out("kubernetes").endswith(FIRST.above)
    assert issue.ca["kubernetes"] == FIRST.chain
    assert issue.authority("kubernetes").issue(leaf(), LATER).cert_pem.endswith(FIRST.pem)
    assert after.rotation is None
    assert after.keeps == {"etcd", "front-proxy"}
    assert after.trust().bundle["kubernetes"] == FIRST.pem
    assert not after.trust().lost


def test_what_is_trusted_does_not_move_when_the_new_one_signs(tmp_path: Path) -> None:
    _, trust, issue, *_ = states(opened(made(tmp_path, {}).path, OWN))
    assert trust.bundle == issue.bundle
    assert trust.given_out("kubernetes") == issue.given_out("kubernetes")


def test_it_is_taken_back_to_kprov_s_own_from_each_phase(tmp_path: Path) -> None:
    store = opened(made(tmp_path, {}).path, OWN)
    before = store.trust()
    issue = onward(begun(store))
    trust = back(issue)
    assert trust.ca["kubernetes"] == before.bundle["kubernetes"]
    gone = back(trust)
    assert gone.trust() == before
    gone.reach(LATER)
    assert took(opened(gone.path, {}), machine.ended).trust() == before


def test_it_is_taken_back_though_the_inventory_names_it_no_more(tmp_path: Path) -> None:
    issue = onward(begun(opened(made(tmp_path, {}).path, OWN)))
    assert back(opened(issue.path, {})).keeps == set(AUTHORITIES)


def test_one_of_the_user_s_comes_back_only_where_its_key_is_at_hand(tmp_path: Path) -> None:
    issue = onward(begun(opened(made(tmp_path, OWN).path, OTHER)))
    with pytest.raises(StoreError, match="are not here") as raised:
        back(issue)
    assert "--back" in raised.value.todo
    trust = back(opened(issue.path, OWN))
    assert trust.authority("kubernetes").issue(leaf(), LATER).cert_pem.endswith(FIRST.pem)
    assert fingerprint(back(trust).ca["kubernetes"]) == fingerprint(FIRST.pem)


def test_the_one_that_is_in_use_does_not_replace_itself(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="names no other") as raised:
        begun(made(tmp_path, OWN))
    assert "pki.authority.kubernetes" in raised.value.todo


def test_what_is_above_it_may_be_replaced_alone(tmp_path: Path) -> None:
    """Such as a root that was left out at first."""
    short = OwnAuthority(chain=FIRST.pem, key=FIRST.own.key)
    store = opened(made(tmp_path, {"kubernetes": short}).path, OWN)
    assert store.given_out("kubernetes") == FIRST.pem
    trust, *_, after = states(store)[1:]
    assert trust.bundle["kubernetes"] == FIRST.pem
    assert after.given_out("kubernetes") == FIRST.chain
