"""What a rotation makes of the cluster's CAs and keys: the state machine of `kprov certs rotate`. Pure but for new keys.

    nothing ── trust ──► issue ──► drop ──► nothing
                 │  ▲       │
               back └───────┘          a dropped key is gone: from there nothing leads back

Each step is one that hosts survive whatever order they take it in: what signs changes only between phases in which
both are trusted everywhere.
"""

from __future__ import annotations

import json
import secrets
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from kprov.pki.authority import CertificateAuthority, fingerprint, fingerprints
from kprov.pki.chain import above, anchor
from kprov.pki.keys import Algorithm, new_key, private_pem, public_pem
from kprov.state.sealed import new_identity
from kprov.state.trustfile import Identity, Keys
from kprov.values.certificate import AUTHORITIES, Authority, OwnAuthority
from kprov.values.errors import StoreError
from kprov.values.rotation import KINDS, Kind, Phase, Rotation

Trusted = tuple[Identity, Keys]


def begin(
    trusted: Trusted,
    kinds: Sequence[Kind],
    algorithm: Algorithm,
    ca_days: int,
    now: datetime,
    own: Mapping[Authority, OwnAuthority] = MappingProxyType({}),
) -> Trusted:
    """Make new CAs and keys beside those in use, which go on signing.

    own: CAs of the user's, which are not made, and whose keys are not kept. Raises StoreError while another rotation runs,
    and for one of the user's own that is in use already.
    """
    identity, keys = trusted
    if identity.rotation is not None:
        raise StoreError(
            "a rotation has begun and has not ended",
            found=str(identity.rotation),
            todo="end it, or take it back: `kprov certs rotate INVENTORY`, with --back",
        )
    made = {
        name: CertificateAuthority.generate(name, algorithm, ca_days, now)
        for name in AUTHORITIES
        if name in kinds and name not in own
    }
    brought = {name: one.chain for name, one in own.items() if name in kinds}
    for name, chain in brought.items():
        if fingerprints(chain) == fingerprints(identity.authorities[name]):
            raise StoreError(
                f"the {name} CA is your own, and the inventory names no other",
                found=f"the CA that is in use, {fingerprint(chain)[:16]}…",
                needed="the certificate of the new one",
                todo=f"name it in the inventory under `pki.authority.{name.replace('-', '_')}`, or remove that key, so that "
                "kprov makes one; then run the same command again",
            )
    others: dict[str, str] = {name: authority.key_pem.decode() for name, authority in made.items()}
    if "service-account" in kinds:
        others["service-account"] = private_pem(new_key(algorithm)).decode()
    if "encryption" in kinds:
        others["encryption"] = _sealed(_next_name(keys.encryption_name), secrets.token_bytes(32))
    if "backups" in kinds:
        others["backups"] = new_identity()
    rotation = Rotation(kinds=tuple(kind for kind in KINDS if kind in kinds), phase="trust", since=_time(now))
    public = {**{name: authority.cert_pem for name, authority in made.items()}, **brought}
    return replace(identity, others=public, rotation=rotation), replace(keys, others=others)


def onward(trusted: Trusted, now: datetime) -> Trusted:
    """Go on to the next phase. Raises StoreError when this one is not on all hosts yet, or is the last."""
    rotation = _running(trusted[0])
    if not rotation.done:
        raise StoreError("this phase is not on all hosts yet", found=str(rotation), todo="run `kprov up`, then go on")
    match rotation.phase:
        case "trust":
            identity, keys = _phase(_swapped(trusted), "issue", now)
            signs = replace(_running(identity), signs=_time(now))
            return replace(identity, rotation=signs), keys
        case "issue":
            return _phase(_without_others(trusted), "drop", now)
        case "drop" | "back":
            raise StoreError("this rotation has nothing left to do but to end", found=str(rotation))


def backward(trusted: Trusted, now: datetime, own: Mapping[Authority, OwnAuthority] = MappingProxyType({})) -> Trusted:
    """Go back to the phase before. Raises StoreError when the old one is dropped already, or nobody has its key.

    own: the CAs that the inventory names, and whose keys are not here.
    """
    rotation = _running(trusted[0])
    _refuse_lost(trusted, own)
    match rotation.phase:
        case "issue":
            # Every host trusts both, whether or not it has got what the new one signed.
            return _phase(_swapped(_perhaps_written(trusted)), "trust", now)
        case "trust":
            return _phase(_without_others(trusted), "back", now)
        case "back":
            return trusted
        case "drop":
            raise StoreError(
                "the old one is dropped and its key is gone: this rotation cannot be taken back",
                found=str(rotation),
                todo="end it with `kprov certs rotate INVENTORY`",
            )


def returned(trusted: Trusted, before: Keys, now: datetime) -> Trusted:
    """Read what a backup's objects are encrypted by, where another key has taken the place of that one since.

    before: the keys in the backup. It is the second phase of a rotation again: all is written anew by the key of today,
    and then the old one may be dropped. Raises StoreError where there is no place for it.
    """
    identity, keys = trusted
    missing = unread(keys, before)
    if not missing:
        return trusted
    if identity.rotation is not None or len(missing) > 1:
        raise StoreError(
            "the backup is encrypted by keys that a rotation has replaced, and another rotation has begun",
            found=str(identity.rotation or f"{len(missing)} keys that are no more"),
            todo="end that rotation, or take it back: `kprov certs rotate INVENTORY`; then run the same command again",
        )
    ((name, key),) = missing.items()
    document = before.encrypted_by or json.dumps(_written_by_one(name, key))
    rotation = Rotation(kinds=("encryption",), phase="issue", since=_time(now), signs=_time(now))
    changed = replace(keys, others={"encryption": _sealed(name, key)}, encrypted_by=document)
    return replace(identity, rotation=rotation), changed


def unread(keys: Keys, before: Keys) -> dict[str, bytes]:
    """Return name → key of those that encrypted objects before, and are not among those of today."""
    known = set(_encryption(keys).values())
    return {name: key for name, key in _encryption(before).items() if key not in known}


def _encryption(keys: Keys) -> dict[str, bytes]:
    other = other_encryption(keys)
    return {keys.encryption_name: keys.encryption, **dict([other] if other is not None else [])}


def _written_by_one(name: str, key: bytes) -> dict[str, Any]:
    """What an older kprov left out, as it was the same in every cluster."""
    own = {"secretbox": {"keys": [{"name": name, "secret": b64encode(key).decode()}]}}
    row = {"resources": ["secrets"], "providers": [own, {"identity": {}}]}
    return {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration", "resources": [row]}


def reached(trusted: Trusted, now: datetime) -> Trusted:
    """Return what is true once all hosts have what the phase means."""
    rotation = trusted[0].rotation
    if rotation is None or rotation.done:
        return trusted
    return replace(trusted[0], rotation=replace(rotation, done=True, since=_time(now))), trusted[1]


def ended(trusted: Trusted) -> Trusted:
    """Return what is true once nothing of the rotation is left. Raises StoreError before that."""
    rotation = _running(trusted[0])
    if not (rotation.ends and rotation.done):
        raise StoreError("this rotation has not come to its end", found=str(rotation))
    return replace(trusted[0], rotation=None), trusted[1]


def bundle(identity: Identity) -> dict[Authority, bytes]:
    """Return what is trusted: CA certificates, the elder first, so that nothing moves when the other one signs."""
    return {name: b"".join(anchor(pem) for pem in pair) for name, pair in _in_order(identity).items()}


def roots(identity: Identity) -> dict[Authority, bytes]:
    """Return the CA certificates above those that are trusted, where there are any."""
    found = {name: dict.fromkeys(above(pem) for pem in pair) for name, pair in _in_order(identity).items()}
    return {name: pem for name, pems in found.items() if (pem := b"".join(pems))}


def _in_order(identity: Identity) -> dict[Authority, list[bytes]]:
    """The CAs of each name with those above them, the elder first; each CA once."""
    pairs: dict[Authority, dict[bytes, bytes]] = {}
    for name, pem in identity.authorities.items():
        pairs[name] = {anchor(one): one for one in (identity.others.get(name, pem), pem)}
    return {name: sorted(pair.values(), key=lambda pem: (_begins(pem), pem)) for name, pair in pairs.items()}


def public_keys(keys: Keys) -> bytes:
    """Return the public keys of service accounts, in an order that does not depend on which one signs."""
    other = keys.others.get("service-account")
    return b"".join(sorted({keys.service_account_public, public_of(other)})) if other else keys.service_account_public


def other_encryption(keys: Keys) -> tuple[str, bytes] | None:
    """Return name and bytes of the encryption key that is only read."""
    text = keys.others.get("encryption")
    if text is None:
        return None
    name, _, key = text.partition(":")
    return name, b64decode(key)


def public_of(private: str) -> bytes:
    """Return the public half of a private key, both PEM."""
    key = serialization.load_pem_private_key(private.encode(), password=None)
    return public_pem(key)  # type: ignore[arg-type]


def _running(identity: Identity) -> Rotation:
    if identity.rotation is None:
        raise StoreError("no rotation has begun", todo="begin one: `kprov certs rotate INVENTORY KIND`")
    return identity.rotation


def _refuse_lost(trusted: Trusted, own: Mapping[Authority, OwnAuthority]) -> None:
    """Raise StoreError where going back would leave CAs whose keys nobody has."""
    identity, keys = trusted
    signs = _running(identity).phase == "issue"
    lost: list[str] = []
    for name in identity.others:
        old = identity.others[name] if signs else identity.authorities[name]
        kept = name in keys.others if signs else name in keys.authorities
        if not kept and not (name in own and same(own[name].chain, old)):
            lost.append(name)
    if lost:
        raise StoreError(
            "this rotation cannot be taken back: the private keys of the old CAs are not here",
            found=", ".join(lost),
            needed="their keys; of your own CAs, the inventory as it was",
            todo="go on with `kprov certs rotate INVENTORY`; or name your old CA in the inventory again, then --back",
        )


def same(one: bytes, other: bytes) -> bool:
    """Return whether two texts begin with the same CA certificate."""
    return fingerprint(one) == fingerprint(other)


def _phase(trusted: Trusted, phase: Phase, now: datetime) -> Trusted:
    identity, keys = trusted
    rotation = replace(_running(identity), phase=phase, done=False, since=_time(now))
    return replace(identity, rotation=rotation), keys


def _swapped(trusted: Trusted) -> Trusted:
    """The other one signs."""
    identity, keys = trusted
    authorities, others = dict(identity.authorities), dict(identity.others)
    signing, left = dict(keys.authorities), dict(keys.others)
    for name in identity.others:
        authorities[name], others[name] = others[name], authorities[name]
        theirs, ours = signing.pop(name, None), left.pop(name, None)
        if ours is not None:  # else it is the user's own
            signing[name] = ours.encode()
        if theirs is not None:  # else it is the user's own, or lost, as after `kprov adopt`
            left[name] = theirs.decode()
    changed = replace(keys, authorities=signing)
    if private := left.get("service-account"):
        left["service-account"] = keys.service_account.decode()
        changed = replace(changed, service_account=private.encode(), service_account_public=public_of(private))
    if (other := other_encryption(keys)) is not None:
        left["encryption"] = _sealed(keys.encryption_name, keys.encryption)
        changed = replace(changed, encryption_name=other[0], encryption=other[1])
    if opens := left.get("backups"):
        left["backups"] = keys.backup
        changed = replace(changed, backup=opens)
    return replace(identity, authorities=authorities, others=others), replace(changed, others=left)


def _perhaps_written(trusted: Trusted) -> Trusted:
    """Objects may be encrypted by the new key, all or some: they count as written by it, so that all are written again."""
    identity, keys = trusted
    other = other_encryption(keys)
    if other is None or not keys.encrypted_by:
        return trusted
    document = json.loads(keys.encrypted_by)
    for row in document["resources"]:
        first = row["providers"][0]
        if _key_name(first) == other[0]:
            new = [one for one in row["providers"] if _key_name(one) == keys.encryption_name]
            row["providers"] = [*new, *(one for one in row["providers"] if one not in new)]
    return identity, replace(keys, encrypted_by=json.dumps(document))


def _key_name(provider: Mapping[str, Any]) -> str:
    """Return the name of a key of kprov's own provider, empty for any other provider."""
    keys = (provider.get("secretbox") or {}).get("keys") or [{}]
    return str(keys[0].get("name", ""))


def _without_others(trusted: Trusted) -> Trusted:
    """What does not sign is trusted no more, and its key is gone; but that of backups, which opens those of before."""
    identity, keys = trusted
    leaving: dict[str, str] = {name: fingerprint(pem) for name, pem in identity.others.items()}
    rotation = replace(_running(identity), leaving=leaving)
    return replace(identity, others={}, rotation=rotation), replace(
        keys, others={}, backups_before=backup_keys(keys)[1:]
    )


def backup_keys(keys: Keys) -> tuple[str, ...]:
    """Return the private keys that open backups: the one that new ones are made for, then all others."""
    other = keys.others.get("backups")
    return (keys.backup, *([other] if other else []), *keys.backups_before)


def _sealed(name: str, key: bytes) -> str:
    return f"{name}:{b64encode(key).decode()}"


def _next_name(name: str) -> str:
    return f"key{int(name.removeprefix('key')) + 1}"


def _begins(pem: bytes) -> datetime:
    return x509.load_pem_x509_certificate(pem).not_valid_before_utc


def _time(now: datetime) -> str:
    return now.isoformat(timespec="seconds")
