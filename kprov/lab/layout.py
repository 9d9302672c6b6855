"""What a lab is, as values: names, addresses, folders, and the record it leaves on disk. Must not touch the host."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any, Literal

from kprov.values.errors import LabError
from kprov.values.model import GROUPS, Group
from kprov.values.secret import Secret

LABS = Path("/var/lib/kprov-lab")
CACHE = Path("/var/cache/kprov-lab")
NETWORK = IPv4Network("10.77.0.0/16")
SUITES = ("bookworm", "trixie")
MAX_MACHINES = 200

# What runtimes keep cannot stand on an overlay, and etcd wants a real disk's fsync. /srv is for tests.
REAL_FOLDERS = ("/var/lib/containerd", "/var/lib/docker", "/var/lib/crio", "/var/lib/kubelet", "/var/lib/etcd", "/srv")

_LAB_NAME = re.compile(r"[a-z]([a-z0-9-]{0,22}[a-z0-9])?")
_MACHINE_NAME = re.compile(r"[a-z]([a-z0-9-]{0,22}[a-z0-9])?")
_FIRST_HOST = 11


Accelerator = Literal["kvm", "tcg"]  # QEMU's words: this computer's processors as they are, or emulated ones


@dataclass(frozen=True, kw_only=True)
class VmSize:
    """What a virtual machine has: MiB of memory, GiB of disk, processors."""

    memory: int = 2560
    disk: int = 12
    processors: int = 2

    def __str__(self) -> str:
        return f"{self.memory} MiB of memory, {self.disk} GiB of disk, {self.processors} processors"


@dataclass(frozen=True, kw_only=True)
class MachineSpec:
    """A machine to make: its name becomes its hostname; `groups` is what an inventory of the lab says of it.

    vm: size of a virtual machine with a kernel of its own; None: a container.
    """

    name: str
    groups: tuple[Group, ...] = ("control_plane", "worker")
    vm: VmSize | None = None


@dataclass(frozen=True, kw_only=True)
class Machine:
    """One machine of a lab. `host_key` is its SSH host key as an inventory writes it ("ssh-ed25519 AAAA…")."""

    lab: str
    name: str
    groups: tuple[Group, ...]
    address: str
    host_key: str
    vm: VmSize | None = None

    @property
    def kind(self) -> str:
        return "container" if self.vm is None else "vm"

    @property
    def identity(self) -> str:
        """Name of its nspawn machine and of its cgroups."""
        return identity(self.lab, self.name)

    @property
    def folder(self) -> Path:
        return LABS / self.lab / "machines" / self.name

    @property
    def root(self) -> Path:
        """A container's root file system as the host sees it, an overlay, mounted as long as the lab exists."""
        return self.folder / "root"

    def real_folder(self, path: str) -> Path:
        """The folder outside the overlay that is bound over `path`, one of REAL_FOLDERS."""
        return self.folder / "data" / Path(path).name

    @property
    def key(self) -> Path:
        """Private key that root, admin and deploy accept, mode 0600; one for all machines of the lab."""
        return key_file(self.lab)

    @property
    def console(self) -> Path:
        return self.folder / "console.log"


@dataclass(frozen=True, kw_only=True)
class Lab:
    """A set of machines on one bridge. `index` is the third octet of its /24 and the number of its bridge.

    image, accelerator: of its virtual machines; None when it has none.
    """

    name: str
    index: int
    suite: str
    base: Path
    machines: tuple[Machine, ...]
    admin_password: Secret
    complete: bool = False
    image: Path | None = None
    accelerator: Accelerator | None = None

    @property
    def folder(self) -> Path:
        return LABS / self.name

    @property
    def key(self) -> Path:
        """Private key that root, admin and deploy accept on every machine, mode 0600."""
        return key_file(self.name)

    @property
    def network(self) -> IPv4Network:
        return subnet(self.index)

    @property
    def gateway(self) -> str:
        return str(self.network[1])

    @property
    def bridge(self) -> str:
        return f"kprov-lab{self.index}"

    @property
    def nft_table(self) -> str:
        return f"kprov_lab{self.index}"

    def machine(self, name: str) -> Machine:
        """The machine of that name. Raises LabError."""
        for machine in self.machines:
            if machine.name == name:
                return machine
        raise LabError(
            f"there is no machine {name!r} in this lab",
            where=f"lab {self.name}",
            needed="one of " + ", ".join(machine.name for machine in self.machines),
        )


def key_file(lab: str) -> Path:
    return LABS / lab / "id_ed25519"


def identity(lab: str, machine: str) -> str:
    """`kprov-LAB-MACHINE`, at most 55 characters: a valid hostname label and cgroup name."""
    return f"kprov-{lab}-{machine}"


def subnet(index: int) -> IPv4Network:
    """The /24 of lab number `index`, 1 to 254."""
    return IPv4Network((int(NETWORK.network_address) + index * 256, 24))


def address(index: int, position: int) -> str:
    """Address of the machine at `position` (from 0) in lab number `index`: .11, .12, …"""
    return str(IPv4Address(int(subnet(index).network_address) + _FIRST_HOST + position))


def free_index(taken: Sequence[int], routes: Sequence[IPv4Network]) -> int:
    """The lowest lab number whose /24 no lab has and no route of the host touches. Raises LabError."""
    for index in range(1, 255):
        if index not in taken and not any(subnet(index).overlaps(route) for route in routes):
            return index
    raise LabError(
        "no subnet is left for a lab",
        found=f"the host has labs in, or routes to, all of {NETWORK}",
        needed=f"one free /24 of {NETWORK}",
        todo="remove labs you no longer need (kprov lab list, kprov lab down NAME)",
    )


def check_name(name: str) -> None:
    """Raises LabError unless `name` may be a lab's name."""
    _match(_LAB_NAME, name, "lab")


def check_machines(lab: str, machines: Sequence[MachineSpec], others: Mapping[str, Sequence[str]]) -> None:
    """Raises LabError for bad, double or clashing names. `others`: the machine names of each other lab."""
    if not 1 <= len(machines) <= MAX_MACHINES:
        raise LabError(
            "a lab needs machines", where=f"lab {lab}", found=str(len(machines)), needed=f"1 to {MAX_MACHINES}"
        )
    seen: set[str] = set()
    for spec in machines:
        _match(_MACHINE_NAME, spec.name, "machine")
        for group in spec.groups:
            if group not in GROUPS:
                raise LabError("unknown group", where=f"machine {spec.name}", found=group, needed=" or ".join(GROUPS))
        if spec.name in seen:
            raise LabError("two machines have the same name", where=f"lab {lab}", found=spec.name)
        seen.add(spec.name)
    ours = {identity(lab, name) for name in seen}
    for other, names in others.items():
        if clash := ours & {identity(other, name) for name in names}:
            raise LabError(
                "a machine of another lab has the same full name",
                where=f"lab {lab}",
                found=f"{clash.pop()} in lab {other}",
                todo="choose another lab or machine name",
            )


def require_same(lab: Lab, machines: Sequence[MachineSpec], suite: str) -> None:
    """Raises LabError unless the lab was made with these machines."""
    have = [(machine.name, machine.groups, machine.vm) for machine in lab.machines]
    want = [(spec.name, spec.groups, spec.vm) for spec in machines]
    if have != want or lab.suite != suite:
        raise LabError(
            f"lab {lab.name} exists with other machines",
            found=_told(have, lab.suite),
            needed=_told(want, suite),
            todo=f"kprov lab down {lab.name}, or choose another name",
        )


def _told(machines: Sequence[tuple[str, tuple[Group, ...], VmSize | None]], suite: str) -> str:
    return ", ".join(f"{name} (vm: {vm})" if vm else name for name, _, vm in machines) + f" ({suite})"


def _match(pattern: re.Pattern[str], name: str, kind: str) -> None:
    if not pattern.fullmatch(name):
        raise LabError(
            f"not a name for a {kind}",
            found=repr(name),
            needed="1 to 24 lower case letters, digits and hyphens; a letter first, no hyphen last",
        )


def to_record(lab: Lab) -> dict[str, Any]:
    """The lab as JSON values, without its password (that has a file of its own, 0600)."""
    return {
        "format": 1,
        "name": lab.name,
        "index": lab.index,
        "suite": lab.suite,
        "base": str(lab.base),
        "image": str(lab.image) if lab.image else None,
        "accelerator": lab.accelerator,
        "complete": lab.complete,
        "machines": [
            {
                "name": machine.name,
                "groups": list(machine.groups),
                "address": machine.address,
                "host_key": machine.host_key,
                "vm": dataclasses.asdict(machine.vm) if machine.vm else None,
            }
            for machine in lab.machines
        ],
    }


def from_record(record: Mapping[str, Any], admin_password: Secret) -> Lab:
    """The inverse of `to_record`. Raises KeyError, TypeError or ValueError for a record of another shape."""
    if record["format"] != 1:
        raise ValueError(f"unknown format {record['format']!r}")
    name = str(record["name"])
    return Lab(
        name=name,
        index=int(record["index"]),
        suite=str(record["suite"]),
        base=Path(record["base"]),
        image=Path(record["image"]) if record.get("image") else None,
        accelerator=record.get("accelerator"),
        complete=bool(record["complete"]),
        admin_password=admin_password,
        machines=tuple(
            Machine(
                lab=name,
                name=str(entry["name"]),
                groups=tuple(entry["groups"]),
                address=str(entry["address"]),
                host_key=str(entry["host_key"]),
                vm=VmSize(**entry["vm"]) if entry.get("vm") else None,
            )
            for entry in record["machines"]
        ),
    )
