"""The Vagrantfile, asked of Vagrant and Ruby themselves; makes no machine (machines/test_vagrant_machines.py does)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from kprov.inventory import load

pytestmark = pytest.mark.lab

ROOT = Path(__file__).parents[2]
ALONE = """\
require "json"
module Vagrant
  def self.configure(version)
  end
end
load ARGV[0]
puts JSON.dump({ machines: MACHINES, driver: DRIVER, cpus: CPUS })
"""


def settings(**variables: str) -> Any:
    """What the Vagrantfile makes of these variables."""
    command = ["ruby", "-e", ALONE, str(ROOT / "Vagrantfile")]
    done = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "Vagrantfile", tmp_path)
    shutil.copytree(ROOT / "inventory", tmp_path / "inventory")
    return tmp_path


@pytest.mark.parametrize(
    "variables",
    [{}, {"VAGRANT_DEFAULT_PROVIDER": "libvirt"}, {"VAGRANT_DEFAULT_PROVIDER": "libvirt", "KPROV_DRIVER": "qemu"}],
    ids=["default", "libvirt", "emulated"],
)
def test_vagrant_accepts_the_vagrantfile(folder: Path, variables: Mapping[str, str]) -> None:
    program = shutil.which("vagrant")
    assert program, "vagrant is not installed: apt-get install vagrant"
    environment = {**os.environ, "HOME": str(folder), "VAGRANT_HOME": str(folder / "home"), **variables}
    done = subprocess.run(
        [program, "validate"], cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "validated successfully" in done.stdout
    assert not (folder / ".vagrant/kprov").exists(), "a key pair is made by `vagrant up` alone"


@pytest.mark.parametrize("name", ["vagrant.yaml", "single.yaml", "ha.yaml", "external-etcd.yaml"])
def test_its_machines_are_those_of_the_inventory(name: str) -> None:
    hosts = load(ROOT / "inventory" / name).cluster.hosts
    machines = settings(KPROV_INVENTORY=f"inventory/{name}")["machines"]
    assert {key: value["address"] for key, value in machines.items()} == {
        host.name: host.connection.address for host in hosts
    }
    assert {key for key, value in machines.items() if value["memory"] == 2560} == {
        host.name for host in hosts if host.in_group("control_plane")
    }


def test_variables_say_how_large_machines_are_and_who_runs_them() -> None:
    assert settings()["driver"] == "kvm"
    assert settings()["cpus"] == 2
    assert settings(KPROV_DRIVER="qemu")["cpus"] == 1
    chosen = settings(KPROV_DRIVER="qemu", KPROV_CPUS="3", KPROV_MEMORY="4096")
    assert chosen["cpus"] == 3
    assert {machine["memory"] for machine in chosen["machines"].values()} == {4096}
