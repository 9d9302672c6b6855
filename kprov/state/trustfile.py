"""The text of the trust file: a cluster's identity and CA certificates to read, its private keys plain or sealed. Pure.

One JSON document, so that it is either all there or not at all. The public part is readable without a passphrase;
when the keys are sealed it is authenticated together with them.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from cryptography import x509

from kprov.state.vault import seal, unseal
from kprov.values.certificate import AUTHORITIES, Authority
from kprov.values.errors import StoreError
from kprov.values.rotation import KINDS, Rotation
from kprov.values.secret import Secret

_FORMAT = 1
_ROTATED = 2  # of what an older kprov would lose when it wrote the file: it refuses a format that it does not know
_OWN = 3  # of CAs that are the user's own: an older kprov would trust those above them, too
FIRST_KEY = "key1"  # what API servers call the key that a cluster was made with


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What everybody may know: names, and the CAs' certificates as PEM. made: ISO 8601 time of creation.

    format: of the file. authorities: those that sign. others: those that are trusted besides, while a rotation replaces
    one by the other.
    """

    cluster: str
    cluster_id: str
    made: str
    authorities: Mapping[Authority, bytes]
    others: Mapping[Authority, bytes] = field(default_factory=dict)
    rotation: Rotation | None = None
    format: int = _FORMAT


@dataclass(frozen=True, kw_only=True, repr=False)
class Keys:
    """Private keys of the CAs and of service accounts (PEM), and the 32 bytes of encryption at rest.

    authorities: without those whose keys are lost, as hosts do not have them.
    backup: the private key that opens backups, as age writes it; empty in a file of a kprov that took none.
    backups_before: those that opened them before a rotation, and still open what was taken then.
    encrypted_by: the configuration by which all objects in etcd are written, JSON; empty: with those 32 bytes alone.
    encryption_name: what API servers call those 32 bytes. others: kind → the key that is not in use and that a rotation
    replaces, or replaces by; of encryption `NAME:BASE64`, of backups as age writes it, of all others PEM.
    """

    authorities: Mapping[Authority, bytes]
    service_account: bytes
    service_account_public: bytes
    encryption: bytes
    backup: str = ""
    backups_before: tuple[str, ...] = ()
    encrypted_by: str = ""
    encryption_name: str = FIRST_KEY
    others: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        return "Keys(***)"


@dataclass(frozen=True, kw_only=True, repr=False)
class TrustFile:
    """A parsed trust file; its keys are still as they were written. Exactly one of `plain` and `vault` is set."""

    identity: Identity
    plain: Mapping[str, Any] | None
    vault: bytes | None

    def __repr__(self) -> str:
        return f"TrustFile({self.identity.cluster})"

    @property
    def sealed(self) -> bool:
        return self.vault is not None

    def keys(self, passphrase: Secret | None) -> Keys:
        """The private keys. Raises StoreError when the passphrase is missing or wrong, or the file is damaged."""
        if self.vault is None:
            return _keys(self.plain)
        if passphrase is None:
            raise StoreError(
                f"the keys of cluster {self.identity.cluster} are encrypted and no passphrase was given",
                needed="the passphrase this cluster was made with",
                todo="give --passphrase-file FILE, set KPROV_PASSPHRASE, or run in a terminal and type it when asked",
            )
        return _keys(_parse(unseal(self.vault, _header(self.identity), passphrase)))


def encode(identity: Identity, keys: Keys, passphrase: Secret | None) -> bytes:
    """The file's content; with a passphrase the keys are sealed (about 0.3 s). Raises StoreError for an empty one."""
    secrets = {
        "authorities": {name: pem.decode() for name, pem in keys.authorities.items()},
        "service_account": keys.service_account.decode(),
        "service_account_public": keys.service_account_public.decode(),
        "encryption": b64encode(keys.encryption).decode(),
        "backup": keys.backup,
        **({"backups_before": list(keys.backups_before)} if keys.backups_before else {}),
        **({"encrypted_by": keys.encrypted_by} if keys.encrypted_by else {}),
        **({"encryption_name": keys.encryption_name} if keys.encryption_name != FIRST_KEY else {}),
        **({"others": dict(keys.others)} if keys.others else {}),
    }
    renamed = keys.encryption_name != FIRST_KEY
    rotated = identity.rotation or identity.others or keys.others or keys.backups_before or renamed
    own = set(identity.authorities) - set(keys.authorities) and not identity.others
    chained = any(pem.count(b"-----BEGIN") > 1 for pem in (*identity.authorities.values(), *identity.others.values()))
    identity = replace(identity, format=_OWN if own or chained else _ROTATED if rotated else _FORMAT)
    document = _public(identity)
    if passphrase is None:
        document["keys"] = secrets
    else:
        sealed = seal(json.dumps(secrets).encode(), _header(identity), passphrase)
        document["vault"] = b64encode(sealed).decode()
    return json.dumps(document, indent=2).encode() + b"\n"


def decode(content: bytes) -> TrustFile:
    """The parsed file. Raises StoreError, which quotes nothing of the content."""
    document = _parse(content)
    if document.get("format") not in (_FORMAT, _ROTATED, _OWN):
        raise StoreError(
            "the trust file is of an unknown format",
            needed=f"format {_FORMAT}, {_ROTATED} or {_OWN}",
            todo="use the release of kprov that wrote it, or a newer one",
        )
    try:
        identity = Identity(
            cluster=str(document["cluster"]),
            cluster_id=str(document["id"]),
            made=str(document["made"]),
            authorities=_pems(document["authorities"]),
            others={name: pem.encode() for name, pem in document.get("others", {}).items() if name in AUTHORITIES},
            rotation=_rotation(document.get("rotation")),
            format=int(document["format"]),
        )
        for pem in (*identity.authorities.values(), *identity.others.values()):
            x509.load_pem_x509_certificate(pem)  # a broken one is found here, not in the middle of a run
        vault = b64decode(document["vault"], validate=True) if "vault" in document else None
        plain = document["keys"] if vault is None else None
    except (KeyError, TypeError, ValueError, AttributeError):
        raise _damaged() from None
    return TrustFile(identity=identity, plain=plain, vault=vault)


def _public(identity: Identity) -> dict[str, Any]:
    return {
        "format": identity.format,
        "cluster": identity.cluster,
        "id": identity.cluster_id,
        "made": identity.made,
        "authorities": {name: pem.decode() for name, pem in identity.authorities.items()},
        **({"others": {name: pem.decode() for name, pem in identity.others.items()}} if identity.others else {}),
        **({"rotation": asdict(identity.rotation)} if identity.rotation is not None else {}),
    }


def _header(identity: Identity) -> bytes:
    return json.dumps(_public(identity), sort_keys=True, separators=(",", ":")).encode()


def _parse(content: bytes) -> dict[str, Any]:
    try:
        document = json.loads(content)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise _damaged()
    return document


def _keys(secrets: Mapping[str, Any] | None) -> Keys:
    try:
        known = secrets or {}
        return Keys(
            authorities=_known_pems(known["authorities"]),
            service_account=known["service_account"].encode(),
            service_account_public=known["service_account_public"].encode(),
            encryption=b64decode(known["encryption"], validate=True),
            backup=str(known.get("backup", "")),
            backups_before=tuple(str(text) for text in known.get("backups_before", ())),
            encrypted_by=str(known.get("encrypted_by", "")),
            encryption_name=str(known.get("encryption_name", FIRST_KEY)),
            others={str(kind): str(text) for kind, text in known.get("others", {}).items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        raise _damaged() from None


def _pems(texts: Mapping[str, str]) -> Mapping[Authority, bytes]:
    return {name: texts[name].encode() for name in AUTHORITIES}


def _rotation(given: Any) -> Rotation | None:
    if given is None:
        return None
    kinds = tuple(kind for kind in KINDS if kind in given["kinds"])
    return Rotation(**{**given, "kinds": kinds})


def _known_pems(texts: Mapping[str, str]) -> Mapping[Authority, bytes]:
    return {name: texts[name].encode() for name in AUTHORITIES if name in texts}


def _damaged() -> StoreError:
    return StoreError(
        "the trust file is damaged",
        needed="the file as kprov wrote it",
        todo="restore the state folder from a backup; without its CA keys the cluster cannot be changed any more",
    )
