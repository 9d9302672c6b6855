"""Decide whether the CAs that the inventory names are those of the cluster, and which of them `all` replaces. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kprov.pki.authority import fingerprint, fingerprints
from kprov.values.certificate import AUTHORITIES, Authority, OwnAuthority
from kprov.values.rotation import KINDS, Kind, Phase, Rotation

_SHOWN = 16  # characters of a fingerprint


@dataclass(frozen=True, kw_only=True)
class Position:
    """What the state folder knows of one CA.

    signs: the one that signs, PEM, with those above it. other: the one that is trusted besides while it is replaced. kept,
    other_kept: whether their private keys are in the folder. phase: of the rotation that replaces it, if one does.
    """

    signs: bytes
    kept: bool
    other: bytes = b""
    other_kept: bool = False
    phase: Phase | None = None


def unlike(position: Position, named: bytes | None) -> str | None:
    """Return what is in use in the place of what the inventory names, as a clause; None where it is that.

    named: the user's own CA with those above it, PEM; None where kprov is to make it.
    """
    signs, other = _is(position.signs, named), _is(position.other, named)
    if position.phase is None:
        if named is None:
            return None if position.kept else f"{_described(position, kept=False)} is in use, and kprov's is asked for"
        alike = fingerprints(position.signs) == fingerprints(named)
        return None if alike else f"{_described(position, kept=position.kept)} is in use, and {_short(named)} is named"
    if position.phase == "back":
        return None if position.kept or signs else f"{_described(position, kept=False)} is in use again"
    if named is not None and not signs and not other:
        return f"a rotation has begun, and not to {_short(named)}"
    usable = position.kept or signs
    coming = position.phase == "trust" and (position.other_kept or other)
    return None if usable or coming else f"a rotation has come to {_described(position, kept=False)}"


def all_kinds(
    own: Mapping[Authority, OwnAuthority], signs: Mapping[Authority, bytes], rotation: Rotation | None
) -> tuple[Kind, ...]:
    """Return what `all` means: all but the user's own CAs that the inventory names as they are.

    signs: the CAs in use, PEM. rotation: the one that has begun; what it replaces is never left out.
    """
    begun = rotation.kinds if rotation is not None else ()
    left = {
        name
        for name in AUTHORITIES
        if name in own and name not in begun and fingerprints(own[name].chain) == fingerprints(signs[name])
    }
    return tuple(kind for kind in KINDS if kind not in left)


def _is(pem: bytes, named: bytes | None) -> bool:
    return bool(pem) and named is not None and fingerprint(pem) == fingerprint(named)


def _described(position: Position, *, kept: bool) -> str:
    whose = "kprov's own CA" if kept else "your CA"
    return f"{whose} {_short(position.signs)}"


def _short(pem: bytes) -> str:
    return f"{fingerprint(pem)[:_SHOWN]}…"
