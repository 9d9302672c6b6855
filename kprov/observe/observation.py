"""What one host said about itself: the parsed answer of the probe. Values and parsing only; nothing is judged here.

Every byte of an answer is treated as hostile: sizes are limited, unknown lines are ignored, and nothing is evaluated.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import io
import json
import re
import tarfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from sys import intern
from typing import Any

from kprov.observe.surroundings import Surroundings, surroundings
from kprov.values import host_settings
from kprov.values.errors import TransportError
from kprov.values.model import Facts, Interface, Listener, PackageManager
from kprov.values.resources import Key

ANSWER_LIMIT = 32 * 1024 * 1024  # bytes; a cluster of thousands of nodes answers with a few MiB of objects
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, kw_only=True)
class FileState:
    """A path as stat saw it. `sha256` is known for regular files only; `kind` is GNU stat's word (`regular file` …)."""

    mode: int
    owner: str
    group: str
    kind: str
    stat: str
    sha256: str | None = None


@dataclass(frozen=True, kw_only=True)
class Record:
    """A line of the host's ledger: what kprov made there, with the hash it had and what was there before."""

    kind: str
    name: str
    value: str
    stat: str
    before: str


@dataclass(frozen=True, kw_only=True)
class UnitState:
    """systemd's view: ActiveState, SubState, UnitFileState, NeedDaemonReload, LoadState, FragmentPath.

    fragment: the unit file it comes from, empty when that is where kprov's are: in /etc/systemd/system under its name.
    restarts: how often systemd itself started it again since it was last asked to. age: seconds its main process has
    lived, None where that cannot be said. pause: seconds systemd waits before it starts it again (RestartSec).
    """

    active: str
    enabled: str
    needs_reload: bool
    loaded: bool
    fragment: str = ""
    sub: str = ""
    restarts: int = 0
    age: float | None = None
    pause: float = 0.0

    @property
    def running(self) -> bool:
        """Whether it runs, or is on its way after a boot. One that systemd starts again and again does not run."""
        if self.active == "activating":
            return not self.sub.startswith("auto-restart") and not self.restarts
        return self.active in ("active", "reloading") and not self.restless

    @property
    def restless(self) -> bool:
        """Whether it ended and has not yet lived for longer than systemd waited before it started it again."""
        return self.restarts > 0 and self.age is not None and self.age <= self.pause

    def __str__(self) -> str:
        words = f"{self.active or 'unknown'} ({self.sub})" if self.sub else self.active or "unknown"
        return f"{words}, restarted {self.restarts} times by systemd" if self.restarts else words


@dataclass(frozen=True, kw_only=True)
class EtcdMember:
    """A row of etcd's member list; a member that never started has no name. `id` is hexadecimal."""

    id: str
    name: str
    peer_urls: tuple[str, ...]
    learner: bool


@dataclass(frozen=True, kw_only=True)
class EtcdView:
    """What an etcd host knows: whether it has data, whether a join was cut off, and the members if its own answers."""

    has_data: bool = False
    size: int = 0  # bytes of its database file, as far as it was seen
    joining: bool = False
    members: tuple[EtcdMember, ...] | None = None
    leader: str = ""  # hexadecimal id, when it was asked for and known
    revision: int = 0  # of its own data, when it was asked for


@dataclass(frozen=True, kw_only=True)
class Observation:
    """One host in one run."""

    facts: Facts
    records: Mapping[Key, Record] = field(default_factory=dict)
    files: Mapping[str, FileState] = field(default_factory=dict)
    units: Mapping[str, UnitState] = field(default_factory=dict)
    stamps: Mapping[str, str] = field(default_factory=dict)
    sysctls: Mapping[str, str] = field(default_factory=dict)
    loaded: frozenset[str] = frozenset()
    users: frozenset[str] = frozenset()  # accounts that have a group of their name
    links: Mapping[str, str] = field(default_factory=dict)  # symbolic links in the places of files and folders → target
    holding: frozenset[str] = frozenset()  # folders that hold something, of those asked about
    images: Mapping[str, bool] = field(default_factory=dict)  # name of an image's key → whether it should be pinned yet
    texts: Mapping[str, bytes] = field(default_factory=dict)
    etcd: EtcdView = EtcdView()
    objects: tuple[Mapping[str, Any], ...] | None = None  # None: not asked, or the API did not answer
    objects_error: str = ""
    kms: str = ""  # what its API server says of a KMS that is not well, when it was asked
    webhook_error: str = ""  # why the API server could make no pod just now, for want of a webhook's answer
    policies: Mapping[str, int] = field(default_factory=dict)  # namespace → NetworkPolicies in it
    versions: Mapping[str, str] = field(default_factory=dict)  # program → what its --version says, when asked
    health: Mapping[str, str] = field(default_factory=dict)  # component → ok or failing, when asked
    reachable: frozenset[str] = frozenset()  # of the URLs that were asked about: those this host can download
    out_of_reach: Mapping[str, str] = field(default_factory=dict)  # the others, and why
    resolved: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # name that was asked about → IPv4 addresses
    closed: Mapping[tuple[str, int], str] = field(default_factory=dict)  # address and port it could not get to → why
    surroundings: Surroundings = field(default_factory=Surroundings)
    holder: str = ""  # who holds the run lock, empty when nobody
    generation: str = ""
    unconfirmed: bool = False  # whether a change was left in the middle: what was there before it is still kept
    well: Mapping[str, str] = field(default_factory=dict)  # host → its generation when a last stage saw all well
    asked: frozenset[Key] = frozenset()  # everything that was looked at, found or not


def parse(answer: bytes, *, host: str, asked: Iterable[Key], operator_clock: float) -> Observation:
    """Turns the probe's answer into an Observation.

    `operator_clock` is the operator's epoch time at the middle of the exchange. Raises TransportError when the frame is
    missing, cut or too large.
    """
    rows = list(_rows(answer, host))
    table: dict[str, list[tuple[str, str]]] = {}
    for kind, name, rest in rows:
        table.setdefault(kind, []).append((name, rest))
    records = _records(table.get("record", ()))
    return Observation(
        facts=_facts(table, operator_clock),
        records=records,
        files=_files(table, records),
        units=_units(table),
        stamps=dict(table.get("stamp", ())),
        sysctls={name: " ".join(rest.split()) for name, rest in table.get("sysctl", ())},
        loaded=frozenset(name for name, _ in table.get("loaded", ())),
        users=frozenset(name for name, _ in table.get("user", ())),
        links={name: printable(rest) for name, rest in table.get("symlink", ()) if rest.startswith("/")},
        holding=frozenset(name for name, _ in table.get("holds", ())),
        images={name: rest == "loose" for name, rest in table.get("image", ())},
        texts=_texts(_decode(dict(table.get("texts", ())).get("archive", ""))),
        etcd=_etcd(dict(table.get("etcd", ()))),
        objects=_objects(dict(table.get("objects", ()))),
        webhook_error=_decode(dict(table.get("objects", ())).get("webhook", "")).decode(errors="replace"),
        objects_error=_decode(dict(table.get("objects", ())).get("failed", "")).decode(errors="replace"),
        kms=printable(_decode(dict(table.get("kms", ())).get("failing", "")).decode(errors="replace")),
        policies=_policies(_decode(dict(table.get("objects", ())).get("policies", ""))),
        versions={name: printable(rest) for name, rest in table.get("version", ())},
        health=dict(table.get("health", ())),
        reachable=frozenset(name for name, rest in table.get("reach", ()) if rest == "yes"),
        resolved={name: tuple(rest.split()) for name, rest in table.get("resolve", ())},
        closed=_closed(table.get("knock", ())),
        out_of_reach={name: printable(rest) for name, rest in table.get("reach", ()) if rest != "yes"},
        surroundings=surroundings(table, _decode(dict(table.get("etcd", ())).get("health", ""))),
        holder=dict(table.get("fact", ())).get("holder", ""),
        generation=dict(table.get("fact", ())).get("generation", ""),
        unconfirmed=dict(table.get("fact", ())).get("unconfirmed") == "yes",
        well=dict(table.get("well", ())),
        asked=frozenset(asked) | frozenset(records),
    )


def _rows(answer: bytes, host: str) -> Iterable[tuple[str, str, str]]:
    if len(answer) > ANSWER_LIMIT:
        raise TransportError("the probe's answer is too large", where=host, found=f"{len(answer)} bytes")
    begin = answer.find(b"kprov-probe begin\n")
    end = answer.rfind(b"kprov-probe end\n")
    if begin < 0 or end < begin:
        raise TransportError(
            "the probe's answer is not complete",
            where=host,
            found=f"{len(answer)} bytes without the closing line",
            needed="a POSIX shell, GNU coreutils, awk and util-linux on the host",
            log=printable(answer[-2000:].decode(errors="replace")),
        )
    for line in answer[begin:end].decode(errors="replace").splitlines()[1:]:
        kind, _, rest = line.partition("\t")
        name, _, value = rest.partition("\t")
        if name:
            yield kind, intern(name), value


def printable(text: str) -> str:
    """Text of a host without control characters, so that it cannot drive the operator's terminal."""
    return "".join(char for char in text if char in "\n\t" or char.isprintable())


def _closed(rows: Iterable[tuple[str, str]]) -> Mapping[tuple[str, int], str]:
    words = ((*name.partition(" ")[::2], why) for name, why in rows if why != "open")
    return {(address, int(port)): printable(why) for address, port, why in words if port.isdecimal()}


def _records(rows: Iterable[tuple[str, str]]) -> Mapping[Key, Record]:
    # `record` lines keep the ledger's own columns: kind, then name, value, stat, before.
    found: dict[Key, Record] = {}
    for kind, rest in rows:
        fields = rest.split("\t")
        if len(fields) == 4:
            stat = fields[2]
            name, value, before = (intern(one) for one in (fields[0], fields[1], fields[3]))
            found[(kind, name)] = Record(kind=kind, name=name, value=value, stat=stat, before=before)
    return found


def _files(table: Mapping[str, list[tuple[str, str]]], records: Mapping[Key, Record]) -> Mapping[str, FileState]:
    sums = dict(table.get("sum", ()))
    files: dict[str, FileState] = {}
    for path, rest in table.get("stat", ()):
        fields = rest.split("\t")
        if len(fields) != 5:
            continue
        mode, owner, group, kind = (intern(one) for one in fields[:4])
        stat = fields[4]
        record = records.get(("file", path)) or records.get(("binary", path))
        recorded = None
        if record and record.stat == stat:
            stat, recorded = record.stat, record.value
        files[path] = FileState(
            mode=int(mode, 8), owner=owner, group=group, kind=kind, stat=stat, sha256=sums.get(path, recorded)
        )
    return files


def _units(table: Mapping[str, list[tuple[str, str]]]) -> Mapping[str, UnitState]:
    elsewhere = dict(table.get("fragment", ()))
    states = dict(_unit(name, rest) for name, rest in table.get("unit", ()))
    return {
        name: replace(state, fragment=printable(elsewhere[name])) if name in elsewhere else state
        for name, state in states.items()
    }


def _unit(name: str, rest: str) -> tuple[str, UnitState]:
    active, enabled, reload, loaded, sub, restarts, now, started, *pause = [*rest.split(" "), *[""] * 8]
    return name, UnitState(
        active=active,
        enabled=enabled,
        needs_reload=reload == "yes",
        loaded=loaded == "loaded",
        sub=sub.strip("-"),
        restarts=int(restarts) if restarts.isdigit() else 0,
        age=_age(now, started),
        pause=seconds_of(" ".join(pause)),
    )


def _age(now: str, started: str) -> float | None:
    """Seconds from a start (microseconds of the kernel's clock, 0 without one) to now (seconds of it)."""
    try:
        age = float(now) - int(started) / 1e6
    except ValueError:
        return None
    # A container may be shown an uptime of its own, which says nothing about systemd's times.
    return age if int(started) and age >= 0 else None


def seconds_of(span: str) -> float:
    """Seconds of a time span as systemd writes it: `1min 30s`, `100ms`. What is none gives 0. Source: systemd.time(7)."""
    units = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
    parts = re.findall(r"(?:^| )(\d+(?:\.\d+)?)([a-z]+)", span)
    return sum(float(number) * units.get(unit, 0.0) for number, unit in parts)


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


def unpacked(text: str) -> bytes:
    """Return what is compressed in base64, nothing when it is not whole or larger than an answer may be."""
    try:
        return _inflated(_decode(text))
    except (ValueError, zlib.error):
        return b""


def _texts(archive: bytes) -> Mapping[str, bytes]:
    """Absolute path → content, of the regular files in a compressed tar archive; none of one that is not whole."""
    texts: dict[str, bytes] = {}
    if not archive:
        return texts
    try:
        with tarfile.open(fileobj=io.BytesIO(_inflated(archive))) as members:
            for member in members:
                file = members.extractfile(member) if member.isreg() else None
                if file is not None:
                    texts[intern(f"/{member.name}")] = _once(file.read())
    except (OSError, EOFError, ValueError, zlib.error, tarfile.TarError):
        return {}
    return texts


@lru_cache(maxsize=1024)
def _once(content: bytes) -> bytes:
    """Return the same object for the same content: most files are the same on many hosts."""
    return content


def _inflated(data: bytes) -> bytes:
    """Raises ValueError for what is cut, or larger than an answer may be, zlib.error for what is no gzip."""
    machine = zlib.decompressobj(zlib.MAX_WBITS | 16)
    content = machine.decompress(data, ANSWER_LIMIT)
    if not machine.eof:
        raise ValueError(f"cut, or more than {ANSWER_LIMIT} bytes")
    return content


def _etcd(rows: Mapping[str, str]) -> EtcdView:
    members = etcd_members(_decode(rows["members"])) if "members" in rows else None
    status = _status(rows)
    leader, revision = int(status.get("leader", 0)), int(status.get("header", {}).get("revision", 0))
    return EtcdView(
        has_data="data" in rows,
        size=int(rows.get("data") or 0),
        joining="joining" in rows,
        members=members,
        leader=f"{leader:x}" if leader else "",
        revision=revision,
    )


def etcd_members(answer: bytes | str) -> tuple[EtcdMember, ...] | None:
    """Return the members in etcdctl's JSON, None when it is not of that form."""
    try:
        return tuple(
            EtcdMember(
                id=f"{int(row['ID']):x}",
                name=str(row.get("name", "")),
                peer_urls=tuple(row.get("peerURLs", ())),
                learner=bool(row.get("isLearner", False)),
            )
            for row in json.loads(answer)["members"]
        )
    except (ValueError, KeyError, TypeError):
        return None


def _status(rows: Mapping[str, str]) -> Mapping[str, Any]:
    """What a member says of itself; nothing where it was not asked, or did not answer."""
    if "status" not in rows:
        return {}
    try:
        status = json.loads(_decode(rows["status"]))[0]["Status"]
        int(status.get("leader", 0)), int(status.get("header", {}).get("revision", 0))
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        return {}
    return status  # type: ignore[no-any-return]


def _objects(rows: Mapping[str, str]) -> tuple[Mapping[str, Any], ...] | None:
    if "found" not in rows:
        return None
    try:
        return tuple(json.loads(gzip.decompress(_decode(rows["found"])))["items"])
    except (OSError, EOFError, ValueError, KeyError, TypeError):
        return None


def _policies(text: bytes) -> Mapping[str, int]:
    rows = (line.split() for line in printable(text.decode(errors="replace").replace("\n", ";")).split(";"))
    return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdecimal()}


def _version(text: str) -> tuple[int, int]:
    digits = [int("".join(c for c in part if c.isdigit()) or 0) for part in text.split(".")[:2]]
    major, minor = [*digits, 0, 0][:2]
    return major, minor


def _facts(table: Mapping[str, list[tuple[str, str]]], operator_clock: float) -> Facts:
    plain = dict(table.get("fact", ()))
    commands = frozenset(value for name, value in table.get("fact", ()) if name == "command")
    modules = dict(table.get("module", ()))
    disks = {name: rest.split(" ") for name, rest in table.get("disk", ()) if len(rest.split(" ")) == 4}
    clock = float(plain.get("clock", "0") or 0)
    # The host may have waited for an apply at work: the middle of its time is what the operator's middle is compared with.
    middle = (clock + float(plain.get("clock_end", "") or clock)) / 2
    manager: PackageManager = ""
    if "apt-get" in commands:
        manager = "apt"
    elif "dnf" in commands:
        manager = "dnf"
    elif "zypper" in commands:
        manager = "zypper"
    return Facts(
        hostname=plain.get("hostname", ""),
        machine_id=plain.get("machine_id", ""),
        arch=ARCHITECTURES.get(plain.get("arch", ""), plain.get("arch", "")),
        os_id=plain.get("os_id", ""),
        os_version=plain.get("os_version", ""),
        kernel=_version(plain.get("kernel", "")),
        kernel_release=plain.get("kernel", ""),
        systemd=int(float(plain.get("systemd", "0") or 0)),
        cgroup=2 if plain.get("cgroup") == "2" else 1,
        clock=clock,
        clock_skew=middle - operator_clock,
        cpus=int(plain.get("cpus", "0")),
        memory=int(float(plain.get("memory", "0"))),
        memory_available=int(float(plain.get("memory_available", "0"))),
        swap=plain.get("swap") == "yes",
        interfaces=_interfaces(table),
        default_address=plain.get("default_address"),
        disk_free={name: int(float(free)) for name, (free, *_) in disks.items()},
        disk_size={name: int(float(size)) for name, (_, size, *_) in disks.items()},
        inodes_free={
            name: float(free) / float(whole)
            for name, (*_, free, whole) in disks.items()
            if whole.isdecimal() and int(whole)
        },
        listeners=_listeners(table.get("listener", ())),
        udp_listeners=_listeners(table.get("udp", ())),
        settings=host_settings.parse(table.get("setting", ())),
        modules=frozenset(name for name, state in modules.items() if state == "present"),
        loadable=frozenset(name for name, state in modules.items() if state == "loadable"),
        commands=commands,
        nft=_version(plain["nft"]) if "nft" in plain else None,
        package_manager=manager,
        selinux={"1": "enforcing", "0": "permissive"}.get(plain.get("selinux", ""), ""),  # type: ignore[arg-type]
        leftovers=tuple(name for name, _ in table.get("leftover", ())),
        is_root=plain.get("uid") == "0",
    )


def _listeners(rows: Iterable[tuple[str, str]]) -> tuple[Listener, ...]:
    return tuple(
        Listener(port=int(port), address=rest.split(" ")[0], process=" ".join(rest.split(" ")[1:]))
        for port, rest in rows
        if port.isdigit()
    )


def _interfaces(table: Mapping[str, list[tuple[str, str]]]) -> tuple[Interface, ...]:
    addresses: dict[str, list[str]] = {}
    for name, address in table.get("address", ()):
        addresses.setdefault(name, []).append(address)
    return tuple(
        Interface(
            name=name,
            mtu=int(mtu) if mtu.isdigit() else 0,
            addresses=tuple(addresses.get(name, ())),
            mac=mac,
        )
        for name, rest in table.get("link", ())
        for mtu, _, mac in (rest.partition(" "),)
    )
