"""The Vagrantfile as people run it: machines by libvirt, a cluster on them, and nothing of them afterwards.

Emulated, with a box that is made here: one control plane and one worker take more than an hour. After a failure,
`KPROV_KEPT=FOLDER` leaves libvirt and its machines running: `nsenter --target $(cat FOLDER/pid) --mount --net --pid` leads
to them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import vagrant_box
import yaml
from libvirt_room import LibvirtRoom

pytestmark = pytest.mark.machines

ROOT = Path(__file__).parents[3]
HOSTS = ("cp1", "w1")
UP = 5400  # seconds of one command


class Vagrant:
    """A folder with the Vagrantfile and an inventory of two machines, beside a libvirt of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "vagrant"
        (self.folder / "inventory").mkdir(parents=True)
        shutil.copy(ROOT / "Vagrantfile", self.folder)
        inventory = yaml.safe_load((ROOT / "inventory/vagrant.yaml").read_text())
        inventory["hosts"] = {name: inventory["hosts"][name] for name in HOSTS}
        inventory["cluster"]["artifacts"] = {"compress": False}  # bytes cost nothing on one computer
        self.inventory = self.folder / "inventory/small.yaml"
        self.inventory.write_text(yaml.safe_dump(inventory, sort_keys=False))
        self.environment = {
            "KPROV_BOX": "kprov",
            "KPROV_DRIVER": "qemu",
            "KPROV_INVENTORY": str(self.inventory),
            "VAGRANT_DEFAULT_PROVIDER": "libvirt",
            "VAGRANT_HOME": str(folder / "home"),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        self.log = folder / "log"
        self.room = LibvirtRoom(folder / "libvirt")
        (folder / "pid").write_text(f"{self.room.pid}\n")

    def __call__(self, *argv: str, timeout: float = 300) -> str:
        """Run a program; fails the test when it does not end well. Returns its output."""
        begin = self.log.stat().st_size if self.log.exists() else 0
        done = self.room.run(*argv, folder=self.folder, environment=self.environment, timeout=timeout, log=self.log)
        text = self.log.read_bytes()[begin:].decode(errors="replace")
        assert done.returncode == 0, f"{' '.join(argv)} ended with {done.returncode}\n{text[-6000:]}"
        return text


def virsh(vagrant: Vagrant, *words: str) -> list[str]:
    return vagrant("virsh", "-q", "-c", "qemu:///system", *words).split()


@pytest.fixture(scope="module")
def vagrant(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Vagrant]:
    kept = os.environ.get("KPROV_KEPT", "")
    folder = Path(kept) if kept else tmp_path_factory.mktemp("vagrant")
    folder.mkdir(exist_ok=True)
    box = folder / "kprov.box"
    vagrant_box.make(box)
    made = Vagrant(folder)
    try:
        made("vagrant", "box", "add", "--name", "kprov", str(box), timeout=900)
        box.unlink()
        yield made
    finally:
        if not (kept and request.session.testsfailed):
            made.room.close()
            shutil.rmtree(folder, ignore_errors=True)


def test_vagrant_up_makes_the_machines_and_the_cluster(vagrant: Vagrant) -> None:
    vagrant("vagrant", "up", timeout=UP)
    assert sorted(virsh(vagrant, "list", "--name")) == [f"vagrant_{name}" for name in HOSTS]
    assert {"qemu"} == {
        line.split("'")[1]
        for name in HOSTS
        for line in vagrant("virsh", "-c", "qemu:///system", "dumpxml", f"vagrant_{name}").splitlines()
        if line.startswith("<domain ")
    }


def test_the_cluster_passes_all_checks_and_is_in_sync(vagrant: Vagrant) -> None:
    vagrant("kprov", "verify", str(vagrant.inventory), timeout=1800)
    vagrant("kprov", "plan", str(vagrant.inventory), timeout=900)
    vagrant("kprov", "status", str(vagrant.inventory), timeout=900)


def test_vagrant_destroy_leaves_nothing(vagrant: Vagrant) -> None:
    vagrant("vagrant", "destroy", "-f", timeout=900)
    assert virsh(vagrant, "list", "--all", "--name") == []
    assert virsh(vagrant, "net-list", "--all", "--name") == []
    assert [line.split(": ")[1] for line in vagrant("ip", "-o", "link").splitlines()] == ["lo"]
    assert "192.168.56." not in vagrant("sh", "-c", "cat ~/.ssh/known_hosts")
    running = vagrant("ps", "-A", "-o", "comm=").split()
    assert not {name for name in running if name.startswith(("qemu", "dnsmasq"))}
    vagrant.room.close()
    shown = subprocess.run(["ps", "-A", "-o", "args="], capture_output=True, text=True, check=True).stdout
    assert str(vagrant.folder.parent) not in shown
