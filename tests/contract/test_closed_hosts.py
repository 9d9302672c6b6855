"""What pods reach of the node below them and of others with `hosts: closed`, by kprov's own script, in a real kernel."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import policy_room
import pytest
from policy_room import NODES, OWN, PLACES, answers, ask, judged

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("nft") is None, reason="namespaces and nft need root, and nft"
)

SCRIPT = Path(__file__).parents[2] / "templates" / "network" / "kprov-network.sh"
CLOSED = ["y>10.244.1.1:80", "y>10.244.2.1:80", "y>n1:80", "y>n2:80", "y>n2:81", "x>n1:81"]
OPEN = ["y>n1:8080", "y>n2:8080", "y>x:80", "x>w:81", "n2>n1:80", "out>n1:81", "n1>n2:80", "n1>x:80"]
HOSTS = [*(each.address for each in NODES), "10.244.1.1", "10.244.2.1"]  # each has one among its pods as well


@pytest.fixture(scope="module", autouse=True)
def room() -> Iterator[policy_room.Room]:
    with policy_room.room() as made:
        yield made


def written(folder: Path, nat: str, closed: str, loop: str) -> list[str]:
    """Write kprov's script and settings for the first node; returns what runs it there. loop: in place of its own."""
    node, other = NODES
    lines = ["pods 10.244.0.0/16", f"own {OWN[node.name]}", f"nat {nat}", f"route {OWN[other.name]} {other.address}"]
    lines += [f"closed {closed}", *(f"host {each}" for each in HOSTS)] if closed else []
    (folder / "network.conf").write_text("\n".join(lines) + "\n")
    script = SCRIPT.read_text().replace("/etc/kprov/network.conf", f"{folder}/network.conf")
    script = script.replace("/run/kprov-network", f"{folder}/list")
    assert "while sleep 15; do" in script  # seconds: what is flushed is missed for no longer
    (folder / "script").write_text(script.replace("while sleep 15; do", f"while {loop}; do"))
    return ["ip", "netns", "exec", node.namespace, "sh", str(folder / "script")]


def kept(folder: Path, nat: str, closed: str) -> None:
    """Run kprov's script on the first node, once."""
    inside = written(folder, nat, closed, loop="false")
    subprocess.run([*inside, "keep"], check=True, timeout=60)
    subprocess.run([*inside, "check"], check=True, timeout=60)


def opens_by_six(port: int) -> bool:
    """Ask the node by the address that its bridge has of itself."""
    said = policy_room.within(NODES[0], "ip", "-6", "-o", "address", "show", "dev", "cni0")
    address = next(word for word in said.split() if word.startswith("fe80")).split("/")[0]
    with (
        policy_room.socket_in(NODES[0], socket.SOCK_STREAM, family=socket.AF_INET6) as server,
        policy_room.socket_in(PLACES["y"], socket.SOCK_STREAM, family=socket.AF_INET6) as client,
    ):
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("::", port))
        server.listen()
        client.settimeout(1.5)
        number = int(policy_room.within(PLACES["y"], "cat", "/sys/class/net/eth0/ifindex"))
        try:
            client.connect((address, port, 0, number))
        except OSError:
            return False
        return True


@pytest.mark.parametrize("nat", ["nftables", "iptables"])
def test_pods_reach_no_closed_port_of_any_host_and_no_other_is_closed(tmp_path: Path, nat: str) -> None:
    """By the tools of either mode of kube-proxy's."""
    if nat == "iptables" and shutil.which("iptables") is None:
        pytest.skip("no iptables")
    kept(tmp_path, nat, "80,81")
    assert judged(OPEN, CLOSED) == {**dict.fromkeys(OPEN, True), **dict.fromkeys(CLOSED, False)}
    if Path("/proc/net/if_inet6").exists():
        deadline = time.monotonic() + 20
        while not opens_by_six(8080):  # addresses are tried for a second or two before they are used
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert not opens_by_six(80)
    kept(tmp_path, nat, "")
    assert answers([ask(words) for words in CLOSED]) == [True] * len(CLOSED)
    assert not Path("/proc/net/if_inet6").exists() or opens_by_six(80)


def test_a_node_that_was_made_to_forward_nothing_forwards_again(tmp_path: Path) -> None:
    """As VPNs, libvirt and firewalls do it: no rule and no route is missing, and no pod reaches another node."""
    kept(tmp_path, "nftables", "")
    policy_room.within(NODES[0], "sh", "-c", "echo 0 > /proc/sys/net/ipv4/ip_forward")
    inside = ["ip", "netns", "exec", NODES[0].namespace, "sh", str(tmp_path / "script")]
    done = subprocess.run([*inside, "check"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "0 in /proc/sys/net/ipv4/ip_forward" in done.stderr
    kept(tmp_path, "nftables", "")
    assert policy_room.within(NODES[0], "cat", "/proc/sys/net/ipv4/ip_forward").strip() == "1"


@pytest.mark.parametrize("nat", ["nftables", "iptables"])
def test_pods_do_not_reach_the_metadata_of_a_cloud_unless_it_is_open(tmp_path: Path, nat: str) -> None:
    """Who reads it there is the machine, and mostly has its rights. The node itself goes on reading it."""
    if nat == "iptables" and shutil.which("iptables") is None:
        pytest.skip("no iptables")
    policy_room.within(NODES[1], "ip", "address", "replace", "169.254.169.254/32", "dev", "lo")
    policy_room.within(NODES[0], "ip", "route", "replace", "169.254.169.254", "via", NODES[1].address)
    kept(tmp_path, nat, "")
    assert answers([ask("y>169.254.169.254:8080")]) == [True]
    kept(tmp_path, nat, "22")
    assert answers([ask("y>169.254.169.254:8080"), ask("n1>169.254.169.254:8080")]) == [False, True]


def ours() -> set[str]:
    """Tables and chains of kprov's own on the first node, less the one that both modes have."""
    tables = {line for line in policy_room.within(NODES[0], "nft", "list", "tables").splitlines() if "kprov" in line}
    saved = policy_room.within(NODES[0], "iptables-save")
    return tables | {line.split()[0][1:] for line in saved.splitlines() if line.startswith(":KPROV")} - {
        "KPROV-FORWARD"
    }


@pytest.mark.skipif(shutil.which("iptables") is None, reason="no iptables")
def test_when_kube_proxys_mode_changes_nothing_of_the_other_one_stays(tmp_path: Path) -> None:
    kept(tmp_path, "nftables", "80,81")
    tables = ours()
    assert "table ip kprov" in tables
    kept(tmp_path, "iptables", "80,81")
    assert ours() == {"KPROV-MASQUERADE", "KPROV-HOSTS"}
    kept(tmp_path, "nftables", "80,81")
    assert ours() == tables


@pytest.mark.parametrize("nat", ["nftables", "iptables"])
def test_what_somebody_flushed_is_there_again_at_the_next_look(tmp_path: Path, nat: str) -> None:
    if nat == "iptables" and shutil.which("iptables") is None:
        pytest.skip("no iptables")
    inside = written(tmp_path, nat, "80,81", loop="sleep 0.5")
    keeper = subprocess.Popen([*inside, "keep"], stderr=subprocess.DEVNULL)
    try:
        await_check(inside)
        policy_room.within(NODES[0], "nft", "flush", "ruleset")
        policy_room.within(NODES[0], "ip", "-4", "route", "flush", "proto", "87")
        await_check(inside)
    finally:
        keeper.kill()
        keeper.wait()


def await_check(inside: list[str]) -> None:
    deadline = time.monotonic() + 60
    while subprocess.run([*inside, "check"], check=False, stderr=subprocess.DEVNULL, timeout=60).returncode:
        assert time.monotonic() < deadline
        time.sleep(0.2)
