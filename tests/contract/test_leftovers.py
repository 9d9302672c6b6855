"""down.sh itself, with stand-ins for systemctl and nft: what pods of a runtime leave goes, and nobody brings it back."""

from __future__ import annotations

import os

import pytest
from apply_room import Room

from kprov.apply import wire
from kprov.apply.operations import Batch
from kprov.apply.scripts import text

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a mount namespace with file systems of its own needs root")

WATCHER = "kprov-service-rules.service"


def left(room: Room, argument: str) -> list[str]:
    """What is asked of systemctl for the watcher, and of nft for host ports, in order."""
    room.stub("systemctl", f'case "$*" in *{WATCHER}*) echo "$1" >> /srv/asked ;; esac')
    room.stub("nft", 'case "$*" in "delete table ip cni_hostport") echo drop >> /srv/asked ;; esac')
    for name in ("iptables-save", "ip6tables-save", "ip"):
        room.stub(name, "exit 1")
    batch = Batch()
    batch.add("what pods left behind", wire.Run(payload=batch.attach(text("down.sh")), argument=argument))
    assert room.apply(batch)[-1][0] == "done"
    return room.text("cat /srv/asked").split()


def test_host_ports_of_pods_that_ended_are_not_put_back(room: Room) -> None:
    """The unit that puts flushed ones back has a copy of them: they would lead to addresses of nobody, later of strangers."""
    room.text("mkdir -p /run/kprov; echo 'table ip cni_hostport {}' > /run/kprov/host-ports")
    assert left(room, "pods") == ["is-active", "stop", "drop", "start"]
    assert room.text("ls /run/kprov") == ""


@pytest.mark.parametrize(
    "lay", ["ln -s /srv/big /var/log/pods", "mkdir /var/log/pods; mount --bind /srv/big /var/log/pods"]
)
def test_a_place_of_logs_that_somebody_laid_on_another_disk_stays_there(room: Room, lay: str) -> None:
    room.text(f"mount -t tmpfs room /var/log; mkdir -p /srv/big /var/log/containers; touch /srv/big/theirs; {lay}")
    room.text("mkdir /var/log/pods/default_web_1234; touch /var/log/containers/web_default_x.log")
    left(room, "all")
    assert room.text("ls /srv/big") == "theirs\n"
    assert room.text("ls /var/log; ls /var/log/pods/") == "pods\ntheirs\n"


def test_a_place_of_logs_that_kubelet_made_goes(room: Room) -> None:
    room.text("mount -t tmpfs room /var/log; mkdir -p /var/log/pods/default_web_1234 /var/log/containers")
    left(room, "all")
    assert room.text("ls /var/log") == ""
