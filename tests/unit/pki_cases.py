"""Values that the tests of certificates share: a time, a cluster, its hosts and what they told. No test is here."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from kprov.values.certificate import CertificateSpec
from kprov.values.model import Cluster, ClusterFacts, Connection, Facts, Group, Host, Interface

NOW = datetime(2026, 6, 1, 12, 0, 30, tzinfo=UTC)
ALL_GROUPS: tuple[Group, ...] = ("etcd", "control_plane", "worker")


def host(name: str = "cp1", groups: tuple[Group, ...] = ALL_GROUPS, address: str = "10.0.0.11", **more: Any) -> Host:
    return Host(name=name, groups=frozenset(groups), connection=Connection(address=address), **more)


def cluster(*hosts: Host, **more: Any) -> Cluster:
    return Cluster(name="prod", versions={"kubernetes": "1.37.0"}, hosts=hosts, **more)


def facts(interfaces: dict[str, tuple[str, ...]] | None = None, default_address: str | None = "10.0.0.11") -> Facts:
    shown = {"lo": ("127.0.0.1/8",), "eth0": ("10.0.0.11/24",)} if interfaces is None else interfaces
    return Facts(
        hostname="cp1",
        machine_id="0" * 32,
        arch="amd64",
        os_id="debian",
        os_version="12",
        kernel=(6, 1),
        kernel_release="6.1.0",
        systemd=252,
        cgroup=2,
        clock=0.0,
        clock_skew=0.0,
        cpus=2,
        memory=2**31,
        swap=False,
        interfaces=tuple(Interface(name=name, mtu=1500, addresses=own) for name, own in shown.items()),
        default_address=default_address,
        disk_free={},
        disk_size={},
        listeners=(),
        modules=frozenset(),
        loadable=frozenset(),
        commands=frozenset(),
        nft=None,
        package_manager="apt",
        selinux="",
        leftovers=(),
        is_root=True,
    )


def told(**by_host: Facts) -> ClusterFacts:
    return ClusterFacts(by_host)


def leaf(**changes: Any) -> CertificateSpec:
    """A server certificate's specification, with some of its fields changed."""
    fields: dict[str, Any] = {
        "name": "kubelet-serving",
        "authority": "kubernetes",
        "common_name": "system:node:cp1",
        "organizations": ("system:nodes",),
        "server": True,
        "dns_names": ("cp1", "localhost"),
        "ip_addresses": ("10.0.0.11", "::1"),
    }
    return CertificateSpec(**{**fields, **changes})
