"""What the probe tells of a host beside kprov's work, with stand-ins for nft and ip."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from apply_room import Room

from kprov.observe.observation import Observation, parse
from kprov.observe.probe import PROBE_COMMAND, Question, probe_program
from kprov.observe.surroundings import PeerRoute, Surroundings

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a mount namespace with file systems of its own needs root")

OWN_ETC = "mkdir -p /srv/e/u /srv/e/w && mount -t overlay -o lowerdir=/etc,upperdir=/srv/e/u,workdir=/srv/e/w room /etc"
SETTINGS = "own 10.244.0.0/24\nroute 10.244.1.0/24 192.0.2.12\nroute 10.244.2.0/24 192.0.2.13\n"
# Answers the batch as the kernel would: the second peer has no route.
IP = r"""
case "$*" in '-4 -force -batch '*) ;; *) exit 0 ;; esac
cat "$4" > /srv/batch
while read -r _ _ to from pod _; do
    case $to in
    10.244.1.*) echo "$to ${from:+from $pod }via 192.0.2.12 dev eth0 src 192.0.2.11 uid 0 "; echo "    cache " ;;
    *) echo 'RTNETLINK answers: Network is unreachable' >&2 ;;
    esac
done < "$4"
"""


def probed(room: Room, question: Question) -> Observation:
    done = room.sh(PROBE_COMMAND, probe_program(question.queries()))
    assert done.stderr == b""
    return parse(done.stdout, host="h", asked=(), operator_clock=0)


def node(room: Room) -> None:
    room.text(OWN_ETC)
    room.text("mkdir -p /etc/kprov/cni/net.d /etc/cni/net.d; echo routed > /etc/kprov/network-mode")
    room.sh("cat > /etc/kprov/network.conf", SETTINGS.encode())
    room.text("echo {} > /etc/kprov/cni/net.d/10-kprov.conflist; echo {} > '/etc/cni/net.d/05 old.conf'")
    room.stub("nft", 'case $* in "list tables") echo "table ip kprov"; echo "table inet filter" ;; esac')
    room.stub("ip", IP)


def test_a_node_tells_what_can_undo_kprovs_work(room: Room) -> None:
    node(room)
    found = probed(room, Question()).surroundings
    assert found.asked
    assert found.tables == {"ip kprov", "inet filter"}
    assert found.cni == ("/etc/kprov/cni/net.d/10-kprov.conflist", "/etc/cni/net.d/05 old.conf")
    by_pods = None if not Path("/sys/class/net/cni0").exists() else "10.244.1.2 from 10.244.0.2 via 192.0.2.12"
    assert found.peers == (
        PeerRoute(
            network="10.244.1.0/24",
            gateway="192.0.2.12",
            by_host="10.244.1.2 via 192.0.2.12 dev eth0 src 192.0.2.11 uid 0",
            by_pods=by_pods,
        ),
        PeerRoute(network="10.244.2.0/24", gateway="192.0.2.13", by_host="", by_pods=by_pods),
    )
    assert room.text("cat /srv/batch").splitlines() == ["route get 10.244.1.2", "route get 10.244.2.2"]


def test_switches_of_the_kernel_that_are_off_are_told(room: Room) -> None:
    node(room)
    forwarding = Path("/proc/sys/net/ipv4/ip_forward").read_text()
    assert ("net.ipv4.ip_forward" in probed(room, Question()).surroundings.off) == (forwarding == "0\n")
    room.text("echo 0 > /srv/zero; mount --bind /srv/zero /proc/sys/net/ipv4/ip_forward")
    assert "net.ipv4.ip_forward" in probed(room, Question()).surroundings.off


def test_links_tell_their_mac_addresses(room: Room) -> None:
    room.stub(
        "ip",
        "case $* in '-o link show')\n"
        "echo '1: lo: <LOOPBACK,UP> mtu 65536 qdisc noqueue state UNKNOWN \\    link/loopback 00:00:00:00:00:00 brd 0'\n"
        "echo '7: host0@if8: <UP> mtu 1500 qdisc noqueue state UP \\    link/ether 02:00:5e:00:00:0b brd ff link-netnsid 0'\n"
        ";; esac",
    )
    found = [(link.name, link.mtu, link.mac) for link in probed(room, Question()).facts.interfaces]
    assert found == [("lo", 65536, ""), ("host0", 1500, "02:00:5e:00:00:0b")]


def test_disks_tell_how_many_files_they_still_take(room: Room) -> None:
    room.text("mount -t tmpfs -o nr_inodes=40 room /opt; cd /opt; seq 1 29 | xargs touch")
    facts = probed(room, Question()).facts
    assert facts.disk_free["/opt"] > 0
    assert facts.inodes_free["/opt"] == pytest.approx(0.25)


def test_it_is_not_told_again_in_the_same_run_nor_by_a_machine_that_is_no_node(room: Room) -> None:
    assert probed(room, Question()).surroundings == Surroundings()
    node(room)
    assert probed(room, Question(facts=False)).surroundings == Surroundings()


def test_chains_of_iptables_are_told_where_kube_proxy_keeps_its_rules_there(room: Room) -> None:
    node(room)
    room.text("mkdir -p /var/lib/kube-proxy; echo 'mode: iptables' > /var/lib/kube-proxy/config.yaml")
    room.stub("iptables", 'case $* in "-w -t nat -S KUBE-SERVICES") exit 1 ;; esac')
    assert "iptables KUBE-SERVICES" not in probed(room, Question()).surroundings.tables
    flushed = 'echo "-N KUBE-SERVICES"'  # by `iptables -t nat -F`, which leaves chains
    room.stub("iptables", f'case $* in "-w -t nat -S KUBE-SERVICES") {flushed} ;; *) exit 1 ;; esac')
    assert "iptables KUBE-SERVICES" not in probed(room, Question()).surroundings.tables
    full = f'{flushed}; echo "-A KUBE-SERVICES -j KUBE-NODEPORTS"'
    room.stub("iptables", f'case $* in "-w -t nat -S KUBE-SERVICES") {full} ;; *) exit 1 ;; esac')
    assert "iptables KUBE-SERVICES" in probed(room, Question()).surroundings.tables


def test_many_peers_start_no_more_programs_than_few(room: Room) -> None:
    def cost(count: int) -> int:
        lines = "".join(f"route 10.244.{number}.0/24 192.0.2.{number}\n" for number in range(1, count + 1))
        room.sh("cat > /etc/kprov/network.conf", f"own 10.244.0.0/24\n{lines}".encode())
        before = room.started()
        assert len(probed(room, Question()).surroundings.peers) == count
        return room.started() - before

    node(room)
    room.text("mv /etc/kprov/network-mode /etc/kprov/pod-cidrs")
    bare = room.started()
    assert probed(room, Question()).surroundings == Surroundings()
    bare = room.started() - bare
    room.text("mv /etc/kprov/pod-cidrs /etc/kprov/network-mode")
    cost(1)
    assert cost(200) == cost(1)
    # Of what a run in which nothing changes may cost more: tables, routes and what reads them, and the stand-in's own `cat`.
    assert cost(200) - bare <= 8
