"""What a host has that decides what units and pods get: name servers, mounts, limits, swap. Values; nothing is judged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network


@dataclass(frozen=True, kw_only=True)
class Mount:
    """What carries a folder: the mount point, its file system's type, its options as /proc/self/mountinfo has them."""

    point: str
    kind: str
    options: frozenset[str]
    shared: bool


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A line of a configuration file."""

    value: str
    path: str


@dataclass(frozen=True, kw_only=True)
class Route:
    """A line of the main routing table. link: the interface it leads into."""

    network: IPv4Network
    link: str


@dataclass(frozen=True, kw_only=True)
class HostSettings:
    """Of one host.

    static_hostname: of /etc/hostname, empty without one.
    mounts: folder → what carries it, of the folders that kprov asks about.
    nameservers: of /etc/resolv.conf. upstream: those that systemd-resolved asks.
    search: domains that are searched, of /etc/resolv.conf.
    shutdown_delays: every InhibitDelayMaxSec= of logind's files.
    proxies: lines of systemd's own configuration that give every unit a proxy.
    swaps: lines and files that bring swap back at boot.
    booleans: SELinux booleans that kprov's units need → whether they are on.
    sysctls: lines of files that are read at boot after kprov's own.
    routes: of the main table, of a host on which kprov has made no network yet.
    """

    static_hostname: str = ""
    mounts: Mapping[str, Mount] = field(default_factory=dict)
    nameservers: tuple[str, ...] = ()
    upstream: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    shutdown_delays: tuple[Setting, ...] = ()
    proxies: tuple[Setting, ...] = ()
    swaps: tuple[Setting, ...] = ()
    booleans: Mapping[str, bool] = field(default_factory=dict)
    sysctls: tuple[Setting, ...] = ()
    routes: tuple[Route, ...] = ()

    @property
    def known(self) -> bool:
        """Whether the host told: it has a root file system at least."""
        return bool(self.mounts)


def parse(rows: Iterable[tuple[str, str]]) -> HostSettings:
    """Read the probe's `setting` lines: what, and its words. Lines that are not known are passed over."""
    table: dict[str, list[str]] = {}
    for what, rest in rows:
        table.setdefault(what, []).append(rest)

    def settings(what: str) -> tuple[Setting, ...]:
        pairs = (line.partition("\t") for line in table.get(what, ()))
        return tuple(Setting(path=path, value=value.strip()) for path, _, value in pairs)

    return HostSettings(
        static_hostname=next(iter(table.get("hostname", ())), ""),
        mounts=dict(_mounts(table.get("mount", ()))),
        nameservers=tuple(table.get("nameserver", ())),
        upstream=tuple(table.get("upstream", ())),
        search=tuple(" ".join(table.get("search", ())[-1:]).split()),
        shutdown_delays=settings("delay"),
        proxies=settings("proxy"),
        swaps=settings("swap"),
        booleans={
            line.split()[0]: line.split()[1] == "1" for line in table.get("boolean", ()) if len(line.split()) > 1
        },
        sysctls=settings("sysctl"),
        routes=tuple(_routes(table.get("route", ()))),
    )


def _routes(lines: Iterable[str]) -> Iterable[Route]:
    """Of /proc/net/route: an interface, then a network and its mask as the kernel keeps them, in hexadecimal."""
    for line in lines:
        try:
            link, network, mask = line.split()
            address, bits = (bytes.fromhex(text)[::-1] for text in (network, mask))
            yield Route(network=IPv4Network((address, int.from_bytes(bits).bit_count())), link=link)
        except ValueError:  # a host's word
            continue


def _mounts(lines: Iterable[str]) -> Iterable[tuple[str, Mount]]:
    for line in lines:
        fields = line.split("\t")
        if len(fields) == 5:
            folder, point, kind, options, propagation = fields
            yield (
                folder,
                Mount(point=point, kind=kind, options=frozenset(options.split(",")), shared="shared:" in propagation),
            )


def last_of(settings: Iterable[Setting]) -> Setting | None:
    """Return the setting that systemd goes by: the file whose name sorts last, the main file before all others.

    Source: systemd-system.conf(5), CONFIGURATION DIRECTORIES AND PRECEDENCE. Of two files of one name, the one in /etc
    hides the one in /run, which hides the one in /usr.
    """
    ranked: dict[str, Setting] = {}
    for setting in sorted(settings, key=lambda setting: _rank(setting.path)):
        ranked[_name(setting.path)] = setting
    return ranked[max(ranked)] if ranked else None


def _name(path: str) -> str:
    """The name to sort by; the main file sorts first."""
    folder, _, name = path.rpartition("/")
    return f"1{name}" if folder.endswith(".d") else "0"


def _rank(path: str) -> int:
    return next((rank for rank, root in enumerate(("/usr/", "/run/", "/etc/")) if path.startswith(root)), 0)
