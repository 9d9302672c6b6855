"""CAs of the user's own: their files read and judged; what is wrong is noted at its line.

A private key leaves this module only as `Secret`, never in a message.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from kprov.inventory.keys import SecretReference
from kprov.inventory.mistakes import Path as KeyPath
from kprov.inventory.passwords import SecretReader, Unresolved
from kprov.inventory.pki_keys import AuthorityKeys, SignerKeys
from kprov.inventory.review import Review
from kprov.pki.chain import normal
from kprov.pki.own import Fault, certificate_fault, ends_too_early, key_fault, same_key
from kprov.values.certificate import AUTHORITIES, Authority, OwnAuthority, SignerCommand
from kprov.values.secret import Secret

_AT: KeyPath = ("cluster", "pki", "authority")
_LARGEST = 1_048_576  # bytes of a file


def own_authorities(review: Review, folder: Path, reader: SecretReader) -> Mapping[Authority, OwnAuthority]:
    """Return the CAs that the inventory names. What cannot be one is a mistake, and left out."""
    found: dict[Authority, OwnAuthority] = {}
    now = datetime.now(UTC)
    for name in AUTHORITIES:
        word = name.replace("-", "_")
        keys: AuthorityKeys | None = getattr(review.inventory.cluster.pki.authority, word)
        if keys is not None and review.sound(*_AT, word):
            made = _read(review, (*_AT, word), keys, folder, reader, now)
            twin = next(
                (other for other in found if made is not None and same_key(made.chain, found[other].chain)), None
            )
            if twin is not None:
                review.fault(
                    (*_AT, word, "certificate"),
                    f"this CA is the {twin} CA, too: whom one lets in, the other would",
                    needed="a CA of its own for each, with a key of its own",
                )
            elif made is not None:
                found[name] = made
    return found


def _read(
    review: Review, path: KeyPath, keys: AuthorityKeys, folder: Path, reader: SecretReader, now: datetime
) -> OwnAuthority | None:
    if (keys.key is None) == (keys.signer is None):
        todo = "name the file of its private key, or the program that signs"
        review.fault(path, "a CA needs exactly one of `key` and `signer`", needed="one of both", todo=todo, at_key=True)
        return None
    chain = _certificates(review, (*path, "certificate"), folder / Path(keys.certificate).expanduser(), now)
    if chain is None:
        return None
    _caution(review, (*path, "certificate"), chain, now)
    if keys.signer is not None:
        words = _command(review, (*path, "signer", "command"), keys.signer, folder)
        signer = SignerCommand(words=words, folder=folder.absolute(), timeout=keys.signer.timeout)
        return OwnAuthority(chain=chain, signer=signer)
    key = _key(review, (*path, "key"), str(keys.key), chain, reader)
    return None if key is None else OwnAuthority(chain=chain, key=key)


def _certificates(review: Review, path: KeyPath, file: Path, now: datetime) -> bytes | None:
    try:
        with file.open("rb") as opened:
            pem = opened.read(_LARGEST)
    except OSError as error:
        review.fault(path, f"{file} cannot be read: {error.strerror}", needed="a PEM file with the CA's certificate")
        return None
    fault = certificate_fault(pem, now)
    if fault is not None:
        _note(review, path, file, fault)
    return normal(pem) if fault is None else None


def _key(review: Review, path: KeyPath, text: str, chain: bytes, reader: SecretReader) -> Secret | None:
    try:
        secret = reader.read(SecretReference(file=text), several_lines=True)
    except Unresolved as error:
        review.fault(path, str(error), needed="a PEM file with the CA's private key")
        return None
    fault = key_fault(secret.reveal().encode(), chain)
    if fault is not None:
        _note(review, path, Path(text), fault)
    return secret if fault is None else None


def _note(review: Review, path: KeyPath, file: Path, fault: Fault) -> None:
    review.fault(path, fault.what, found=fault.found or str(file), needed=fault.needed, todo=fault.todo)


def _caution(review: Review, path: KeyPath, chain: bytes, now: datetime) -> None:
    """What works, and yet should be known."""
    ends = ends_too_early(chain, review.inventory.cluster.pki.leaf_days, now)
    if ends:
        review.caution(
            path,
            f"certificates will end with this CA, before their time: it is {ends}",
            "name one that lives longer, and let `kprov certs rotate` bring it",
        )


def _command(review: Review, path: KeyPath, signer: SignerKeys, folder: Path) -> tuple[str, ...]:
    """The words, with the program as it is found; one beside the inventory is named with a slash."""
    program, *arguments = signer.command
    named = str((folder / Path(program).expanduser()).absolute()) if "/" in program else program
    if shutil.which(named) is None:
        what = "there is no such program" if not Path(named).exists() else "this program may not be run"
        needed = "a program on the PATH, or the path of one: ./sign starts at the inventory's folder"
        review.fault((*path, 0), what, needed=needed)
    return (named, *arguments)
