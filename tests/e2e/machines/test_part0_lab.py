"""Part 0: one virtual machine without a cluster: what can be done to it, and that nothing is left of it."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from lab_cluster import KPROV, until

from kprov.lab import Lab, Machine, MachineSpec, machines, process, qemu
from kprov.lab.layout import VmSize
from kprov.values.errors import LabError

pytestmark = pytest.mark.machines

NAME = f"vm-lab{os.getpid()}"
SPECS = (MachineSpec(name="m1", groups=("worker",), vm=VmSize(memory=1024, disk=5)),)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    made = machines.create(NAME, SPECS, suite="bookworm")
    yield made
    machines.destroy(NAME)


@pytest.fixture(scope="module")
def machine(lab: Lab) -> Machine:
    return lab.machines[0]


def sh(machine: Machine, script: str) -> str:
    return machines.run_in(machine, ["sh", "-ec", script], timeout=300).stdout.strip()


def test_it_has_the_size_kernel_and_users_that_were_asked_for(lab: Lab, machine: Machine) -> None:
    assert sh(machine, "uname -r") == machines.kernel(lab, machine)
    assert sh(machine, "hostname; stat -fc %T /sys/fs/cgroup; cat /etc/debian_version").splitlines()[:2] == [
        "m1",
        "cgroup2fs",
    ]
    assert 4200 < int(sh(machine, "df --output=size -m / | tail -n 1")) < 5200, "the disk did not grow to its size"
    assert 800 < int(sh(machine, "awk '/MemTotal/ {print int($2 / 1024)}' /proc/meminfo")) < 1024
    assert sh(machine, "su deploy -c 'sudo -n id -u'") == "0"
    password = lab.admin_password.reveal()
    asked = ["su", "admin", "-c", "sudo -S -p '' id -u"]
    assert machines.run_in(machine, asked, text=f"{password}\n").stdout.strip() == "0"
    assert sh(machine, "test -e /root/kprov-lab-password || echo gone") == "gone"


def test_it_is_listed_with_its_kind_kernel_and_state(lab: Lab, machine: Machine) -> None:
    shown = subprocess.run([KPROV, "lab", "list"], capture_output=True, text=True, check=True).stdout
    (line,) = [line for line in shown.splitlines() if machine.address in line]
    assert line.split() == ["m1", machine.address, "vm", machines.kernel(lab, machine), "running", "worker"]


def test_a_file_can_be_put_into_it(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(range(256)) * 4096)
    machines.put(machine, tmp_path / "file", "/root/a file")
    assert sh(machine, "cksum < '/root/a file'").split()[1] == str(256 * 4096)


def test_a_reboot_keeps_its_files_and_its_identity(machine: Machine) -> None:
    sh(machine, "echo kept > /root/note; cp /etc/machine-id /root/id")
    before = sh(machine, "cat /proc/sys/kernel/random/boot_id")
    machines.reboot(machine)
    assert sh(machine, "cat /proc/sys/kernel/random/boot_id") != before
    assert sh(machine, "cat /root/note; cmp /etc/machine-id /root/id") == "kept"


def test_its_cable_can_be_pulled_and_put_back(machine: Machine) -> None:
    machines.plug(machine, connected=False)
    with pytest.raises(LabError, match=r"does not answer|took too long"):
        machines.run_in(machine, ["true"], timeout=30)
    machines.plug(machine, connected=True)
    until(lambda: sh(machine, "cat /sys/class/net/eth0/carrier") == "1", seconds=120, what="the link")


def test_a_power_cut_loses_what_was_not_synced_and_keeps_what_was(machine: Machine) -> None:
    sh(machine, "echo synced > /root/synced; sync; echo lost > /root/lost")
    machines.crash(machine)
    assert machines.state(machine) == "stopped"
    with pytest.raises(LabError, match="does not run"):
        machines.run_in(machine, ["true"])
    machines.start(machine, clock=timedelta(days=400))
    assert sh(machine, "cat /root/synced; test -e /root/lost || echo and nothing else") == "synced\nand nothing else"


def test_its_clock_is_its_own(machine: Machine) -> None:
    ahead = float(sh(machine, "date +%s")) - time.time()
    assert abs(ahead - timedelta(days=400).total_seconds()) < 60
    assert datetime.now(UTC).year >= 2026


def test_one_that_does_not_come_up_is_told_with_the_end_of_its_console(lab: Lab, machine: Machine) -> None:
    machines.crash(machine)
    disk = machine.folder / "disk.qcow2"
    disk.rename(disk.with_suffix(".away"))
    with pytest.raises(LabError, match=r"did not come up|does not start") as caught:
        machines.start(machine)
    assert "disk.qcow2" in caught.value.log
    disk.with_suffix(".away").rename(disk)
    machines.crash(machine)


def test_nothing_is_left_of_it(lab: Lab, machine: Machine) -> None:
    machines.start(machine)
    held = process.keeper(machine)
    assert held is not None
    machines.destroy(NAME)
    assert not process.is_alive(held)
    links = subprocess.run(["ip", "-br", "link"], capture_output=True, text=True, check=True).stdout
    assert qemu.tap(lab, machine) not in links
    assert lab.bridge not in links
    assert not lab.folder.exists()
    assert NAME not in [one.name for one in machines.list()]
