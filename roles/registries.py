"""What runtimes are told of registries: which mirror is asked in whose place, by which CA, with which credentials.

Builders that the runtimes' roles share. A file with credentials is for root alone, and its content is never shown.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from kprov.values.basic_login import basic
from kprov.values.image_reference import DOCKER_HUB, LOCAL, Place, mirror_hosts, place
from kprov.values.model import RegistryAccess, RegistrySettings
from kprov.values.resources import File

_HUB_SERVER = "registry-1.docker.io"  # what docker.io itself is asked at
_ANY = "_default"  # containerd's folder for registries that have none of their own


def containerd_hosts(registry: RegistrySettings, folder: str) -> Iterable[File]:
    """hosts.toml and the CA of each registry that is asked in another way than by its name alone.

    containerd reads them at each pull, so that nothing has to restart. A `server` without further hosts: what the mirror
    does not have is not asked for elsewhere.
    """
    if registry.mirror:
        yield from _hosts_file(f"{folder}/{_ANY}", place(_ANY, registry))
        # What kprov built is in no registry: an image of the mirror's must never pass for it.
        yield from _hosts_file(f"{folder}/{LOCAL}", place(LOCAL, registry))
    for host in asked_hosts(registry):
        yield from _hosts_file(f"{folder}/{_folder_of(host)}", place(host, registry))


def asked_hosts(registry: RegistrySettings) -> tuple[str, ...]:
    """Registries with an entry of their own, and the mirrors' own hosts, which are no mirrors of themselves."""
    return tuple(dict.fromkeys((*registry.registries, *mirror_hosts(registry))))


def accesses(registry: RegistrySettings) -> Mapping[str, RegistryAccess]:
    """Host that is really asked → how, for those that are asked in another way than anybody else."""
    places = [place(host, registry) for host in asked_hosts(registry)]
    return {item.host: item.access for item in places if item.access.given}


def credentials(registry: RegistrySettings) -> bytes:
    """The `auths` document that kubelet, CRI-O and skopeo read; empty when there are no credentials."""
    known = {host: {"auth": _basic(item)} for host, item in accesses(registry).items() if item.username}
    return (json.dumps({"auths": known}, indent=2) + "\n").encode() if known else b""


def secrets(registry: RegistrySettings) -> Iterable[str]:
    """Passwords, and what stands for them in files: for whoever must not show them."""
    for item in (registry.access, *(entry.access for entry in registry.registries.values())):
        if item.password is not None:
            yield from (item.password.reveal(), _basic(item))


def authorities(registry: RegistrySettings, folder: str) -> Iterable[File]:
    """FOLDER/HOST[:PORT]/ca.crt, where Docker and CRI-O look for a registry's CA."""
    for host, item in accesses(registry).items():
        if item.ca:
            yield File(path=f"{folder}/{host}/ca.crt", content=item.ca)


def _folder_of(host: str) -> str:
    """As containerd calls it: a port between `_`."""
    name, colon, port = host.partition(":")
    return f"{name}_{port}_" if colon else host


def _hosts_file(folder: str, where: Place) -> Iterable[File]:
    host = _HUB_SERVER if where.host == DOCKER_HUB else where.host
    lines = [
        "# Written by kprov. What this server does not have is not asked for elsewhere.",
        f'server = "https://{host}/v2/{where.path}"' if where.path else f'server = "https://{host}"',
        'capabilities = ["pull", "resolve"]',
    ]
    if where.path:
        lines.append("override_path = true")
    if where.access.ca:
        yield File(path=f"{folder}/ca.crt", content=where.access.ca)
        lines.append(f'ca = "{folder}/ca.crt"')
    if where.access.username:
        lines += ["", "[header]", f'Authorization = "Basic {_basic(where.access)}"']
    yield File(
        path=f"{folder}/hosts.toml",
        content="".join(f"{line}\n" for line in lines).encode(),
        mode=0o600,
        secret=bool(where.access.username),
    )


def _basic(access: RegistryAccess) -> str:
    return basic(access.username, access.password)
