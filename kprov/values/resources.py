"""The things on a host that can be compared: what a role wants there.

Values only: a resource knows neither how it is observed nor how it is put in place. Two resources of one host are the
same thing when their `key` is equal.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

from kprov.values.certificate import CertificateSpec

Key = tuple[str, str]  # kind, name

CONTAINERD = "/run/containerd/containerd.sock"


FILE = "{}"  # in a check's words: the complete new file, before it has its name

Check = tuple[str, ...]  # a program and its arguments


@dataclass(frozen=True, kw_only=True)
class File:
    """A text or small binary file, put in place atomically with owner and mode set before content.

    check: the program that will read it, asked on the host what it thinks of the new file (`FILE` in its arguments)
    before that gets its name: when it fails, everything stays as it was. Empty where no program can be asked.
    """

    path: str
    content: bytes
    owner: str = "root"
    group: str = "root"
    mode: int = 0o644
    secret: bool = False  # its content is never shown, not even as a difference
    check: Check = ()

    @property
    def key(self) -> Key:
        return ("file", self.path)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Directory:
    """A directory; one that was there before kprov is left behind by `down`."""

    path: str
    owner: str = "root"
    group: str = "root"
    mode: int = 0o755
    purge: bool = False  # `down` removes it with all it holds: data that only this cluster made
    data: bool = False  # it outlives the wish for it, until `--delete-data` or `down`

    @property
    def key(self) -> Key:
        return ("directory", self.path)


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A file that upstream publishes, or that was built from pinned modules: the installed program or image itself.

    name: catalog name, e.g. `kube-apiserver`. sha256 and size are of the installed file (after unpacking an archive).
    local: path in the operator's cache. url: where upstream or the mirror has it, empty when it was built here.
    copy: where a mirror folder holds the installed file itself, by its sha256; empty without a mirror.
    url_sha256: of the download when it is an archive; member: the file inside that archive.
    reference: for images, the name it is imported under: upstream's for upstream's own, `kprov.local/…` for one built
    here, which must never pass for upstream's.
    """

    name: str
    version: str
    arch: str
    sha256: str
    size: int
    local: str
    url: str = ""
    url_sha256: str = ""
    member: str = ""
    copy: str = ""
    reference: str = ""


@dataclass(frozen=True, kw_only=True)
class Binary:
    """A program from an artifact."""

    path: str
    artifact: Artifact
    mode: int = 0o755

    @property
    def key(self) -> Key:
        return ("binary", self.path)


@dataclass(frozen=True, kw_only=True)
class Image:
    """A container image (OCI layout tar) put into the runtime's store under `reference`.

    store: the socket of what keeps it (containerd's `k8s.io` namespace, Docker, CRI-O). It is a part of the name, so that
    the same image in another runtime's store is another thing.
    """

    reference: str
    artifact: Artifact
    store: str = CONTAINERD

    @property
    def key(self) -> Key:
        return ("image", self.reference if self.store == CONTAINERD else f"{self.reference} {self.store}")


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """A leaf certificate and its key, desired by specification and not by content: any pair that satisfies it will do."""

    path: str
    key_path: str
    spec: CertificateSpec
    owner: str = "root"
    group: str = "root"

    @property
    def key(self) -> Key:
        return ("certificate", self.path)


@dataclass(frozen=True, kw_only=True)
class Gate:
    """A health question asked on the host, repeated until it passes or the deadline is over.

    kind: `active` (unit is active; argument: unit), `http` (argument: `PORT PATH`, plain HTTP 200 on 127.0.0.1),
    `listens` (argument: PORT), `command` (argument: a program and its arguments, words separated by blanks, no shell),
    `cri` (argument: the socket of a containerd, whose CRI plugin has to be loaded).
    """

    kind: Literal["active", "http", "listens", "command", "cri"]
    argument: str
    deadline: int = 60  # seconds


@dataclass(frozen=True, kw_only=True)
class Unit:
    """A systemd service: enabled, running, and running with what it reads.

    reads: paths of files and binaries (of this host's resources) that it reads only at start; the stamp hashes them.
    reloads: paths it re-reads by itself, so that a change there needs no restart.
    heartbeat: whether it renews its Node's lease, so that the cluster can be asked for a heartbeat newer than its start.
    check: as of a File, for the command line in it.
    """

    name: str  # with suffix: `etcd.service`
    content: bytes
    reads: frozenset[str] = frozenset()
    reloads: frozenset[str] = frozenset()
    gates: tuple[Gate, ...] = ()
    heartbeat: bool = False
    check: Check = ()

    @property
    def key(self) -> Key:
        return ("unit", self.name)

    @property
    def path(self) -> str:
        return f"/etc/systemd/system/{self.name}"


@dataclass(frozen=True, kw_only=True)
class Sysctl:
    """A kernel parameter, set now and at boot (/etc/sysctl.d/zz-kprov.conf is written from all of a host's)."""

    name: str  # net.ipv4.ip_forward
    value: str

    @property
    def key(self) -> Key:
        return ("sysctl", self.name)


@dataclass(frozen=True, kw_only=True)
class KernelModule:
    """A kernel module, loaded now and at boot; one that is built in is there already."""

    name: str

    @property
    def key(self) -> Key:
        return ("module", self.name)


@dataclass(frozen=True, kw_only=True)
class User:
    """A system user with a group of the same name, no shell and no password."""

    name: str
    home: str = "/nonexistent"

    @property
    def key(self) -> Key:
        return ("user", self.name)


@dataclass(frozen=True, kw_only=True)
class Package:
    """A package of the distribution; `command` tells whether it is there; a service it brings is kept off."""

    name: str
    command: str
    service: str = ""

    @property
    def key(self) -> Key:
        return ("package", self.name)


@dataclass(frozen=True, kw_only=True)
class SwapOff:
    """Swap is off now and stays off after a reboot."""

    @property
    def key(self) -> Key:
        return ("swap", "off")


Resource = File | Directory | Binary | Image | Certificate | Unit | Sysctl | KernelModule | User | Package | SwapOff
