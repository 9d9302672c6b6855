"""The state machine of a rotation: every phase, stopped, taken back, refused; and what hosts meet between two phases."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from pki_cases import NOW, leaf

from kprov.pki.authority import CertificateAuthority, fingerprint, fingerprints
from kprov.pki.reissue import why_reissue
from kprov.state import rotation as machine
from kprov.state.store import Store
from kprov.state.trustfile import Keys, decode
from kprov.values.certificate import AUTHORITIES
from kprov.values.context import Trust
from kprov.values.errors import StoreError
from kprov.values.rotation import KINDS, Kind
from kprov.values.secret import Secret

LATER = NOW + timedelta(days=1)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store.open(tmp_path / "prod", "prod")
    made.create_trust("ecdsa-p256", 3650, NOW)
    return made


def opened(store: Store) -> Store:
    return Store.open(store.path, "prod", store.passphrase)


def took(store: Store, change: Callable[[machine.Trusted], machine.Trusted]) -> Store:
    store.turned(change).keep()
    return opened(store)


def begun(store: Store, *kinds: Kind) -> Store:
    return took(store, partial(machine.begin, kinds=kinds or KINDS, algorithm="ecdsa-p256", ca_days=3650, now=LATER))


def settled(store: Store) -> Store:
    store.reach(LATER)
    return opened(store)


def onward(store: Store) -> Store:
    return took(store, partial(machine.onward, now=LATER))


def back(store: Store) -> Store:
    return took(store, partial(machine.backward, now=LATER))


def all_states(store: Store) -> list[Store]:
    trust = begun(store)
    issue = onward(settled(trust))
    drop = onward(settled(issue))
    return [store, trust, issue, drop, took(settled(drop), machine.ended)]


def verified(trust: Trust, by: Store) -> bool:
    """Whether who trusts this accepts all that `by` signs, and reads what it writes."""
    for name in AUTHORITIES:
        issued = by.authority(name).issue(leaf(authority=name), LATER)
        roots = trust.bundle[name].split(b"-----END CERTIFICATE-----\n")
        pems = [root + b"-----END CERTIFICATE-----\n" for root in roots if root]
        if all(why_reissue(issued.cert_pem, leaf(authority=name), pem, LATER) for pem in pems):
            return False
    signs = machine.public_of(by.trust().service_account_key.decode())
    reads = {key for _, key in trust.encryption_keys}
    return signs in trust.service_account_public and by.trust().encryption_key in reads


def test_whatever_order_hosts_take_a_phase_in_they_accept_each_other(store: Store) -> None:
    states = all_states(store)
    for one, other in itertools.pairwise(states):
        assert verified(one.trust(), other)
        assert verified(other.trust(), one)


def test_two_phases_at_once_would_cut_hosts_off(store: Store) -> None:
    """So that the test above is one: what it says holds of no two states further apart."""
    nothing, trust, issue, drop, _ = all_states(store)
    assert not verified(nothing.trust(), issue)
    assert not verified(drop.trust(), trust)


def test_a_whole_rotation_leaves_nothing_of_what_was(store: Store) -> None:
    before, after = store.trust(), all_states(store)[-1]
    trust = after.trust()
    assert after.rotation is None
    for name in AUTHORITIES:
        assert fingerprints(trust.bundle[name]) == (after.fingerprints()[name],)
        assert before.bundle[name] not in trust.bundle[name]
    assert before.service_account_public not in trust.service_account_public
    assert trust.encryption_other is None
    assert trust.encryption_key != before.encryption_key
    text = after.text()
    for old in (before.service_account_key, before.bundle["etcd"]):
        assert old.split(b"\n")[2] not in text, "a dropped key is in no file"
    assert after.cluster_id == store.cluster_id


def test_only_what_was_named_is_replaced(store: Store) -> None:
    issue = onward(settled(begun(store, "etcd")))
    assert issue.ca["kubernetes"] == store.ca["kubernetes"]
    assert issue.ca["etcd"] != store.ca["etcd"]
    assert issue.trust().service_account_public == store.trust().service_account_public
    assert issue.trust().encryption_keys == store.trust().encryption_keys


def test_what_is_trusted_does_not_move_when_the_new_one_signs(store: Store) -> None:
    """Or every host would restart what reads it, once more than it has to."""
    trust = begun(store)
    issue = onward(settled(trust))
    assert issue.bundle == trust.bundle
    assert issue.trust().service_account_public == trust.trust().service_account_public
    assert issue.trust().service_account_key != trust.trust().service_account_key


def test_encryption_keys_have_names_of_their_own(store: Store) -> None:
    names = [[name for name, _ in one.trust().encryption_keys] for one in all_states(store)]
    assert names == [["key1"], ["key1", "key2"], ["key2", "key1"], ["key2"], ["key2"]]


def test_it_is_taken_back_from_either_phase_to_what_was(store: Store) -> None:
    before = store.trust()
    trust = back(settled(onward(settled(begun(store)))))
    assert trust.trust().service_account_key == before.service_account_key
    assert trust.ca == before.issuer
    assert trust.rotation is not None
    assert (trust.rotation.phase, trust.rotation.done) == ("trust", False)
    leaving = back(trust)  # also before all hosts are there
    assert leaving.trust() == before
    assert back(leaving).trust() == before
    assert took(settled(leaving), machine.ended).rotation is None


def test_a_rotation_that_was_taken_back_goes_on_again(store: Store) -> None:
    again = onward(settled(back(onward(settled(begun(store))))))
    assert again.rotation is not None
    assert again.rotation.phase == "issue"
    assert again.ca != store.ca


def test_a_phase_that_is_not_on_all_hosts_is_not_left(store: Store) -> None:
    for state in (begun(store), onward(settled(opened(store)))):
        with pytest.raises(StoreError, match="not on all hosts yet"):
            onward(state)


def test_what_is_dropped_does_not_come_back(store: Store) -> None:
    drop = onward(settled(onward(settled(begun(store)))))
    with pytest.raises(StoreError, match="its key is gone"):
        back(drop)


def test_one_rotation_at_a_time(store: Store) -> None:
    with pytest.raises(StoreError, match="has not ended"):
        begun(begun(store, "etcd"), "kubernetes")


def test_it_ends_only_at_its_end(store: Store) -> None:
    with pytest.raises(StoreError, match="no rotation has begun"):
        took(store, machine.ended)
    trust = begun(store)
    for state in (trust, settled(trust), onward(settled(trust))):
        with pytest.raises(StoreError, match="not come to its end"):
            took(state, machine.ended)


def test_nothing_is_written_before_it_is_kept(store: Store) -> None:
    text = store.text()
    pending = store.turned(partial(machine.begin, kinds=KINDS, algorithm="ecdsa-p256", ca_days=10, now=LATER))
    assert pending.rotation is not None
    assert store.text() == text
    assert opened(store).rotation is None
    pending.keep()
    written = store.text()
    assert written != text
    pending.keep()
    assert store.text() == written


def test_a_command_that_read_older_keys_writes_nothing(store: Store) -> None:
    older = opened(store)
    begun(store)
    for write in (
        lambda: older.keep_encryption("{}"),
        lambda: older.change_passphrase(Secret("correct horse battery")),
        lambda: begun(older),
    ):
        with pytest.raises(StoreError, match="have changed since this command read them"):
            write()
    assert opened(store).rotation is not None


def test_it_is_sealed_with_the_other_keys_and_its_phase_is_readable_without_a_passphrase(store: Store) -> None:
    store.change_passphrase(Secret("correct horse battery"))
    trust = begun(opened(store))
    assert trust.passphrase is not None
    key = CertificateAuthority.load("etcd", trust.ca["etcd"], trust.authority("etcd").key_pem)
    assert key.name == "etcd"
    closed = Store.open(store.path, "prod")
    assert closed.rotation is not None
    assert closed.rotation.kinds == KINDS
    assert b"PRIVATE" not in closed.text()
    sealed = closed.text().replace(b'"phase": "trust"', b'"phase": "issue"')
    with pytest.raises(StoreError):
        decode(sealed).keys(Secret("correct horse battery"))


def test_hosts_may_have_what_is_trusted_now_and_what_is_leaving(store: Store) -> None:
    old = store.fingerprints()["etcd"]
    _, trust, issue, drop, end = all_states(store)
    new = end.fingerprints()["etcd"]
    for state in (trust, issue, drop):
        assert state.known_fingerprints()["etcd"] == {old, new}
    assert end.known_fingerprints()["etcd"] == {new}
    assert fingerprint(drop.ca["etcd"]) == new


def test_an_older_kprov_does_not_write_what_it_would_lose(store: Store) -> None:
    """It refuses formats that it does not know; a file that was never rotated is as it was."""
    formats = [decode(store.text()).identity.format]
    trust = begun(store)
    formats.append(decode(trust.text()).identity.format)
    end = took(settled(onward(settled(onward(settled(trust))))), machine.ended)
    formats.append(decode(end.text()).identity.format)
    assert formats == [1, 2, 2], "the name of the new encryption key stays"


def keys_of(store: Store) -> Keys:
    return decode(store.text()).keys(None)


def test_a_backup_from_before_is_read_and_written_anew(store: Store) -> None:
    before = keys_of(store)
    end = all_states(store)[-1]
    assert end.lacks(before)
    again = took(end, partial(machine.returned, before=before, now=LATER))
    assert [name for name, _ in again.trust().encryption_keys] == ["key2", "key1"]
    assert again.trust().encryption_other == ("key1", before.encryption)
    assert '"key1"' in again.trust().encrypted_by
    assert again.rotation is not None
    assert (again.rotation.kinds, again.rotation.phase, again.rotation.done) == (("encryption",), "issue", False)
    assert not again.lacks(before)
    assert took(again, partial(machine.returned, before=before, now=LATER)).rotation == again.rotation
    assert onward(settled(again)).trust().encryption_other is None


def test_a_backup_of_today_changes_nothing(store: Store) -> None:
    before = keys_of(store)
    for step in (opened, begun, lambda state: onward(settled(state))):
        store = step(store)
        assert not store.lacks(before)
        assert took(store, partial(machine.returned, before=before, now=LATER)).rotation == store.rotation
        store = opened(store)


def test_a_backup_from_before_waits_for_the_end_of_another_rotation(store: Store) -> None:
    before = keys_of(store)
    running = begun(all_states(store)[-1], "etcd")
    with pytest.raises(StoreError, match="another rotation has begun"):
        running.turned(partial(machine.returned, before=before, now=LATER))


def test_new_backups_are_for_the_new_key_and_those_of_before_still_open(store: Store) -> None:
    old = store.backup_key().reveal()
    states = all_states(store)
    made_for = [state.backup_key().reveal() for state in states]
    new = made_for[-1]
    assert made_for == [old, old, new, new, new]
    assert [{key.reveal() for key in state.backup_keys()} for state in states[1:]] == [{old, new}] * 4
    assert states[-1].backup_keys()[0].reveal() == new
    again = took(settled(onward(settled(onward(settled(begun(states[-1], "backups")))))), machine.ended)
    assert len(again.backup_keys()) == 3
    other = took(settled(onward(settled(onward(settled(begun(again, "etcd")))))), machine.ended)
    assert other.backup_keys() == again.backup_keys(), "another rotation takes none of them away"


def test_what_was_taken_before_a_rotation_of_its_key_was_taken_back_opens(store: Store) -> None:
    old = store.backup_key().reveal()
    issue = onward(settled(begun(store, "backups")))
    new = issue.backup_key().reveal()
    gone = took(settled(back(back(issue))), machine.ended)
    assert [key.reveal() for key in gone.backup_keys()] == [old, new]
