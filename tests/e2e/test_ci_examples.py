"""The commands of docs/ci, as a runner gives them to a shell: from the installation to the end of the lab."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from kprov.lab import machines

pytestmark = [pytest.mark.lab, pytest.mark.long]

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs/ci"


def github(document: Any) -> list[str]:
    return [step["run"] for step in document["jobs"]["cluster"]["steps"] if "run" in step]


def gitlab(document: Any) -> list[str]:
    job = document["cluster"]
    return ["\n".join([*job["before_script"], *job["script"]]), "\n".join(job["after_script"])]


# Real sudo, which would lose where Go is: runners with internet need none, and where upstream cannot be had, kprov builds.
SUDO = f"""#!/bin/sh
exec {shutil.which("sudo")} env PATH="$PATH" "$@"
"""


@pytest.mark.parametrize(
    ("file", "scripts"), [("github.yaml", github), ("gitlab.yaml", gitlab)], ids=["github", "gitlab"]
)
def test_the_commands_of_an_example_make_check_and_remove_a_cluster(file: str, scripts: Any, tmp_path: Path) -> None:
    shutil.copytree(EXAMPLES / "checks", tmp_path / "checks")
    document = yaml.safe_load((EXAMPLES / file).read_text())
    environment = {**os.environ, "KPROV": str(ROOT)}
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/sudo").write_text(SUDO)
    (tmp_path / "bin/sudo").chmod(0o755)
    environment["PATH"] = f"{tmp_path / 'bin'}:{environment['PATH']}"
    for name in ("PYTHONPATH", "VIRTUAL_ENV"):
        environment.pop(name, None)
    try:
        for script in scripts(document):
            done = subprocess.run(
                ["bash", "-eo", "pipefail", "-c", script],
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                text=True,
                timeout=1800,
                check=False,
            )
            assert done.returncode == 0, f"{script}\n{done.stdout[-6000:]}\n{done.stderr[-3000:]}"
    finally:
        machines.destroy("ci")
    report = (tmp_path / "report.xml").read_text()
    for name in ("test_time_zone_is_utc", "test_both_machines_are_nodes", "test_nodes_are_those_of_the_inventory"):
        assert f'name="{name}' in report
