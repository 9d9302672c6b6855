"""Lab machines for real: boot, SSH, network, packages, reboot, crash, and no trace once destroyed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kprov.inventory import load
from kprov.lab import Lab, Machine, MachineSpec, inventory, machines, process
from kprov.values.errors import LabError

pytestmark = [pytest.mark.lab, pytest.mark.alone]

SPECS = (MachineSpec(name="m1", groups=("control_plane",)), MachineSpec(name="m2", groups=("worker",)))
SETTINGS = ("net/ipv4/ip_forward", "fs/inotify/max_user_instances", "vm/overcommit_memory", "kernel/panic")


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    name = f"labdev{os.getpid()}"
    made = machines.create(name, SPECS)
    yield made
    machines.destroy(name)


def ssh(machine: Machine, lab: Lab, folder: Path, *command: str, user: str = "root", text: str = "") -> str:
    """Run a command by the ordinary ssh client, with the pinned host key and no way to ask anything."""
    known = folder / f"known_hosts-{machine.name}"
    known.write_text(f"{machine.address} {machine.host_key}\n")
    options = ["BatchMode=yes", "StrictHostKeyChecking=yes", f"UserKnownHostsFile={known}", "IdentitiesOnly=yes"]
    argv = ["ssh", "-F", "none", "-i", str(lab.key), *(word for option in options for word in ("-o", option))]
    done = subprocess.run(
        [*argv, f"{user}@{machine.address}", *command], input=text, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def shown(*argv: str) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def traces(name: str) -> dict[str, list[str]]:
    """Everything on this host that bears the name of a lab or of one of its machines."""
    mark = f"kprov-{name}-"
    commands = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            commands[folder.name] = (folder / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
    return {
        "mounts": [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if f"/{name}/" in line],
        "groups": [str(path) for path in Path("/sys/fs/cgroup").glob(f"**/{mark}*")],
        "processes": [pid for pid, text in commands.items() if mark in text or f"/kprov-lab/{name}/" in text],
        "folders": [str(path) for path in Path("/var/lib/kprov-lab").glob(name)],
    }


def links() -> dict[str, str]:
    """Interfaces of this host: name → the bridge it is in."""
    return {link["ifname"]: link.get("master", "") for link in json.loads(shown("ip", "-json", "link"))}


def nft_tables() -> list[str]:
    return [
        entry["table"]["name"]
        for entry in json.loads(shown("nft", "-j", "list", "tables"))["nftables"]
        if "table" in entry
    ]


def host_settings() -> dict[str, str]:
    return {name: Path("/proc/sys", name).read_text() for name in SETTINGS}


def test_root_deploy_and_admin_log_in_with_the_pinned_host_key(lab: Lab, tmp_path: Path) -> None:
    for machine in lab.machines:
        assert ssh(machine, lab, tmp_path, "id -u; hostname") == f"0\n{machine.name}"
    first = lab.machines[0]
    assert ssh(first, lab, tmp_path, "id -u; sudo -n id -u", user="deploy") == "1001\n0"
    assert ssh(first, lab, tmp_path, "sudo -n true || echo asks", user="admin") == "asks"
    password = lab.admin_password.reveal()
    assert ssh(first, lab, tmp_path, "sudo -S -p '' id -u", user="admin", text=f"{password}\n") == "0"


def test_a_wrong_host_key_is_noticed(lab: Lab, tmp_path: Path) -> None:
    first, second = lab.machines
    assert first.host_key != second.host_key
    known = tmp_path / "known_hosts"
    known.write_text(f"{first.address} {second.host_key}\n")
    argv = ["ssh", "-F", "none", "-i", str(lab.key), "-o", "BatchMode=yes", "-o", f"UserKnownHostsFile={known}"]
    done = subprocess.run([*argv, f"root@{first.address}", "true"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 255
    assert "Host key verification failed" in done.stderr


def test_machines_reach_each_other(lab: Lab, tmp_path: Path) -> None:
    first, second = lab.machines
    assert " 0% packet loss" in ssh(first, lab, tmp_path, f"ping -c 2 -i 0.2 -W 2 {second.address}")
    assert " 0% packet loss" in ssh(second, lab, tmp_path, f"ping -c 2 -i 0.2 -W 2 {first.address}")


def test_a_machine_takes_what_kubernetes_does_to_it(lab: Lab, tmp_path: Path) -> None:
    script = """
        set -e
        sysctl -qw net.ipv4.ip_forward=1
        cd /var/lib/containerd && mkdir -p lower upper work merged
        mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work merged
        umount merged && rm -r lower upper work merged
        ip link add vx0 type vxlan id 7 dstport 8472 dev host0 && ip link delete vx0
        nft add table ip probe && nft delete table ip probe
        systemd-run --quiet --wait -p MemoryMax=64M -p CPUQuota=50% true
        test -c /dev/kmsg && : </dev/kmsg
        systemctl is-system-running
    """
    assert ssh(lab.machines[0], lab, tmp_path, script) == "running"


def test_the_distribution_does_nothing_by_the_clock_but_clean_temporary_folders(lab: Lab, tmp_path: Path) -> None:
    listed = ssh(lab.machines[0], lab, tmp_path, "systemctl list-timers --no-legend | grep -o '[a-z0-9_-]*\\.timer'")
    assert listed.split() == ["systemd-tmpfiles-clean.timer"]


def test_packages_are_installed_from_the_distribution(lab: Lab, tmp_path: Path) -> None:
    ssh(lab.machines[0], lab, tmp_path, "DEBIAN_FRONTEND=noninteractive apt-get -qqy install haproxy >/dev/null")
    assert "HAProxy version" in ssh(lab.machines[0], lab, tmp_path, "haproxy -v")
    assert ssh(lab.machines[0], lab, tmp_path, "apt-get -qq update && echo reached") == "reached"


def test_a_reboot_keeps_what_was_written(lab: Lab, tmp_path: Path) -> None:
    machine = lab.machines[0]
    ssh(machine, lab, tmp_path, "echo kept | tee /root/note > /var/lib/etcd/note; touch /run/gone")
    before = process.leader(machine)
    machines.reboot(machine)
    assert process.leader(machine) != before
    assert (
        ssh(machine, lab, tmp_path, "cat /root/note /var/lib/etcd/note; ls /run/gone 2>&1 | wc -l") == "kept\nkept\n1"
    )
    assert ssh(machine, lab, tmp_path, "ls /run/gone 2>/dev/null; systemctl is-system-running") == "running"


def test_a_crashed_machine_is_gone_and_starts_again(lab: Lab, tmp_path: Path) -> None:
    machine, other = lab.machines
    machines.crash(machine)
    assert machines.state(machine) == "stopped"
    assert machines.state(other) == "running"
    with pytest.raises(LabError, match="does not run"):
        machines.run_in(machine, ["true"])
    machines.start(machine)
    assert ssh(machine, lab, tmp_path, f"ping -c 1 -W 2 {other.address} >/dev/null && cat /root/note") == "kept"


def test_a_stopped_machine_powers_off_in_order_and_starts_again(lab: Lab) -> None:
    machine = lab.machines[1]
    machines.stop(machine)
    assert machines.state(machine) == "stopped"
    assert "reached target" in machine.console.read_text(errors="replace").lower()
    machines.start(machine)
    machines.start(machine)
    assert machines.state(machine) == "running"


def test_creating_a_lab_that_is_there_starts_what_does_not_run(lab: Lab) -> None:
    machines.crash(lab.machines[0])
    assert machines.create(lab.name, SPECS) == lab
    assert [machines.state(machine) for machine in lab.machines] == ["running", "running"]
    with pytest.raises(LabError, match="exists with other machines"):
        machines.create(lab.name, SPECS[:1])
    assert lab in machines.list()


def test_the_inventory_of_the_lab_is_read_by_kprov(lab: Lab, tmp_path: Path) -> None:
    cluster = load(inventory.write(lab, tmp_path / "inventory.yaml", user="admin")).cluster
    assert [host.connection.address for host in cluster.hosts] == [machine.address for machine in lab.machines]
    secret = cluster.hosts[0].connection.become_password
    assert secret is not None
    assert secret.reveal() == lab.admin_password.reveal()


def test_nothing_is_left_of_a_lab_that_is_destroyed() -> None:
    name = f"labdev{os.getpid()}x"
    others, settings, before = machines.list(), host_settings(), links()
    lab = machines.create(name, SPECS[:1])
    assert all(traces(name).values())
    mine = [link for link, bridge in links().items() if bridge == lab.bridge]
    assert mine
    assert lab.nft_table in nft_tables()
    machines.run_in(lab.machines[0], ["systemd-run", "--unit=lasting", "sleep", "600"])

    machines.destroy(lab)

    assert traces(name) == {"mounts": [], "groups": [], "processes": [], "folders": []}
    assert not set(links()) & {lab.bridge, *mine} - set(before)
    assert lab.nft_table not in nft_tables()
    if machines.list() == others == ():
        assert host_settings() == settings
        assert not Path("/var/lib/kprov-lab").exists()
    machines.destroy(name)


def test_two_runs_that_make_the_same_lab_make_it_once() -> None:
    name = f"labdev{os.getpid()}t"
    code = f"from kprov.lab import machines, MachineSpec; machines.create({name!r}, [MachineSpec(name='m1')])"
    makers = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    try:
        assert [maker.wait(timeout=120) for maker in makers] == [0, 0]
        (made,) = (lab for lab in machines.list() if lab.name == name)
        assert machines.state(made.machines[0]) == "running"
    finally:
        machines.destroy(name)
    assert not any(traces(name).values())


@pytest.mark.parametrize("delay", [0.5, 1.1])
def test_nothing_is_left_of_a_lab_whose_maker_was_killed(delay: float) -> None:
    name = f"labdev{os.getpid()}k"
    code = f"from kprov.lab import machines, MachineSpec; machines.create({name!r}, [MachineSpec(name='m1')])"
    maker = subprocess.Popen([sys.executable, "-c", code])
    time.sleep(delay)
    maker.send_signal(signal.SIGKILL)
    maker.wait()

    machines.destroy(name)

    assert traces(name) == {"mounts": [], "groups": [], "processes": [], "folders": []}
