"""The files that make a virtual machine out of the shared image, as a tar that the machine reads like a disk.

Writes nothing: the bytes hold the machine's private host key and a password.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator

from kprov.lab import apt, guest
from kprov.lab.layout import Lab, Machine

_SECTOR = 512


def content(lab: Lab, machine: Machine, *, host_key: bytes, authorized_key: str, nameservers: tuple[str, ...]) -> bytes:
    """The tar, in whole sectors. nameservers: texts of this host's resolv.conf files, the one to prefer first."""
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w") as archive:
        for user, home in guest.USERS.items():
            _add(archive, f"{home}/.ssh", 0o700, None, user)
        for path, mode, text in _files(lab, machine, host_key, authorized_key, nameservers):
            owner = next((user for user, home in guest.USERS.items() if path.startswith(f"{home}/")), "root")
            _add(archive, path, mode, text, owner)
    return output.getvalue()


def _files(
    lab: Lab, machine: Machine, host_key: bytes, authorized_key: str, nameservers: tuple[str, ...]
) -> Iterator[tuple[str, int, bytes]]:
    for path, mode, text in guest.text_files(lab, machine, authorized_key):
        yield path, mode, text.encode()
    yield "etc/ssh/ssh_host_ed25519_key", 0o600, host_key
    yield "etc/resolv.conf", 0o644, apt.nameservers(nameservers).encode()
    yield "root/kprov-lab-password", 0o600, f"admin:{lab.admin_password.reveal()}\n".encode()


def _add(archive: tarfile.TarFile, path: str, mode: int, content: bytes | None, owner: str) -> None:
    entry = tarfile.TarInfo(path)
    entry.mode = mode
    entry.uname = entry.gname = owner  # by name: the machine knows its users' numbers
    if content is None:
        entry.type = tarfile.DIRTYPE
        archive.addfile(entry)
    else:
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
