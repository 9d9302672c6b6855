"""What the probe tells of a host's settings, from real files in a room of its own."""

from __future__ import annotations

import os
import time

import pytest
from apply_room import Room

from kprov.observe.observation import Observation, parse
from kprov.observe.probe import PROBE_COMMAND, Question, probe_program
from kprov.values.host_settings import Setting

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a mount namespace with file systems of its own needs root")


def look(room: Room, question: Question) -> Observation:
    done = room.sh(PROBE_COMMAND, probe_program(question.queries()))
    assert done.returncode == 0, done.stderr
    assert done.stderr == b""
    return parse(done.stdout, host="h", asked=(), operator_clock=time.time())


def test_files_and_mounts_that_decide_what_units_and_pods_get(room: Room) -> None:
    room.text(
        "cp -a /etc/alternatives /srv; mount -t tmpfs room /etc; cp -a /srv/alternatives /etc; "
        "mkdir -p /etc/systemd/logind.conf.d /etc/systemd/system.conf.d /etc/systemd/system /etc/sysctl.d "
        "/opt/kprov/bin /run/systemd/resolve /var/lib/etcd; mount -t tmpfs -o noexec,nosuid room /opt/kprov; "
        "mount --make-shared /opt/kprov; mount -t tmpfs -o ro room /var/lib/etcd"
    )
    files = {
        "/etc/hostname": "# a comment\nnode-1\n",
        "/etc/resolv.conf": "# nameserver 192.0.2.9\nnameserver 127.0.0.53\nsearch a.example b.example\noptions edns0\n",
        "/run/systemd/resolve/resolv.conf": "nameserver 192.0.2.53\nnameserver 192.0.2.54\n",
        "/etc/fstab": "# /dev/sdx none swap sw 0 0\nUUID=1 none swap sw 0 0\n/old none swap noauto 0 0\n",
        "/etc/systemd/zram-generator.conf": "[zram0]\nzram-size = ram\n",
        "/etc/sysctl.d/zz-kprov.conf": "net.ipv4.ip_forward = 1\n",
        "/etc/sysctl.d/99-theirs.conf": "net.ipv4.ip_forward = 0\n",
        "/etc/sysctl.d/zz-theirs.conf": "# a comment\nnet.ipv4.ip_forward = 0\n",
        "/etc/systemd/logind.conf": "[Login]\n#InhibitDelayMaxSec=5\n",
        "/etc/systemd/logind.conf.d/zz.conf": "[Login]\nInhibitDelayMaxSec=10\n",
        "/etc/systemd/system.conf.d/proxy.conf": '[Manager]\nDefaultEnvironment="HTTPS_PROXY=http://user:secret@proxy:3128"\n',
    }
    for path, text in files.items():
        assert room.sh(f"cat > {path}", text.encode()).returncode == 0
    room.text("ln -s /dev/null /etc/systemd/system/dev-sdb.swap; rm -rf /run/systemd/generator.late")
    seen = look(room, Question(deep=False)).facts.settings
    assert seen.known
    assert seen.static_hostname == "node-1"
    assert (seen.nameservers, seen.upstream) == (("127.0.0.53",), ("192.0.2.53", "192.0.2.54"))
    assert seen.search == ("a.example", "b.example")
    assert seen.swaps == (
        Setting(value="UUID=1", path="/etc/fstab"),
        Setting(value="[zram0]", path="/etc/systemd/zram-generator.conf"),
    )
    assert seen.shutdown_delays == (Setting(value="10", path="/etc/systemd/logind.conf.d/zz.conf"),)
    assert seen.sysctls == (Setting(value="net.ipv4.ip_forward = 0", path="/etc/sysctl.d/zz-theirs.conf"),)
    assert [setting.path for setting in seen.proxies] == ["/etc/systemd/system.conf.d/proxy.conf"]
    assert "secret" not in str(seen)
    assert {"noexec", "nosuid"} < seen.mounts["/opt/kprov/bin"].options
    assert seen.mounts["/opt/kprov/bin"].point == "/opt/kprov"
    assert seen.mounts["/opt/kprov/bin"].shared
    assert "ro" in seen.mounts["/var/lib/etcd"].options
    assert seen.mounts["/var/lib/kubelet"].point == "/var/lib"
    assert not seen.mounts["/var/lib/kubelet"].shared
    assert seen.mounts["/etc"].kind == "tmpfs"


def test_a_file_system_that_the_kernel_made_read_only_after_an_error(room: Room) -> None:
    """Its mounts still say `rw`: only the file system itself does not."""
    room.text(
        "mkdir -p /srv/disk /var/lib/kubelet; mount -t tmpfs room /srv/disk; mount --bind /srv/disk /var/lib/kubelet; "
        "mount -o remount,ro /srv/disk; grep -q ' /var/lib/kubelet rw' /proc/self/mountinfo"
    )
    mounts = look(room, Question(deep=False)).facts.settings.mounts
    assert "ro" in mounts["/var/lib/kubelet"].options
    assert "ro" not in mounts["/var/lib/containerd"].options


def test_swap_that_systemd_or_a_service_makes_at_boot(room: Room) -> None:
    room.text(
        "cp -a /etc/alternatives /srv; mount -t tmpfs room /etc; cp -a /srv/alternatives /etc; "
        "mount -t tmpfs room /run/systemd; mount -t tmpfs room /usr/local/lib; "
        "mkdir -p /etc/systemd/system/multi-user.target.wants /run/systemd/generator.late /usr/local/lib/systemd; "
        "ln -s /usr/lib/systemd/system/zramswap.service /etc/systemd/system/multi-user.target.wants/; "
        "printf '[zram0]\n' > /usr/local/lib/systemd/zram-generator.conf; "
        "printf '# made by a generator\n[Unit]\n' > /run/systemd/generator.late/dev-vda3.swap; "
        "printf '/dev/vda2 none swap sw 0 0\n' > /etc/fstab"
    )

    def paths() -> list[str]:
        return [setting.path for setting in look(room, Question(deep=False)).facts.settings.swaps]

    service = "/etc/systemd/system/multi-user.target.wants/zramswap.service"
    packaged = "/usr/local/lib/systemd/zram-generator.conf"
    assert set(paths()) == {service, packaged, "/run/systemd/generator.late/dev-vda3.swap", "/etc/fstab"}
    room.text(": > /etc/systemd/zram-generator.conf")  # lies over the packaged one
    assert packaged not in paths()
    room.text("ln -s /dev/null /etc/systemd/system/swap.target")
    assert paths() == [service]


def test_routes_are_told_until_kprov_has_a_network_of_its_own(room: Room) -> None:
    """Those that the kernel has on this computer, as iproute2 shows them."""
    shown = {line.split()[0] for line in room.text("ip -4 route show").splitlines()}
    told = look(room, Question(deep=False)).facts.settings.routes
    assert {str(row.network).replace("0.0.0.0/0", "default").removesuffix("/32") for row in told} == shown
    room.text("cp -a /etc/alternatives /srv; mount -t tmpfs room /etc; cp -a /srv/alternatives /etc; mkdir /etc/kprov")
    room.text("echo routed > /etc/kprov/network-mode")
    assert look(room, Question(deep=False)).facts.settings.routes == ()


def test_what_is_fetched_from_the_internet_is_asked_by_the_hosts_proxy(room: Room) -> None:
    room.stub("curl", 'echo "$no_proxy|$NO_PROXY" >> /srv/asked; echo 200')
    proxy = "export no_proxy='*' NO_PROXY='*' KPROV_NO_PROXY=mirror.internal; "
    question = Question(urls=("http://files.invalid/a",), facts=False)
    done = room.sh(proxy + PROBE_COMMAND, probe_program(question.queries()))
    assert b"reach\thttp://files.invalid/a\tyes" in done.stdout
    assert set(room.text("cat /srv/asked").splitlines()) == {"mirror.internal|mirror.internal"}
