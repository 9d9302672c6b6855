"""What makes one machine out of what all share: its files. Writes only below the machine's own folder."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from kprov.lab import sources
from kprov.lab.commands import run
from kprov.lab.layout import REAL_FOLDERS, Lab, Machine
from kprov.lab.mounts import mount_overlay

# Users that accept the lab's key, with their home; admin's sudo asks for its password, deploy's does not.
USERS = {"root": "root", "admin": "home/admin", "deploy": "home/deploy"}

SSHD = """\
HostKey /etc/ssh/ssh_host_ed25519_key
PermitRootLogin prohibit-password
"""


def new_key_pair(comment: str) -> tuple[bytes, str]:
    """An Ed25519 key pair: (private key in OpenSSH's form, public key as one line "ssh-ed25519 AAAA… comment")."""
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()), f"{public} {comment}".strip()


def write_private(file: Path, content: bytes) -> None:
    """Write a file that was never readable by others, under its final name only when it is whole."""
    partial = file.with_name(f".{file.name}.new")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as output:
        output.write(content)
        output.flush()
        os.fsync(descriptor)
    partial.rename(file)


def interface(machine: Machine) -> str:
    """Name of the machine's one interface, inside it: nspawn's, or the kernel's own."""
    return "host0" if machine.vm is None else "eth0"


def network_file(lab: Lab, machine: Machine) -> str:
    """systemd-networkd's file for the machine's one interface."""
    return f"""\
[Match]
Name={interface(machine)}

[Network]
Address={machine.address}/{lab.network.prefixlen}
Gateway={lab.gateway}
LinkLocalAddressing=no
IPv6AcceptRA=no
"""


def hosts_file(machine: Machine) -> str:
    return f"127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n{machine.address} {machine.name}\n"


def text_files(lab: Lab, machine: Machine, authorized_key: str) -> Iterator[tuple[str, int, str]]:
    """(path below the root, mode, text) of each file that is the machine's own and no secret.

    What is below a user's home is that user's, everything else is root's.
    """
    yield "etc/hostname", 0o644, f"{machine.name}\n"
    yield "etc/hosts", 0o644, hosts_file(machine)
    if machine.vm is None:
        yield "etc/machine-id", 0o444, f"{uuid.uuid4().hex}\n"  # a virtual machine makes its own
    yield f"etc/systemd/network/10-{interface(machine)}.network", 0o644, network_file(lab, machine)
    yield "etc/ssh/sshd_config.d/kprov-lab.conf", 0o644, SSHD
    for home in USERS.values():
        yield f"{home}/.ssh/authorized_keys", 0o600, f"{authorized_key}\n"


def prepare(lab: Lab, machine: Machine, *, host_key: bytes, authorized_key: str) -> None:
    """Make the machine's folders and its root, with everything in it that tells it from others. Raises LabError."""
    mount(lab, machine)
    for path, mode, text in text_files(lab, machine, authorized_key):
        file = machine.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.unlink(missing_ok=True)
        file.write_text(text, encoding="utf-8")
        file.chmod(mode)
    write_private(machine.root / "etc/ssh/ssh_host_ed25519_key", host_key)
    # Again, though the base has them: this host's name servers may be others than when the base was made.
    sources.write(machine.root, sources.files_for(lab.suite))
    password = f"admin:{lab.admin_password.reveal()}\n"
    run(["chroot", str(machine.root), "chpasswd"], text=password, timeout=60)
    for user, home in USERS.items():
        folder = f"/{home}/.ssh"
        run(["chroot", str(machine.root), "chmod", "0700", folder], timeout=60)
        run(["chroot", str(machine.root), "chown", "-R", f"{user}:{user}", folder], timeout=60)


def mount(lab: Lab, machine: Machine) -> None:
    """Mount the machine's root and make the folders that go over it; idempotent. Raises LabError."""
    for path in REAL_FOLDERS:
        machine.real_folder(path).mkdir(parents=True, exist_ok=True)
    folder = machine.folder
    mount_overlay(lower=lab.base, upper=folder / "upper", work=folder / "work", target=machine.root)
    for path in REAL_FOLDERS:
        (machine.root / path.lstrip("/")).mkdir(parents=True, exist_ok=True)
