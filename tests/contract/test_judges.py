"""What real components think of settings and flags of an inventory, asked by kprov's own scripts before it gets its place."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from built_programs import program
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

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
    return asked(script, str(file))


def asked(script: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["sh", str(script), *words], capture_output=True, text=True, timeout=60)


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


@pytest.fixture(scope="module")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The script, with a key that is nobody's."""
    folder = tmp_path_factory.mktemp("api")
    (folder / "kube-apiserver").symlink_to(program("kube-apiserver"))
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    (folder / "key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
    )
    public = key.public_key()
    (folder / "public").write_bytes(
        public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    values = {"bin": folder, "key": folder / "key", "public": folder / "public", "issuer": "https://issuer.example.org"}
    script = folder / "judge"
    script.write_bytes(render(None, "api_server/kprov-judge-api-config.sh.j2", **values))
    return script


@pytest.mark.parametrize(
    ("flag", "why"),
    [
        ("--goaway-chance=2", "can not be less than 0 or greater than 0.02"),
        ("--service-account-max-token-expiration=1m", "must be between 1 hour"),
        ("--tracing-config-file=/nowhere", "open /nowhere: no such file"),
        ("--cors-allowed-origins=(", "invalid regular expression"),
        ("--no-such-flag=1", "unknown flag: --no-such-flag"),
        ("--max-requests-inflight=many", "invalid argument"),
    ],
)
def test_what_the_api_server_refuses_of_flags_is_told_in_its_own_words(api_server: Path, flag: str, why: str) -> None:
    done = asked(api_server, "flags", "--v=2", flag)
    assert done.returncode == 1
    assert why in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_flags_that_the_api_server_takes_pass(api_server: Path) -> None:
    done = asked(api_server, "flags", "--v=2", "--event-ttl=2h", "--service-account-issuer=https://old.example.org")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("flag", "why"),
    [("--controllers=*,foo", '"foo" is not in the list of known controllers'), ("--nope=1", "unknown flag: --nope")],
)
def test_what_the_controller_manager_refuses_of_flags(tmp_path: Path, flag: str, why: str) -> None:
    (tmp_path / "kube-controller-manager").symlink_to(program("kube-controller-manager"))
    script = tmp_path / "judge"
    script.write_bytes(render(None, "controller_manager/kprov-judge-controller-manager.sh.j2", bin=tmp_path))
    done = asked(script, "--v=2", flag)
    assert (done.returncode, done.stderr) == (1, f"Error: {why}\n")
    taken = asked(script, "--v=2", "--controllers=*,-ttl-controller")
    assert (taken.returncode, taken.stderr) == (0, "")


ETCD = [
    (("--auto-compaction-mode=periodic", "--auto-compaction-retention=abc"), 'invalid duration "abc"'),
    (("--auth-token=jwt,foo",), "invalid auth options"),
    (("--log-outputs=/nowhere/x",), "failed to verify flags: open sink"),
    (("--corrupt-check-time=1",), "invalid value"),
    (("--nope=1",), "flag provided but not defined: -nope"),
    (("--tls-min-version=TLS1.3", "--tls-max-version=TLS1.2"), "min version (TLS1.3) is greater"),
]


@pytest.mark.parametrize(("flags", "why"), ETCD)
def test_what_etcd_refuses_of_flags_is_told_in_its_own_words(tmp_path: Path, flags: tuple[str, ...], why: str) -> None:
    done = asked(etcd(tmp_path), *flags)
    assert done.returncode == 1
    assert why in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_flags_that_etcd_serves_with_pass_and_nothing_of_it_stays(tmp_path: Path) -> None:
    script = etcd(tmp_path)
    own = subprocess.run(
        ["sh", str(script), "--max-txn-ops=256", "--log-level=error"],
        env={**os.environ, "TMPDIR": str(tmp_path), "ETCD_INITIAL_CLUSTER": "x"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (own.returncode, own.stderr) == (0, "")
    assert {path.name for path in tmp_path.iterdir()} == {"etcd", "judge"}


def etcd(folder: Path) -> Path:
    (folder / "etcd").symlink_to(program("etcd"))
    script = folder / "judge"
    script.write_bytes(render(None, "etcd/kprov-judge-etcd.sh.j2", bin=folder))
    return script
