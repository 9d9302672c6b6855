"""`registry:` of an inventory → settings with certificates and passwords read; every mistake noted at its own line."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType

from kprov.inventory.mistakes import Path as KeyPath
from kprov.inventory.passwords import SecretReader, Unresolved
from kprov.inventory.review import Review
from kprov.inventory.runtime_keys import RegistryAccessKeys
from kprov.values.model import RegistryAccess, RegistryEntry, RegistrySettings
from kprov.values.secret import Secret

_AT: KeyPath = ("cluster", "registry")


def registry(review: Review, folder: Path, reader: SecretReader) -> RegistrySettings:
    """Reads the files it names. What cannot be read is a mistake, and left out."""
    keys = review.inventory.cluster.registry
    entries = {
        host: RegistryEntry(
            mirror=entry.mirror or "", access=_access(review, (*_AT, "registries", host), entry, folder, reader)
        )
        for host, entry in keys.registries.items()
    }
    if (keys.ca or keys.username) and not keys.mirror:
        review.fault(
            (*_AT, "ca" if keys.ca else "username"),
            "it is said how to ask, but not whom",
            needed="`mirror` beside it, or the registry's own entry below `registries`",
        )
    return RegistrySettings(
        mirror=keys.mirror or "",
        access=_access(review, _AT, keys, folder, reader),
        registries=MappingProxyType(entries),
    )


def _access(
    review: Review, path: KeyPath, keys: RegistryAccessKeys, folder: Path, reader: SecretReader
) -> RegistryAccess:
    sound = review.sound(*path, "username") and review.sound(*path, "password")
    if sound and (keys.username is None) != (keys.password is None):
        missing, there = ("password", "username") if keys.password is None else ("username", "password")
        review.fault((*path, there), f"there is no {missing} beside it", needed="both, or neither")
    return RegistryAccess(
        ca=_authority(review, (*path, "ca"), keys.ca, folder),
        username=keys.username or "",
        password=_password(review, path, keys, reader),
    )


def _password(review: Review, path: KeyPath, keys: RegistryAccessKeys, reader: SecretReader) -> Secret | None:
    if keys.password is None or not review.sound(*path, "password"):
        return None
    try:
        return reader.read(keys.password)
    except Unresolved as error:
        review.fault((*path, "password"), str(error), found="a reference", needed="`{env: NAME}` or `{file: PATH}`")
        return None


def _authority(review: Review, path: KeyPath, text: str | None, folder: Path) -> bytes:
    if text is None or not review.sound(*path):
        return b""
    from cryptography import x509  # most inventories name no CA, and this takes long to import

    file = folder / Path(text).expanduser()
    try:
        content = file.read_bytes()
        found = x509.load_pem_x509_certificates(content)
    except OSError as error:
        review.fault(path, f"{file} cannot be read: {error.strerror}", needed="a PEM file with certificates")
    except ValueError:
        review.fault(path, f"{file} holds no certificates", needed="a PEM file with the CA's certificates")
    else:
        if b"PRIVATE KEY" not in content:
            return content
        what = f"{file} holds a private key, which no host may have"
        review.fault(path, what, found=f"{len(found)} certificates and a key", needed="certificates alone")
    return b""
