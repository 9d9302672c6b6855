"""What roles want on a host, completed by what that implies, and the keys under which a ledger knows it. Pure."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import assert_never

from kprov.values.resources import (
    Binary,
    Certificate,
    Directory,
    File,
    Image,
    KernelModule,
    Key,
    Package,
    Resource,
    SwapOff,
    Sysctl,
    Unit,
    User,
)

SYSCTL_FILE = "/etc/sysctl.d/zz-kprov.conf"  # the last name wins at boot, wherever a file lies
MODULES_FILE = "/etc/modules-load.d/kprov.conf"

# Folders of the distribution: never made and never removed by kprov.
_SYSTEM_FOLDERS = frozenset(
    (
        *("/etc", "/opt", "/usr", "/usr/local", "/usr/local/bin", "/var", "/var/lib", "/var/log", "/run"),
        *("/etc/systemd", "/etc/systemd/system", "/etc/sysctl.d", "/etc/modules-load.d"),
    )
)

Desired = Mapping[str, Sequence[Resource]]  # stage → resources, in stage order


def expand(desired: Desired) -> dict[str, tuple[Resource, ...]]:
    """Adds what resources imply: parent directories, and the files that make sysctls and modules last over a reboot.

    Raises ValueError when two stages want different things under one key.
    """
    expanded: dict[str, tuple[Resource, ...]] = {}
    seen: dict[Key, Resource] = {}
    explicit = {
        resource.path for resources in desired.values() for resource in resources if isinstance(resource, Directory)
    }
    for stage, resources in desired.items():
        kept: list[Resource] = []
        for resource in [*_lasting(resources), *resources]:
            for parent in _parents(resource):
                if parent not in explicit and ("directory", parent) not in seen:
                    directory = Directory(path=parent)
                    seen[directory.key] = directory
                    kept.append(directory)
            if resource.key in seen:
                if seen[resource.key] != resource:
                    raise ValueError(f"{stage}: {resource.key} is desired in two ways")
                continue
            seen[resource.key] = resource
            kept.append(resource)
        expanded[stage] = tuple(kept)
    return expanded


def _lasting(resources: Iterable[Resource]) -> Iterable[File]:
    sysctls = [resource for resource in resources if isinstance(resource, Sysctl)]
    modules = [resource for resource in resources if isinstance(resource, KernelModule)]
    if sysctls:
        text = "".join(f"{sysctl.name} = {sysctl.value}\n" for sysctl in sysctls)
        yield File(path=SYSCTL_FILE, content=text.encode())
    if modules:
        yield File(path=MODULES_FILE, content="".join(f"{module.name}\n" for module in modules).encode())


def _parents(resource: Resource) -> Iterable[str]:
    """Folders above its files, outermost first; as text, since a run asks this of every file on every host."""
    ends = [(path, end) for path in resource_paths(resource) for end in range(1, len(path)) if path[end] == "/"]
    return [folder for folder in dict.fromkeys(path[:end] for path, end in ends) if folder not in _SYSTEM_FOLDERS]


def resource_paths(resource: Resource) -> tuple[str, ...]:
    """Return where a resource is in the file system; nowhere for what is no file."""
    match resource:
        case Certificate():
            return (resource.path, resource.key_path)
        case File() | Binary() | Unit() | Directory():
            return (resource.path,)
        case Image() | Sysctl() | KernelModule() | User() | Package() | SwapOff():
            return ()
        case unknown:
            assert_never(unknown)


def record_keys(resource: Resource) -> tuple[Key, ...]:
    """The keys under which the host's ledger knows a resource."""
    match resource:
        case Certificate():
            return (("file", resource.path), ("file", resource.key_path))
        case Unit():
            return (resource.key, ("file", resource.path))
        case File() | Directory() | Binary() | Image() | Sysctl() | KernelModule() | User() | Package() | SwapOff():
            return (resource.key,)
        case unknown:
            assert_never(unknown)


def questions(desired: Desired, records: Container[Key]) -> tuple[Key, ...]:
    """Return what must be looked at on a host before it can be compared with `wanted`, besides what is recorded there.

    A folder that `down` will empty is also asked about what it holds now (kind `holds`): that is somebody else's.
    """
    keys: list[Key] = []
    for resources in desired.values():
        for resource in resources:
            lacking = [key for key in record_keys(resource) if key not in records]
            keys.extend(lacking)
            if lacking and isinstance(resource, Directory) and resource.purge:
                keys.append(("holds", resource.path))
    return tuple(dict.fromkeys(keys))
