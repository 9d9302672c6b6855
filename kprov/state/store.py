"""The operator's state folder: the cluster's identity, CAs and keys. It never overwrites a key.

Everything that must not be lost is in one file, `trust.json`, that appears whole or not at all. What else is in the
folder (lock, .gitignore) may be deleted at any time.
"""

from __future__ import annotations

import fcntl
import getpass
import hashlib
import json
import os
import secrets
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

from kprov.pki.authority import CertificateAuthority, fingerprint, fingerprints
from kprov.pki.keys import Algorithm, new_key, private_pem, public_pem
from kprov.state import rotation
from kprov.state.private import (
    check_private,
    create_private,
    make_folder,
    private_folder,
    read_private,
    remove_parts,
    replace_private,
)
from kprov.state.rotation import Trusted
from kprov.state.sealed import new_identity
from kprov.state.signer import Signer
from kprov.state.trustfile import Identity, Keys, TrustFile, decode, encode
from kprov.state.vault import check_passphrase
from kprov.values.certificate import AUTHORITIES, Authority, OwnAuthority
from kprov.values.context import Trust
from kprov.values.errors import LockedError, StoreError
from kprov.values.rotation import Rotation
from kprov.values.secret import Secret

ROOT = ".kprov"
_TRUST = "trust.json"
_LOCK = "lock"
_LOCK_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


def state_folder(inventory: Path, cluster_name: str, override: Path | None = None) -> Path:
    """Where a cluster's state is: `override` itself (--state-dir), else `.kprov/CLUSTER` beside the inventory file."""
    return override if override is not None else inventory.absolute().parent / ROOT / cluster_name


class Store:
    """One cluster's state folder. Opening reads; what makes trust, changes or keeps something, and `lock` write."""

    def __init__(
        self,
        path: Path,
        cluster_name: str,
        passphrase: Secret | None,
        file: TrustFile | None,
        read: bytes = b"",
        own: Mapping[Authority, OwnAuthority] = MappingProxyType({}),
    ) -> None:
        self.path = path
        self.cluster_name = cluster_name
        self._passphrase = passphrase
        self._file = file
        self._keys: Keys | None = None
        self._read = read  # what is replaced must be what was read
        self._unwritten = b""
        self._own = own

    def __repr__(self) -> str:
        return f"Store({self.path})"

    @classmethod
    def open(
        cls,
        path: Path,
        cluster_name: str,
        passphrase: Secret | None = None,
        own: Mapping[Authority, OwnAuthority] = MappingProxyType({}),
    ) -> Store:
        """The store at `path`, which need not exist yet; a vault stays closed until keys are asked for.

        own: the user's own CAs, as the inventory names them: their keys are not in the folder.

        Raises StoreError when the folder or file is open to others, damaged or of another cluster, when the passphrase
        is empty, and when one is given for keys that are not encrypted.
        """
        if passphrase is not None:
            check_passphrase(passphrase)
        content = _text(path)
        file = None if content is None else decode(content)
        if file is not None and file.identity.cluster != cluster_name:
            raise StoreError(
                "the state folder belongs to another cluster",
                where=str(path),
                found=file.identity.cluster,
                needed=cluster_name,
                todo="name the right folder with --state-dir, or give the cluster its old name back",
            )
        if file is not None and passphrase is not None and not file.sealed:
            raise StoreError(
                "a passphrase was given, but the keys in the state folder are not encrypted",
                where=str(path / _TRUST),
                todo="leave --passphrase-file and KPROV_PASSPHRASE out",
            )
        return cls(path, cluster_name, passphrase, file, content or b"", own)

    @staticmethod
    def is_sealed(path: Path) -> bool:
        """Whether the keys at `path` need a passphrase (False when there are none). Raises StoreError."""
        file = _read(path)
        return file is not None and file.sealed

    @property
    def passphrase(self) -> Secret | None:
        """What the store was opened with."""
        return self._passphrase

    def prepare(self) -> None:
        """Make the folder, closed to others and kept out of repositories. Raises StoreError."""
        with self._writing("the state folder cannot be made"), private_folder(self.path):
            return

    @property
    def exists(self) -> bool:
        """Whether the cluster's CAs and keys have been made."""
        return self._file is not None

    @property
    def cluster_id(self) -> str:
        """The random identity of this cluster, 32 hexadecimal digits. Raises StoreError when there is no trust yet."""
        return self._known.identity.cluster_id

    @property
    def ca(self) -> Mapping[Authority, bytes]:
        """The public CA certificates that sign (PEM); no passphrase is needed. Raises StoreError without trust."""
        return self._known.identity.authorities

    @property
    def bundle(self) -> Mapping[Authority, bytes]:
        """The CA certificates to trust (PEM): two of an authority while it is replaced. Raises StoreError without trust."""
        return rotation.bundle(self._known.identity)

    def given_out(self, name: Authority) -> bytes:
        """Return what pods and people check servers by: the CAs to trust, and those above them. Raises StoreError."""
        return self.bundle[name] + rotation.roots(self._known.identity).get(name, b"")

    @property
    def own(self) -> Mapping[Authority, OwnAuthority]:
        """The user's own CAs, as the inventory names them."""
        return self._own

    @property
    def keeps(self) -> frozenset[Authority]:
        """The CAs that sign whose keys are here. Raises StoreError."""
        return frozenset(self._open_keys().authorities)

    @property
    def keeps_others(self) -> frozenset[str]:
        """Of what does not sign now and is replaced, or replaces: that of which the key is here. Raises StoreError."""
        return frozenset(self._open_keys().others)

    @property
    def others(self) -> Mapping[Authority, bytes]:
        """The CAs that do not sign and are trusted, while one is replaced. Raises StoreError without trust."""
        return self._known.identity.others

    @property
    def rotation(self) -> Rotation | None:
        """The rotation that has begun, None where there is none; no passphrase is needed."""
        return None if self._file is None else self._file.identity.rotation

    def fingerprints(self) -> Mapping[Authority, str]:
        """SHA-256 of each CA certificate (DER, hexadecimal); no passphrase is needed. Raises StoreError."""
        return {name: fingerprint(pem) for name, pem in self.ca.items()}

    def known_fingerprints(self) -> Mapping[Authority, frozenset[str]]:
        """SHA-256 of each CA certificate that a host of this cluster may have now. Raises StoreError."""
        leaving = self.rotation.leaving if self.rotation is not None else {}
        return {
            name: frozenset({*fingerprints(pem), *([leaving[name]] if name in leaving else [])})
            for name, pem in self.bundle.items()
        }

    def trust(self) -> Trust:
        """What roles may use. Raises StoreError: no trust yet, passphrase missing or wrong, file damaged."""
        keys = self._open_keys()
        return Trust(
            bundle=self.bundle,
            issuer=self.ca,
            service_account_key=keys.service_account,
            service_account_public=rotation.public_keys(keys),
            encryption_key=keys.encryption,
            encrypted_by=keys.encrypted_by,
            encryption_name=keys.encryption_name,
            encryption_other=rotation.other_encryption(keys),
            lost=frozenset(name for name in self.ca if name not in keys.authorities and not self._is_own(name)),
            roots=rotation.roots(self._known.identity),
        )

    def authority(self, name: Authority) -> CertificateAuthority | Signer:
        """The CA, as what issues by it; where its key is lost, the one that a rotation replaces it by.

        Raises StoreError as `trust` does, and where no key is at hand; PkiError when key and CA differ.
        """
        keys, other = self._open_keys(), self._known.identity.others.get(name, b"")
        if name in keys.authorities:
            return CertificateAuthority.load(name, self.ca[name], keys.authorities[name])
        if self._is_own(name):
            return self._by_own(name, self.ca[name])
        if name in keys.others:
            return CertificateAuthority.load(name, other, keys.others[name].encode())
        if self._names(name, other):
            return self._by_own(name, other)
        raise StoreError(
            f"the {name} CA is not kprov's own, and the inventory does not say how it signs",
            where=str(self.path / _TRUST),
            needed=f"its certificate with `key` or `signer` under `pki.authority.{name.replace('-', '_')}`",
            todo=f"write it there again; or let kprov make a CA: `kprov certs rotate INVENTORY {name}`",
        )

    def signs(self, name: Authority) -> bool:
        """Return whether there is a key to issue by, here or where the inventory says. Raises StoreError."""
        keys, other = self._open_keys(), self._known.identity.others.get(name, b"")
        return name in keys.authorities or name in keys.others or self._is_own(name) or self._names(name, other)

    def _is_own(self, name: Authority) -> bool:
        """Return whether the CA that signs is the one that the inventory names."""
        return self._names(name, self.ca[name])

    def _names(self, name: Authority, pem: bytes) -> bool:
        return bool(pem) and name in self._own and rotation.same(self._own[name].chain, pem)

    def _by_own(self, name: Authority, chain: bytes) -> CertificateAuthority | Signer:
        own = self._own[name]
        if own.signer is not None:
            return Signer(name=name, pem=chain, command=own.signer)
        return CertificateAuthority.load(name, chain, own.key.reveal().encode() if own.key is not None else b"")

    def create_trust(self, algorithm: Algorithm, ca_days: int, now: datetime) -> Trust:
        """Make the CAs and keys, once in a cluster's life, and keep them before anybody can use them.

        now: an aware UTC time. A crash leaves all of it or nothing. Raises StoreError when trust exists already.
        """
        if self._file is not None:
            raise self._made_before()
        authorities = {
            name: CertificateAuthority.generate(name, algorithm, ca_days, now)
            for name in AUTHORITIES
            if name not in self._own
        }
        made = {name: authority.cert_pem for name, authority in authorities.items()}
        service_account = new_key(algorithm)
        identity = Identity(
            cluster=self.cluster_name,
            cluster_id=secrets.token_hex(16),
            made=now.isoformat(timespec="seconds"),
            authorities={name: made[name] if name in made else self._own[name].chain for name in AUTHORITIES},
        )
        keys = Keys(
            authorities={name: authority.key_pem for name, authority in authorities.items()},
            service_account=private_pem(service_account),
            service_account_public=public_pem(service_account),
            encryption=secrets.token_bytes(32),
            backup=new_identity(),
        )
        self._write(encode(identity, keys, self._passphrase), self._passphrase, create_private)
        return self.trust()

    def change_passphrase(self, passphrase: Secret | None) -> None:
        """Write the same keys again under another passphrase; None leaves them unencrypted. Raises StoreError."""
        if passphrase is not None:
            check_passphrase(passphrase)
        self._write(encode(self._known.identity, self._open_keys(), passphrase), passphrase, replace_private)

    def backup_key(self) -> Secret:
        """Return the private key that opens this cluster's backups; it is made where an older kprov made none.

        Raises StoreError.
        """
        keys = self._open_keys()
        if not keys.backup:
            keys = replace(keys, backup=new_identity())
            self._write(encode(self._known.identity, keys, self._passphrase), self._passphrase, replace_private)
        return Secret(keys.backup)

    def backup_keys(self) -> tuple[Secret, ...]:
        """Return all private keys that open backups of this cluster, as they were replaced; that of new ones first."""
        self.backup_key()
        return tuple(Secret(text) for text in rotation.backup_keys(self._open_keys()))

    def text(self) -> bytes:
        """Return the trust file as it is, or will be, sealed or not. Raises StoreError, also when there is none."""
        if self._unwritten:
            return self._unwritten
        with private_folder(self.path) as folder:
            content = read_private(folder, self.path / _TRUST) if self._known else None
        if content is None:
            raise StoreError("the trust file went away", where=str(self.path / _TRUST))
        return content

    def adopt(self, content: bytes) -> None:
        """Take over the trust file of a backup, where there is none yet. Raises StoreError."""
        if self._file is not None:
            raise self._made_before()
        if decode(content).identity.cluster != self.cluster_name:
            raise StoreError(
                "the state folder in the backup is of another cluster",
                found=decode(content).identity.cluster,
                needed=self.cluster_name,
                todo="give the cluster in the inventory its name back",
            )
        self._write(content, self._passphrase, create_private)

    def essence(self) -> bytes:
        """Return a digest of the identity and of all keys; how far a rotation has come is not in it. Raises StoreError."""
        identity = replace(self._known.identity, rotation=None)
        return hashlib.sha256(encode(identity, self._open_keys(), None)).digest()

    def create(self, trusted: Trusted) -> None:
        """Keep identity and keys that were made otherwise, where there is no folder yet. Raises StoreError."""
        if self._file is not None:
            raise self._made_before()
        self._write(encode(*trusted, self._passphrase), self._passphrase, create_private)

    def keep_encryption(self, document: str) -> None:
        """Keep by which configuration all encrypted objects are written from now on. Raises StoreError."""
        keys = replace(self._open_keys(), encrypted_by=document)
        self._write(encode(self._known.identity, keys, self._passphrase), self._passphrase, replace_private)

    def turned(self, change: Callable[[Trusted], Trusted]) -> Store:
        """Return a store with what a step of a rotation makes of this one; it is written by `keep`. Raises StoreError."""
        identity, keys = change((self._known.identity, self._open_keys()))
        content = encode(identity, keys, self._passphrase)
        store = Store(self.path, self.cluster_name, self._passphrase, decode(content), self._read, self._own)
        store._keys, store._unwritten = keys, content
        return store

    def lacks(self, before: Keys) -> bool:
        """Return whether these keys, of a backup, encrypted objects that today's keys do not read. Raises StoreError."""
        return rotation.unread(self._open_keys(), before) != {}

    def keep(self) -> None:
        """Write what `turned` made, once; of any other store nothing. Raises StoreError."""
        content, self._unwritten = self._unwritten, b""
        if content:
            self._write(content, self._passphrase, replace_private)

    def reach(self, now: datetime) -> None:
        """Keep that all hosts have what the phase of a rotation means, if one runs. Raises StoreError."""
        if self.rotation is not None and not self.rotation.done:
            identity, keys = rotation.reached((self._known.identity, self._open_keys()), now)
            self._write(encode(identity, keys, self._passphrase), self._passphrase, replace_private)

    @contextmanager
    def lock(self, who: str) -> Iterator[None]:
        """Keep other runs of this operator out; the lock ends with the block or with the process.

        who: what is running, for the message others get. Raises LockedError, which names the holder, and StoreError.
        """
        with self._writing("the lock cannot be made"), private_folder(self.path) as folder:
            descriptor = os.open(_LOCK, _LOCK_FLAGS, 0o600, dir_fd=folder)
        with os.fdopen(descriptor, "r+") as file:
            check_private(os.fstat(descriptor), str(self.path / _LOCK), "0600")
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise self._locked(file.read(2000)) from None
            os.ftruncate(descriptor, 0)
            json.dump({"who": who, "by": _operator(), "since": datetime.now(UTC).isoformat(timespec="seconds")}, file)
            file.flush()
            try:
                yield
            finally:
                os.ftruncate(descriptor, 0)

    @property
    def _known(self) -> TrustFile:
        if self._file is None:
            raise StoreError(
                f"the state folder holds no keys of cluster {self.cluster_name}",
                where=str(self.path),
                todo="run `kprov up` to make the cluster, or name the folder that made it with --state-dir",
            )
        return self._file

    def _open_keys(self) -> Keys:
        if self._keys is None:
            self._keys = self._known.keys(self._passphrase)
        return self._keys

    @contextmanager
    def _writing(self, failure: str) -> Iterator[None]:
        """Make the folder if need be; what the system refuses inside becomes a StoreError."""
        make_folder(self.path)
        root = self.path.parent if self.path.parent.name == ROOT else self.path
        try:
            with private_folder(root) as folder:
                if read_private(folder, root / ".gitignore") is None:
                    replace_private(folder, ".gitignore", b"*\n")
            yield
        except OSError as error:
            raise StoreError(failure, where=str(self.path), found=error.strerror or "") from None

    def _write(self, content: bytes, passphrase: Secret | None, put: Callable[[int, str, bytes], None]) -> None:
        file = decode(content)
        keys = file.keys(passphrase)  # what does not open again must neither be used nor take the place of what does
        with self._writing("the keys cannot be written"), private_folder(self.path) as folder:
            fcntl.flock(folder, fcntl.LOCK_EX)  # one writer at a time: no other's unfinished file is removed
            remove_parts(folder)
            if self._file is not None and read_private(folder, self.path / _TRUST) != self._read:
                raise StoreError(
                    "the keys in the state folder have changed since this command read them; nothing was written",
                    where=str(self.path / _TRUST),
                    needed="one command at a time that changes them",
                    todo="run the same command again",
                )
            try:
                put(folder, _TRUST, content)
            except FileExistsError:
                raise self._made_before() from None
        self._file, self._keys, self._passphrase, self._read = file, keys, passphrase, content

    def _made_before(self) -> StoreError:
        return StoreError(
            f"the keys of cluster {self.cluster_name} exist already and are never made twice",
            where=str(self.path / _TRUST),
            todo="run again: kprov then uses the keys that are there",
        )

    def _locked(self, holder: str) -> LockedError:
        try:
            about = json.loads(holder)
            found = f"{about['who']}, by {about['by']}, since {about['since']}"
        except (ValueError, KeyError, TypeError):
            found = "a holder that left no name"
        return LockedError(
            f"another run works on cluster {self.cluster_name}",
            where=str(self.path / _LOCK),
            found=found,
            todo="wait until it ends; the lock goes away with its process, even when that is killed",
        )


def operator_name() -> str:
    """Return who runs this; a user id without an entry in passwd, as containers have, is told by its number."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.geteuid()}"


def _operator() -> str:
    return f"{operator_name()}@{socket.gethostname()} (process {os.getpid()})"


def _read(path: Path) -> TrustFile | None:
    content = _text(path)
    return None if content is None else decode(content)


def _text(path: Path) -> bytes | None:
    try:
        with private_folder(path) as folder:
            return read_private(folder, path / _TRUST)
    except FileNotFoundError:
        return None
