"""Names of images and where they are really asked for: the rewrite that `registry:` of an inventory asks for. Pure.

The same table makes the runtimes' configuration and rewrites references where a runtime cannot. What is in no registry
(`kprov.local/…`, which kprov puts into the stores itself) is never rewritten.
"""

from __future__ import annotations

from dataclasses import dataclass

from kprov.values.model import RegistryAccess, RegistrySettings

DOCKER_HUB = "docker.io"
LOCAL = "kprov.local"


@dataclass(frozen=True, kw_only=True)
class Reference:
    """`registry.k8s.io/pause:3.10.2` in its parts; `suffix` is the tag or digest, or both, with what they begin with."""

    host: str
    repository: str
    suffix: str


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the images of one registry are asked for. path: what comes before the repository, `k8s` or empty."""

    host: str
    path: str
    access: RegistryAccess


def parse(reference: str) -> Reference:
    """The parts of a reference; a host that is left out is Docker Hub, as every runtime takes it."""
    name, at, digest = reference.partition("@")
    tag = ""
    if ":" in name.rpartition("/")[2]:
        name, _, tag = name.rpartition(":")
    host, slash, repository = name.partition("/")
    if not slash or not ("." in host or ":" in host or host == "localhost"):
        host, repository = DOCKER_HUB, name
    if host == DOCKER_HUB and "/" not in repository:
        repository = f"library/{repository}"
    return Reference(host=host, repository=repository, suffix=(f":{tag}" if tag else "") + at + digest)


def place(host: str, registry: RegistrySettings) -> Place:
    """Where what is called HOST/… is asked for, and how.

    An entry of its own decides; without one the mirror for all takes the place, except of those that are mirrors.
    """
    mirror = _mirror(host, registry)
    asked, _, path = (mirror or host).partition("/")
    return Place(host=asked, path=path, access=access(asked, registry))


def _mirror(host: str, registry: RegistrySettings) -> str:
    if host == LOCAL:
        return ""
    if host in registry.registries:
        return registry.registries[host].mirror
    return "" if host in mirror_hosts(registry) else registry.mirror


def mirror_hosts(registry: RegistrySettings) -> tuple[str, ...]:
    """The hosts of all mirrors, each once."""
    mirrors = (registry.mirror, *(entry.mirror for entry in registry.registries.values()))
    return tuple(dict.fromkeys(mirror.partition("/")[0] for mirror in mirrors if mirror))


def access(host: str, registry: RegistrySettings) -> RegistryAccess:
    """Authority and credentials for a host that is really asked: its own, or those that stand beside a mirror there."""
    own = registry.registries.get(host)
    if own is not None and not own.mirror and own.access.given:
        return own.access
    for entry in registry.registries.values():
        if entry.mirror.partition("/")[0] == host and entry.access.given:
            return entry.access
    return registry.access if registry.mirror.partition("/")[0] == host else RegistryAccess()


def rewritten(reference: str, registry: RegistrySettings) -> str:
    """The reference under which an image is really had, for what cannot rewrite by itself; as it is without a mirror."""
    parts = parse(reference)
    mirror = _mirror(parts.host, registry)
    return f"{mirror}/{parts.repository}{parts.suffix}" if mirror else reference
