"""What real kubelets and schedulers think of a configuration, asked by kprov's own scripts before it gets its place."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from built_programs import program

from kprov.roles.templating import render

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="rights are given up, and need to be there before")

KUBELET = {"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration", "failCgroupV1": False}
KUBECONFIG = "/run/credentials/kube-scheduler.service/kubeconfig"
SCHEDULER = {
    "apiVersion": "kubescheduler.config.k8s.io/v1",
    "kind": "KubeSchedulerConfiguration",
    "leaderElection": {"leaderElect": True},
}


def judged(folder: Path, name: str, settings: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """As on a host: the file lies where only root comes, and the program beside it."""
    place = folder / "private"
    place.mkdir(mode=0o700, exist_ok=True)
    bin_folder = place / "bin"
    if not bin_folder.exists():
        bin_folder.mkdir()
        (bin_folder / name).symlink_to(program(name))
    script, file = place / "judge", place / "config.yaml"
    template = f"{name.removeprefix('kube-')}/kprov-judge-{name.removeprefix('kube-')}.sh.j2"
    script.write_bytes(render(None, template, bin=bin_folder, kubeconfig=KUBECONFIG))
    lines = [f"{key}: {json.dumps(value)}\n" for key, value in settings.items()]
    if name == "kube-scheduler":
        lines.append(f"clientConnection:\n  kubeconfig: {KUBECONFIG}\n")
    file.write_text("".join(lines))
    file.chmod(0o600)
    return subprocess.run(["sh", str(script), str(file)], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"cpuCFSQuotaPeriod": "5s"}, "must be between 1ms and 1sec, inclusive"),
        ({"featureGates": {"NoSuchGate": True}}, "unrecognized feature gate: NoSuchGate"),
        ({"logging": {"format": "xml"}}, "Unsupported log format"),
        ({"maxPods": "many"}, "failed to load kubelet config file"),
        ({"resolvConf": "/nowhere/resolv.conf"}, "there is no file /nowhere/resolv.conf on this host"),
    ],
)
def test_what_kubelet_refuses_is_told_in_its_own_words(tmp_path: Path, settings: dict[str, Any], why: str) -> None:
    done = judged(tmp_path, "kubelet", KUBELET | settings)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert why in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_what_kubelet_takes_gets_its_place_and_what_it_ignores_is_told(tmp_path: Path) -> None:
    done = judged(tmp_path, "kubelet", KUBELET | {"maxPods": 50, "resolvConf": "/etc/os-release"})
    assert (done.returncode, done.stderr) == (0, "")
    done = judged(tmp_path, "kubelet", KUBELET | {"maxPodz": 50})
    assert (done.returncode, done.stderr) == (0, 'unknown field "maxPodz", which kubelet ignores\n')


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        (
            {"profiles": [{"plugins": {"score": {"enabled": [{"name": "NoSuch"}]}}}]},
            'ScorePlugin "NoSuch" does not exist',
        ),
        ({"percentageOfNodesToScore": 200}, "not in valid range [0-100]"),
        ({"podInitialBackoffSeconds": 10, "podMaxBackoffSeconds": 5}, "podMaxBackoffSeconds"),
        ({"profiles": [{"plugins": {"bind": {"disabled": [{"name": "*"}]}}}]}, "bind plugin"),
        ({"parallelismus": 1}, "unknown field"),
    ],
)
def test_what_the_scheduler_refuses_is_told_in_its_own_words(
    tmp_path: Path, settings: dict[str, Any], why: str
) -> None:
    done = judged(tmp_path, "kube-scheduler", SCHEDULER | settings)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert why in done.stderr


def test_what_the_scheduler_takes_gets_its_place(tmp_path: Path) -> None:
    done = judged(tmp_path, "kube-scheduler", SCHEDULER | {"parallelism": 8, "profiles": [{"schedulerName": "mine"}]})
    assert (done.returncode, done.stderr) == (0, "")
