"""What the hosts of a living cluster hold of its trust, when the state folder is lost. Pure.

Hosts have no private key of a CA. They have the CAs' certificates, the leaves, the key that signs tokens of service accounts
and the configuration by which objects in etcd are encrypted.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import yaml
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization

from kprov.observe.observation import Observation
from kprov.roles import encryption
from kprov.roles.api_server import ENCRYPTION
from kprov.roles.layout import CA, FRONT_PROXY_CA, SERVICE_ACCOUNT_KEY
from kprov.values.api_settings import EncryptionSettings
from kprov.values.certificate import AUTHORITIES, Authority
from kprov.values.context import Held
from kprov.values.errors import PkiError, PreflightError
from kprov.values.model import Cluster
from kprov.values.paths import SERVICE_ACCOUNT_PUBLIC
from kprov.values.yaml_text import load

# Where each CA is trusted, and by whose leaves one can tell which of several issues.
PLACES: Mapping[Authority, tuple[str, ...]] = {
    "kubernetes": (CA,),
    "etcd": ("/etc/etcd/pki/ca.crt",),
    "front-proxy": (FRONT_PROXY_CA,),
}
SECRETS = (SERVICE_ACCOUNT_KEY, SERVICE_ACCOUNT_PUBLIC, ENCRYPTION)  # on control planes, root's
_BARELY = timedelta(hours=1)  # a leaf that ends within it cannot wait until all hosts trust another CA

Texts = Mapping[str, bytes]


@dataclass(frozen=True, kw_only=True)
class Adopted:
    """What was read. lines: in words, for people. first_end: when the first leaf ends. ended: whether it has, or nearly."""

    held: Held
    lines: tuple[str, ...]
    first_end: datetime
    ended: bool


def adopt(
    cluster: Cluster, observations: Mapping[str, Observation], secrets: Mapping[str, Texts], now: datetime
) -> Adopted:
    """Read what is held. secrets: by control plane, what is in the files of SECRETS.

    Raises PreflightError where kprov made no cluster, PkiError where hosts disagree or lack what it takes.
    """
    made = {name: _recorded(seen) for name, seen in observations.items()}
    if not secrets or not any(CA in texts for texts in made.values()):
        raise PreflightError(
            "there is no cluster to adopt on these hosts: no control plane that kprov made",
            found=", ".join(host.name for host in cluster.group("control_plane")),
            todo="check the hosts of the inventory; `kprov up` makes a new cluster",
        )
    leaves = [one for texts in made.values() for one in _leaves(texts)]
    bundles = {name: _bundle(name, made) for name in AUTHORITIES}
    issuing = {name: _issuing(name, bundle, leaves) for name, bundle in bundles.items()}
    texts = _agreed(secrets)
    document = _encryption(texts)
    name, key = _own_key(document)
    held = Held(
        authorities={name: _pem([one]) for name, one in issuing.items()},
        former={name: _pem(rest) for name, bundle in bundles.items() if (rest := _without(bundle, issuing[name]))},
        service_account=texts[SERVICE_ACCOUNT_KEY],
        service_account_public=texts[SERVICE_ACCOUNT_PUBLIC],
        encryption=key,
        encryption_name=name,
        encrypted_by=""
        if document == encryption.settled(EncryptionSettings(), [(name, key)])
        else json.dumps(document),
    )
    first_end = min(one.not_valid_after_utc for one in leaves)
    return Adopted(
        held=held,
        lines=tuple(_lines(cluster, observations, issuing, first_end)),
        first_end=first_end,
        ended=first_end - now < _BARELY or _mixed(issuing, bundles, leaves),
    )


def _recorded(seen: Observation) -> Texts:
    return {path: text for path, text in seen.texts.items() if ("file", path) in seen.records}


def _leaves(texts: Texts) -> Iterator[x509.Certificate]:
    """Every certificate that kprov put there, but those of CAs."""
    for path, text in texts.items():
        if not path.endswith(".crt"):
            continue
        for one in _certificates(text, path)[:1]:
            try:
                ca = one.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
            except x509.ExtensionNotFound:
                ca = False
            if not ca:
                yield one


def _bundle(name: Authority, made: Mapping[str, Texts]) -> list[x509.Certificate]:
    """All CAs of a name that hosts trust. Raises PkiError where two hosts have none in common, or nobody has any."""
    of_hosts = {
        host: _certificates(texts[path], f"{host}: {path}")
        for host, texts in sorted(made.items())
        for path in PLACES[name]
        if path in texts
    }
    if not of_hosts:
        raise PkiError(
            f"no host that answers has the certificate of the {name} CA",
            needed=f"{PLACES[name][0]} on a host",
            todo="bring a control plane or a host of etcd back, and run again",
        )
    first, *others = of_hosts.items()
    strangers = [host for host, found in others if not any(one in first[1] for one in found)]
    if strangers:
        raise PkiError(
            f"these hosts have {name} CAs of different clusters; nothing was touched",
            where=", ".join(strangers),
            found=f"another one than {first[0]} has",
            todo="take the hosts of the other cluster out of this inventory",
        )
    return list(dict.fromkeys(one for found in of_hosts.values() for one in found))


def _issuing(
    name: Authority, bundle: Sequence[x509.Certificate], leaves: Sequence[x509.Certificate]
) -> x509.Certificate:
    """The CA that most leaves are of. Raises PkiError where none is of any."""
    counts = {one: sum(_is_of(leaf, one) for leaf in leaves) for one in bundle}
    most = max(counts, key=lambda one: counts[one])
    if not counts[most]:
        raise PkiError(
            f"no certificate on these hosts is of the {name} CA that they trust; nothing was touched",
            todo="look at `kprov status`, and at /etc/kubernetes/pki and /etc/etcd/pki on the control planes",
        )
    return most


def _mixed(
    issuing: Mapping[Authority, x509.Certificate],
    bundles: Mapping[Authority, Sequence[x509.Certificate]],
    leaves: Sequence[x509.Certificate],
) -> bool:
    """Whether leaves are of several CAs of a name: a rotation had begun, and one of them is trusted no more."""
    others = [one for name, bundle in bundles.items() for one in _without(bundle, issuing[name])]
    return any(_is_of(leaf, one) for leaf in leaves for one in others)


def _is_of(leaf: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        leaf.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _agreed(secrets: Mapping[str, Texts]) -> Texts:
    """What all control planes have alike. Raises PkiError."""
    for path in SECRETS:
        lacking = sorted(host for host, texts in secrets.items() if path not in texts)
        if lacking:
            raise PkiError(
                f"a control plane lacks {path}, without which the cluster cannot be read back; nothing was touched",
                where=", ".join(lacking),
                todo="bring the file back from another control plane, or leave this host out of the inventory for now",
            )
        if len({texts[path] for texts in secrets.values()}) > 1:
            raise PkiError(
                f"control planes differ in {path}; nothing was touched",
                where=", ".join(sorted(secrets)),
                needed="the same on all: a run that changed it was cut off",
                todo="leave the hosts out of the inventory that were not reached by it, and bring them in again later",
            )
    return next(iter(secrets.values()))


def _encryption(texts: Texts) -> encryption.Document:
    try:
        document = load(texts[ENCRYPTION].decode())
        if isinstance(document, dict) and document["resources"]:
            return document
    except (yaml.YAMLError, UnicodeDecodeError, KeyError):
        pass
    raise PkiError(
        "the configuration of encryption cannot be read; nothing was touched",
        where=ENCRYPTION,
        needed="an EncryptionConfiguration as kprov wrote it",
    )


def _own_key(document: encryption.Document) -> tuple[str, bytes]:
    """kprov's own key: always there, behind whatever else the inventory asks for. Raises PkiError."""
    providers: Iterable[Mapping[str, Any]] = (item for row in document["resources"] for item in row["providers"])
    keys = [key for item in providers for key in (item.get("secretbox") or {}).get("keys", ())]
    if not keys:
        raise PkiError("the configuration of encryption has no key of kprov's; nothing was touched", where=ENCRYPTION)
    return str(keys[-1]["name"]), b64decode(keys[-1]["secret"])


def _certificates(text: bytes, where: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(text)
    except ValueError:
        raise PkiError("a certificate on a host cannot be read; nothing was touched", where=where) from None


def _without(bundle: Iterable[x509.Certificate], one: x509.Certificate) -> list[x509.Certificate]:
    return [other for other in bundle if other != one]


def _pem(certificates: Iterable[x509.Certificate]) -> bytes:
    return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in certificates)


def _lines(
    cluster: Cluster,
    observations: Mapping[str, Observation],
    issuing: Mapping[Authority, x509.Certificate],
    first_end: datetime,
) -> Iterator[str]:
    """What was read, for people."""
    from_hosts = [name for name, seen in observations.items() if seen.records]
    yield f"hosts of a cluster: {', '.join(from_hosts)}"
    bare = [host.name for host in cluster.hosts if host.name in observations and host.name not in from_hosts]
    if bare:
        yield f"new to it: {', '.join(bare)}"
    members = max((seen.etcd.members or () for seen in observations.values()), key=len, default=())
    yield "members of etcd: " + (", ".join(one.name for one in members) or "none answers")
    running = sorted({text for seen in observations.values() if (text := seen.versions.get("kube-apiserver"))})
    yield f"API servers: {', '.join(running) or 'none answers'}"
    yield f"pods {cluster.pod_cidr}, services {cluster.service_cidr}, domain {cluster.domain}: as hosts have them"
    for name, one in issuing.items():
        yield f"the {name} CA ends on {one.not_valid_after_utc:%Y-%m-%d}; its private key is lost"
    yield f"the first certificate ends on {first_end:%Y-%m-%d %H:%M} UTC"
    yield "read: the key of service accounts' tokens, the key that encrypts Secrets"
