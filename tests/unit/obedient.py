"""Hosts that exist only in a test and do all they are told: the probe's questions and apply.sh's operations, by their wire
formats. They keep what they were given, so that a second run finds it. Nothing fails on them, and no component runs."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count

import yaml
from sent import answer_line, members, received
from texts_archive import archived

from kprov.apply import wire
from kprov.apply.scripts import APPLY_COMMAND
from kprov.objects.objects import Identity, Object, identity
from kprov.observe.probe import PROBE_COMMAND
from kprov.plan.conversation import Answer
from kprov.transport.base import Result
from kprov.values.model import Host

_FACTS = {
    "uid": "0",
    "arch": "x86_64",
    "kernel": "6.1.0",
    "os_id": "debian",
    "os_version": "12",
    "systemd": "252",
    "cgroup": "2",
    "cpus": "4",
    "memory": str(8 << 30),
    "swap": "no",
    "nft": "1.0.6",
}
_COMMANDS = (
    "nft",
    "bridge",
    "haproxy",
    "openssl",
    "curl",
    "bash",
    "tar",
    "gzip",
    "flock",
    "sudo",
    "apt-get",
    "modprobe",
)
_MODULES = ("overlay", "br_netfilter", "nf_conntrack", "nf_tables", "vxlan")
# What is waited for, or done again at each boot, and leaves nothing to be seen.
_WITHOUT_TRACE = (
    *(wire.Gate, wire.Steady, wire.NodesReady, wire.Reach),
    *(wire.Check, wire.Checkpoint, wire.ReloadUnits, wire.Swapoff, wire.Alone, wire.Keep),
)

Payload = Mapping[str, bytes]

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(kw_only=True)
class Machine:
    """What one host has."""

    number: int
    generation: str = ""
    well: dict[str, str] = field(default_factory=dict)
    records: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)  # kind and name → value, before
    paths: dict[str, tuple[str, str, str, str]] = field(default_factory=dict)  # → mode, owner, group, stat's word
    contents: dict[str, bytes] = field(default_factory=dict)
    sums: dict[str, str] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    stamps: dict[str, str] = field(default_factory=dict)
    images: dict[str, str] = field(default_factory=dict)
    pinned: set[str] = field(default_factory=set)
    sysctls: dict[str, str] = field(default_factory=dict)
    others: set[tuple[str, str]] = field(default_factory=set)  # users, modules
    commands: set[str] = field(default_factory=set)
    members: str = ""  # etcd's member list, JSON
    data: bytes = b""  # the snapshot that its etcd began with
    aside: list[str] = field(default_factory=list)  # tokens under which data was kept
    says: tuple[str, ...] = ()  # lines of its probe's answer besides


@dataclass(kw_only=True)
class Obedient:
    """The hosts and the cluster's objects; `answer` is a FakeTransport's handler."""

    machines: dict[str, Machine] = field(default_factory=dict)
    objects: dict[Identity, Object] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=lambda: count(1))  # hosts are asked side by side
    address: Callable[[str, int], str] = lambda _, number: f"192.0.2.{10 + number}"  # by name and number
    prefix: int = 24  # of their network

    def answer(self, host: Host, command: str, stdin: bytes) -> Result:
        if host.name not in self.machines:
            self.machines[host.name] = Machine(number=next(self.numbers))
        machine = self.machines[host.name]
        if command == PROBE_COMMAND:
            lines = ["kprov-probe begin", *self._told(host.name, machine, stdin), "kprov-probe end"]
        elif command == APPLY_COMMAND:
            lines = list(self._done(machine, stdin))
        elif "run.lock" in command:
            lines = [f"locked {machine.generation}"]
        else:
            raise AssertionError(f"{host.name} was asked to run {command}")
        return Result(status=0, stdout="".join(f"{line}\n" for line in lines).encode(), stderr=b"")

    def _told(self, name: str, machine: Machine, stdin: bytes) -> Iterator[str]:
        asked = [tuple(line.split("\t")) for line in _here_document(stdin)]
        address = self.address(name, machine.number)
        facts = {**_FACTS, "clock": f"{time.time():f}", "hostname": name, "machine_id": f"{machine.number:032d}"}
        facts |= {"default_address": address, "generation": machine.generation}
        yield from (f"fact\t{key}\t{value}" for key, value in facts.items())
        yield from (f"fact\tcommand\t{command}" for command in {*_COMMANDS, *machine.commands})
        yield from (f"module\t{module}\tpresent" for module in _MODULES)
        yield from (f"disk\t{folder}\t{50 << 30} {99 << 30}" for folder in ("/etc", "/opt", "/var", "/var/lib"))
        yield from machine.says
        yield from ("link\teth0\t1500", f"address\teth0\t{address}/{self.prefix}")
        yield from (f"well\t{host}\t{value}" for host, value in machine.well.items())
        for (kind, key), (value, before) in machine.records.items():
            yield f"record\t{kind}\t{key}\t{value}\t-\t{before}"
        known = set(machine.records) | {(row[0], row[1]) for row in asked}
        for path, (mode, owner, group, word) in machine.paths.items():
            if known & {("file", path), ("binary", path), ("directory", path), ("path", path)}:
                yield f"stat\t{path}\t{mode}\t{owner}\t{group}\t{word}\t1:1:1:1"
        yield from (f"sum\t{path}\t{digest}" for path, digest in machine.sums.items())
        shown = {
            path.removeprefix("/"): content
            for path, content in machine.contents.items()
            if path.endswith(".crt") or ("text", path) in known
        }
        yield f"texts\tarchive\t{archived(shown)}"
        yield from (f"unit\t{unit}\t{state} enabled no loaded" for unit, state in machine.units.items())
        yield from (f"stamp\t{unit}\t{value}" for unit, value in machine.stamps.items())
        yield from (f"sysctl\t{key}\t{value}" for key, value in machine.sysctls.items())
        yield from (f"{'loaded' if kind == 'module' else kind}\t{key}\tyes" for kind, key in sorted(machine.others))
        yield from (f"image\t{key}\t{'-' if key in machine.pinned else 'loose'}" for key in machine.images)
        if machine.members:
            yield "etcd\tdata\t20480"
            if machine.units.get("etcd.service") == "active":
                yield f"etcd\tmembers\t{_base64(machine.members.encode())}"
        stored = any(one.members for one in self.machines.values())  # without etcd no API server lists anything
        if any(row[0] == "objects" for row in asked) and "kube-apiserver.service" in machine.units and stored:
            found = {"items": [_living(item) for item in self.objects.values()]}
            yield f"objects\tfound\t{_base64(gzip.compress(json.dumps(found).encode()))}"

    def _done(self, machine: Machine, stdin: bytes) -> Iterator[str]:
        sent = members(stdin)
        machine.generation = sent["generation"].decode().strip()
        for line in sent["announce"].decode().splitlines():
            kind, name, value = line.split("\t")
            machine.records.setdefault((kind, name), (value, "absent"))
        payload = {name.removeprefix("payload/"): content for name, content in sent.items()}
        for number, operation in enumerate(received(stdin), start=1):
            if isinstance(operation, wire.Started):
                yield f"told\t{number}\t{_base64(b'1796046080123456')}"
            elif isinstance(operation, wire.Ask):
                yield answer_line(number, self._answered(machine, payload, operation)).rstrip("\n")
            elif isinstance(operation, wire.PodAddresses):
                yield f"told\t{number}\t{_base64(self._addresses(operation.label).encode())}"
            elif not isinstance(operation, _WITHOUT_TRACE):
                getattr(self, f"_do_{operation.word}")(machine, payload, operation)
            yield f"ok\t{number}\t-"
        yield "done\t0\t-"

    def _addresses(self, label: str) -> str:
        """NODE ADDRESS of the pods with a label."""
        name, _, value = label.partition("=")
        pods = [item for item in self.objects.values() if item["kind"] == "Pod"]
        nodes = [item["spec"]["nodeName"] for item in pods if item["metadata"]["labels"].get(name) == value]
        return "\n".join(f"{node} 10.244.{number}.9" for number, node in enumerate(nodes))

    def _answered(self, machine: Machine, payload: Payload, asked: wire.Ask) -> Answer:
        """What kubectl says: everything is taken, and all is ready at once; each API server has read its host's files."""
        if asked.program == "metrics":
            url = asked.asked[0]
            server = next((one for one in self.machines.values() if f"192.0.2.{10 + one.number}:" in url), machine)
            return Answer(code=0, text="".join(f'm{{hash="sha256:{digest}"}} 1\n' for digest in server.sums.values()))
        if asked.program == "rewrite":
            return Answer(code=0, text='{"resourceVersion":"1"}\n3\n')
        if asked.program == "etcdctl" and asked.asked[1:] == ("endpoint", "health"):
            endpoints = asked.asked[0].removeprefix("--endpoints=").split(",")
            return Answer(code=0, text=json.dumps([{"endpoint": one, "health": True} for one in endpoints]))
        if asked.asked[:2] == ("get", "--raw"):
            resources = [{"name": name, "verbs": ["list", "update"]} for name in ("secrets", "configmaps")]
            return Answer(code=0, text=json.dumps({"resources": resources}))
        if asked.asked[:2] == ("get", "configmap"):
            there = {key[3] for key in self.objects if key[1] == "ConfigMap"}
            return Answer(code=0, text="".join(f"configmap/{name}\n" for name in asked.asked if name in there))
        if asked.asked[0] == "apply":
            self._keep(payload[asked.stdin])
        names = sorted(item["metadata"]["name"] for item in self.objects.values() if item["kind"] == "Node")
        if "leases" in asked.asked:
            return Answer(code=0, text="".join(f"{name}  2999-01-01T00:00:00.000000Z\n" for name in names))
        if asked.asked[:2] == ("get", "nodes"):
            return Answer(code=0, text="".join(f"{name}  True  ready\n" for name in names))
        return Answer(code=0)

    def _do_delete_pods(self, _: Machine, __: Payload, asked: wire.DeletePods) -> None:
        for key in [key for key, item in self.objects.items() if item["kind"] == "Pod"]:
            del self.objects[key]

    def _do_well(self, machine: Machine, _: Payload, asked: wire.Well) -> None:
        machine.well = dict(pair.split("=") for pair in asked.hosts)

    def _do_file(self, machine: Machine, payload: Payload, asked: wire.File) -> None:
        content = payload[asked.payload]
        assert hashlib.sha256(content).hexdigest() == asked.sha256
        machine.contents[asked.path] = content
        _place(machine, "file", asked.path, asked.sha256, asked.mode, asked.owner, asked.group)

    def _do_binary(self, machine: Machine, _: Payload, asked: wire.Binary) -> None:
        _place(machine, "binary", asked.path, asked.sha256, asked.mode, "root", "root")

    def _do_directory(self, machine: Machine, _: Payload, asked: wire.Directory) -> None:
        machine.paths[asked.path] = (asked.mode, asked.owner, asked.group, "directory")
        _record(machine, "directory", asked.path, asked.content)

    def _do_pin_image(self, machine: Machine, _: Payload, asked: wire.PinImage) -> None:
        machine.pinned.add(asked.name)

    def _do_image(self, machine: Machine, _: Payload, asked: wire.Image) -> None:
        machine.images[asked.name] = asked.sha256
        machine.pinned.add(asked.name)
        _record(machine, "image", asked.name, asked.sha256)

    def _do_sysctl(self, machine: Machine, _: Payload, asked: wire.Sysctl) -> None:
        machine.sysctls[asked.name] = asked.value
        _record(machine, "sysctl", asked.name, asked.value)

    def _do_adopt(self, machine: Machine, _: Payload, asked: wire.Adopt) -> None:
        _record(machine, asked.kind, asked.name, asked.value)

    def _do_user(self, machine: Machine, _: Payload, asked: wire.User) -> None:
        machine.others.add(("user", asked.name))

    def _do_package(self, machine: Machine, _: Payload, asked: wire.Package) -> None:
        machine.commands.add(asked.command)
        _record(machine, "package", asked.name, asked.command)

    def _do_begin_packages(self, machine: Machine, _: Payload, asked: wire.BeginPackages) -> None:
        machine.others.add(("packages", " ".join(asked.packages)))

    def _do_module(self, machine: Machine, _: Payload, asked: wire.Module) -> None:
        machine.others.add(("module", asked.name))

    def _do_restart(self, machine: Machine, _: Payload, asked: wire.Restart) -> None:
        machine.units[asked.unit] = "active"

    def _do_stop(self, machine: Machine, _: Payload, asked: wire.Stop) -> None:
        machine.stamps.pop(asked.unit, None)
        if asked.unit in machine.units:
            machine.units[asked.unit] = "inactive"

    def _do_kill(self, machine: Machine, payload: Payload, asked: wire.Kill) -> None:
        self._do_stop(machine, payload, wire.Stop(unit=asked.unit))

    def _do_restore_snapshot(self, machine: Machine, payload: Payload, asked: wire.RestoreSnapshot) -> None:
        assert machine.units.get("etcd.service") != "active", "the data of a member that runs is not replaced"
        if machine.members and asked.token not in machine.aside:
            machine.aside.append(asked.token)
        machine.data = payload[asked.payload]
        rows = [pair.split("=", 1) for pair in asked.initial.split(",")]
        listed = [{"ID": number, "name": name, "peerURLs": [url]} for number, (name, url) in enumerate(rows, start=100)]
        machine.members = json.dumps({"members": listed})

    def _do_stamp(self, machine: Machine, _: Payload, asked: wire.Stamp) -> None:
        machine.stamps[asked.unit] = asked.value

    def _do_unstamp(self, machine: Machine, _: Payload, asked: wire.Unstamp) -> None:
        machine.stamps.pop(asked.unit, None)

    def _do_etcd_flags(self, machine: Machine, _: Payload, asked: wire.EtcdFlags) -> None:
        if not asked.flags:
            return
        initial = asked.flags.split()[0].removeprefix("--initial-cluster=")
        rows = [peer.split("=", 1) for peer in initial.split(",")]
        listed = [{"ID": number, "name": name, "peerURLs": [url]} for number, (name, url) in enumerate(rows, start=1)]
        machine.members = json.dumps({"members": listed})

    def _do_objects(self, _: Machine, payload: Payload, asked: wire.Objects) -> None:
        self._keep(payload[asked.payload])

    def _keep(self, documents: bytes) -> None:
        for item in yaml.load_all(documents, Loader=_LOADER):
            self.objects[identity(item)] = item


def _place(machine: Machine, kind: str, path: str, digest: str, mode: str, owner: str, group: str) -> None:
    machine.paths[path] = (mode, owner, group, "regular file")
    machine.sums[path] = digest
    _record(machine, kind, path, digest)


def _record(machine: Machine, kind: str, name: str, value: str) -> None:
    machine.records[kind, name] = (value, machine.records.get((kind, name), ("", "absent"))[1])


def _living(item: Object) -> Object:
    """With the status that its controller would give it: all is ready at once."""
    replicas = (item.get("spec") or {}).get("replicas", 1)
    counted = {"updatedReplicas": replicas, "availableReplicas": replicas}
    statuses = {
        "Node": {"conditions": [{"type": "Ready", "status": "True"}]},
        "APIService": {"conditions": [{"type": "Available", "status": "True"}]},
        "Deployment": counted,
        "StatefulSet": counted,
        "DaemonSet": {"desiredNumberScheduled": 3, "updatedNumberScheduled": 3, "numberAvailable": 3},
    }
    return {**item, "status": statuses[item["kind"]]} if item["kind"] in statuses else item


def _here_document(packed: bytes) -> Iterable[str]:
    return gzip.decompress(packed).decode().split("main <<'KPROV_QUERIES'\n")[1].splitlines()[:-1]


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
