"""Which CA the inventory names and which is in use: what a run may do, and what only a rotation may."""

from __future__ import annotations

import pytest
from own_cas import Made, company
from pki_cases import NOW

from kprov.pki.authority import CertificateAuthority
from kprov.plan.own_authority import Position, all_kinds, unlike
from kprov.values.rotation import KINDS, Kind, Phase, Rotation

OURS = CertificateAuthority.generate("kubernetes", "ecdsa-p256", 3650, NOW).cert_pem
ONE, TWO, THREE = company(NOW), company(NOW), company(NOW)


def at(signs: bytes, phase: Phase | None = None, other: bytes = b"") -> Position:
    return Position(signs=signs, kept=signs == OURS, other=other, other_kept=other == OURS, phase=phase)


@pytest.mark.parametrize(
    ("position", "named"),
    [
        (at(OURS), None),
        (at(ONE.chain), ONE),
        # from kprov's to one of the user's
        (at(OURS, "trust", ONE.chain), ONE),
        (at(ONE.chain, "issue", OURS), ONE),
        (at(ONE.chain, "drop"), ONE),
        (at(OURS, "back"), ONE),
        (at(OURS, "back"), None),
        # the inventory already says that it is to be taken back
        (at(OURS, "trust", ONE.chain), None),
        # from the user's to kprov's, or to another of the user's
        (at(ONE.chain, "trust", OURS), None),
        (at(OURS, "issue", ONE.chain), None),
        (at(ONE.chain, "trust", TWO.chain), TWO),
        (at(ONE.chain, "trust", TWO.chain), ONE),
        (at(TWO.chain, "issue", ONE.chain), TWO),
    ],
)
def test_what_a_run_may_go_on_with(position: Position, named: Made | None) -> None:
    assert unlike(position, named.chain if named is not None else None) is None


@pytest.mark.parametrize(
    ("position", "named", "reason"),
    [
        (at(OURS), ONE, "kprov's own CA"),
        (at(ONE.chain), None, "your CA"),
        (at(ONE.chain), TWO, "is named"),
        (at(ONE.pem), ONE, "is named"),  # with what is above it, which pods are given
        (at(OURS, "trust", ONE.chain), TWO, "a rotation has begun, and not to"),
        (at(ONE.chain, "issue", OURS), None, "a rotation has come to your CA"),
        (at(ONE.chain, "drop"), None, "a rotation has come to your CA"),
        (at(TWO.chain, "issue", ONE.chain), ONE, "a rotation has come to your CA"),
        (at(ONE.chain, "back"), TWO, "is in use again"),
        (at(ONE.chain, "trust", TWO.chain), None, "a rotation has come to your CA"),
    ],
)
def test_what_it_may_not(position: Position, named: Made | None, reason: str) -> None:
    found = unlike(position, named.chain if named is not None else None)
    assert found is not None
    assert reason in found


def rotating(*kinds: Kind) -> Rotation:
    return Rotation(kinds=kinds, phase="issue", since="")


def test_all_leaves_out_what_the_inventory_names_as_it_is() -> None:
    own = {"kubernetes": ONE.own, "etcd": TWO.own}
    signs = {"kubernetes": ONE.chain, "etcd": OURS, "front-proxy": OURS}
    assert all_kinds({}, signs, None) == KINDS
    assert all_kinds(own, signs, None) == ("etcd", "front-proxy", "service-account", "encryption", "backups")
    assert all_kinds(own, signs, rotating(*KINDS)) == KINDS, "what has begun goes on though the new one signs already"
