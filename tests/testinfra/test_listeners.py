"""Who listens where: what is for the host alone is reachable from nowhere else."""

from __future__ import annotations

import re

import pytest
from testinfra.host import Host as Machine

from kprov.testinfra import expected

SOCKET = re.compile(r"(?P<address>\S+):(?P<port>\d+)\s+\S+(\s+users:\(\(\"(?P<program>[^\"]+)\")?")
LOOPBACK = ("127.", "[::1]", "[::ffff:127.")


def listeners(host: Machine) -> list[tuple[str, int, str]]:
    """Address, port and program of every listening TCP socket."""
    found = []
    for line in host.check_output("ss -Hltnp").splitlines():
        match = SOCKET.search(line.split(None, 3)[3])
        assert match, f"cannot read what ss says: {line!r}"
        found.append((match["address"], int(match["port"]), match["program"] or ""))
    return found


def test_port_is_open_on_loopback_only(host: Machine, loopback_port: int) -> None:
    addresses = [address for address, port, _ in listeners(host) if port == loopback_port]
    assert addresses, f"nobody listens on {loopback_port}"
    assert all(address.startswith(LOOPBACK) for address in addresses), addresses


def test_programs_listen_only_where_they_must(host: Machine) -> None:
    """Ports beyond loopback of each program that kprov installed."""
    for address, port, program in listeners(host):
        if program in expected.PUBLIC and not address.startswith(LOOPBACK):
            assert port in expected.PUBLIC[program], f"{program} listens on {address}:{port}"


@pytest.mark.on("node")
def test_kubelets_read_only_port_is_closed(host: Machine) -> None:
    """CIS 4.2.4."""
    assert expected.READ_ONLY_KUBELET not in [port for _, port, _ in listeners(host)]


@pytest.mark.on("etcd")
def test_etcd_listens_for_clients_and_peers(host: Machine) -> None:
    assert {port for _, port, program in listeners(host) if program == "etcd"} >= {2379, 2380}
