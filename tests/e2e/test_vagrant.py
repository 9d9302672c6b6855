"""The Vagrantfile, asked of Vagrant itself; makes no machine."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.lab
def test_vagrant_accepts_the_vagrantfile(tmp_path: Path) -> None:
    program = shutil.which("vagrant")
    assert program, "vagrant is not installed: apt-get install vagrant"
    shutil.copy(ROOT / "Vagrantfile", tmp_path)
    environment = {**os.environ, "HOME": str(tmp_path), "VAGRANT_HOME": str(tmp_path / "home")}
    done = subprocess.run(
        [program, "validate"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "validated successfully" in done.stdout
    assert not (tmp_path / ".vagrant/kprov").exists(), "a key pair is made by `vagrant up` alone"
