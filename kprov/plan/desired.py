"""What roles want on a host, completed by what that implies, and the keys under which a manifest knows it. Pure."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence

from kprov.values.resources import Certificate, Directory, File, KernelModule, Key, Resource, SwapOff, Sysctl, Unit

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
                    raise ValueError(f"{stage}: {resource.key} is wanted in two ways")
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
    paths = [getattr(resource, name) for name in ("path", "key_path") if hasattr(resource, name)]
    ends = [(path, end) for path in paths for end in range(1, len(path)) if path[end] == "/"]
    return [folder for folder in dict.fromkeys(path[:end] for path, end in ends) if folder not in _SYSTEM_FOLDERS]


def record_keys(resource: Resource) -> tuple[Key, ...]:
    """The keys under which the host's manifest knows a resource."""
    if isinstance(resource, Certificate):
        return (("file", resource.path), ("file", resource.key_path))
    if isinstance(resource, Unit):
        return (("unit", resource.name), ("file", resource.path))
    if isinstance(resource, SwapOff):
        return (("swap", "off"),)
    return (resource.key,)


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
