"""kprov-service-rules itself, with stand-ins for nft, iptables and systemctl: what it does when rules are gone."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest
from apply_room import Room

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a mount namespace with file systems of its own needs root")

SCRIPT = Path(__file__).parents[2] / "templates" / "kube_proxy" / "kprov-service-rules.sh"
# Rules are there in the looks that /srv/story marks with +; host ports in those with h. A look ends with its sleep.
# Of iptables, e marks chains that are there and empty, b one whose jump from the kernel's own chains is gone.
LOOK = 'look=$(cat /srv/look); story=$(sed -n "${look}p" /srv/story)'
NFT = (
    LOOK
    + """
case "$*" in
'-t list chain ip kube-proxy services') case $story in *+*) echo ' ip daddr vmap @service-ips' ;; *) exit 1 ;; esac ;;
'list table ip cni_hostport') case $story in *h*) echo "host ports of look $look" ;; *) exit 1 ;; esac ;;
'-f '*) echo "look $look: $(cat "$2")" >> /srv/loaded ;;
esac
"""
)
IPTABLES = (
    LOOK
    + """
case "$*-$story" in
*-S' '[PO]*+*) echo "-P $5 ACCEPT"; case "$5-$story" in PREROUTING-*b*) ;; *) echo "-A $5 -j KUBE-SERVICES" ;; esac ;;
*-S' 'KUBE-SERVICES-*+*) echo '-N KUBE-SERVICES'; echo '-A KUBE-SERVICES -j KUBE-NODEPORTS' ;;
*-S' 'KUBE-SERVICES-*e*) echo '-N KUBE-SERVICES' ;;
*-S' '[PO]*e*) echo "-P $5 ACCEPT" ;;
*) exit 1 ;;
esac
"""
)
SYSTEMCTL = (
    LOOK
    + """
case $1 in is-active) case $story in *d*) exit 3 ;; esac ;; *) echo "$look" >> /srv/restarted ;; esac
"""
)
SLEEP = """
echo $(($(cat /srv/look) + 1)) > /srv/look
[ $(cat /srv/look) -le $(wc -l < /srv/story) ] || kill $PPID
"""


def restarts(room: Room, mode: str, *story: str) -> list[int]:
    """Which looks restarted kube-proxy. A letter d: it does not run."""
    for name, program in {"nft": NFT, "iptables": IPTABLES, "systemctl": SYSTEMCTL, "sleep": SLEEP}.items():
        room.stub(name, program)
    room.sh("cat > /srv/story", "".join(f"{look} \n" for look in story).encode())
    room.text("echo 1 > /srv/look; rm -f /srv/restarted /srv/loaded")
    room.sh(f"cat > /srv/script; PATH=/usr/local/sbin:$PATH sh /srv/script {mode}", SCRIPT.read_bytes())
    return [int(line) for line in room.text("cat /srv/restarted 2> /dev/null; true").split()]


@pytest.mark.parametrize("mode", ["nftables", "iptables"])
def test_rules_that_were_there_and_are_gone_are_written_again_at_the_next_look(room: Room, mode: str) -> None:
    assert restarts(room, mode, "+", "-", "+", "+", "-", "+") == [2, 5]


def test_chains_that_were_flushed_are_no_rules(room: Room) -> None:
    """`iptables -t nat -F` leaves every chain that kube-proxy looks for, without a rule in it."""
    assert restarts(room, "iptables", "+", "e", "+", "+b", "+") == [2, 4]


@pytest.mark.parametrize("mode", ["nftables", "iptables"])
def test_nothing_is_restarted_while_the_rules_are_there(room: Room, mode: str) -> None:
    assert restarts(room, mode, *"++++++++") == []


def test_before_there_were_rules_it_waits_longer_after_each_restart(room: Room) -> None:
    """On a slow machine kube-proxy would be ended again and again, and never write any."""
    assert restarts(room, "nftables", *"-" * 16) == [3, 7, 15]


def test_it_waits_eleven_minutes_at_most(room: Room) -> None:
    found = restarts(room, "nftables", *"-" * 260)
    assert [later - earlier for earlier, later in itertools.pairwise(found)] == [4, 8, 16, 32, 64, 64, 64]


def test_once_rules_are_there_it_is_quick_again(room: Room) -> None:
    assert restarts(room, "nftables", *"-------+---") == [3, 7, 9, 11]


def test_a_kube_proxy_that_does_not_run_is_left_alone(room: Room) -> None:
    assert restarts(room, "nftables", "+", "d", "d") == []


def test_host_ports_come_back_as_they_last_were(room: Room) -> None:
    restarts(room, "nftables", "+h", "+h", "-", "+")
    assert room.text("cat /srv/loaded").splitlines()[0] == "look 3: host ports of look 2"


def test_host_ports_that_never_were_are_not_made(room: Room) -> None:
    restarts(room, "nftables", "+", "-", "+")
    assert room.text("cat /srv/loaded 2> /dev/null; true") == ""
