"""A cluster on lab machines for tests: made with the kprov command as a user types it, asked with the real kubectl."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import yaml

from kprov.artifacts import catalog, own_image
from kprov.artifacts.build import build, component_target
from kprov.artifacts.cache import Cache, default_root
from kprov.artifacts.progress import Silent
from kprov.lab import Lab, MachineSpec, inventory, machines
from kprov.lab.layout import VmSize
from kprov.values.errors import KprovError
from kprov.values.resources import CONTAINERD, Artifact

KPROV = Path(sys.executable).parent / "kprov"
PLAIN: Mapping[str, Any] = {"addons": {"metrics-server": False}}  # tests of other things need not wait for it
NODE_PORT = 30080
HOST_PORT = 18080


@dataclass(frozen=True)
class Ran:
    """A finished kprov command."""

    status: int
    stdout: str
    stderr: str

    @property
    def text(self) -> str:
        return self.stdout + self.stderr


class CommandFailed(AssertionError):
    """A command of a test ended otherwise than it should; `until` asks again, anything else fails the test."""


class LabCluster:
    """Lab machines with an inventory of their own; `kprov` and `kubectl` run against them."""

    def __init__(
        self,
        name: str,
        folder: Path,
        hosts: Mapping[str, Sequence[str]],
        *,
        suite: str = "bookworm",
        kubernetes: str | None = None,
        keys: Mapping[str, Any] = PLAIN,
        vms: Mapping[str, VmSize] = MappingProxyType({}),
        anew: bool = True,
    ) -> None:
        """keys: laid over the `cluster` mapping of its inventory. vms: hosts that are virtual machines, by name.

        anew: a lab of that name goes first; without it, one that is there is taken as it is, with its inventory.
        """
        self.command: tuple[str | Path, ...] = (KPROV,)
        self.folder = folder
        self.inventory = folder / "inventory.yaml"
        self.hosts = dict(hosts)
        self.limit = 3600 if vms else 900  # seconds of one command of kprov's
        self.patience = 300 if vms else 60  # seconds of one program inside a machine
        specs = [MachineSpec(name=host, groups=tuple(groups), vm=vms.get(host)) for host, groups in hosts.items()]  # type: ignore[arg-type]
        if anew:
            machines.destroy(name)
        self.lab: Lab = machines.create(name, specs, suite=suite)
        if anew or not self.inventory.exists():
            inventory.write(self.lab, self.inventory, kubernetes=kubernetes, cluster_keys=keys)

    def destroy(self) -> None:
        machines.destroy(self.lab)

    def edit(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Changes the inventory as a user would."""
        document = yaml.safe_load(self.inventory.read_text())
        change(document)
        self.inventory.write_text(yaml.safe_dump(document, sort_keys=False))

    def kprov(self, command: str, *arguments: str, status: int | None = 0, env: Mapping[str, str] | None = None) -> Ran:
        """Runs a command on the inventory; fails the test when it ends with another status than expected."""
        done = subprocess.run(
            [*self.command, *command.split(), str(self.inventory), *arguments],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **(env or {})},
            timeout=self.limit,
            check=False,
        )
        ran = Ran(status=done.returncode, stdout=done.stdout, stderr=done.stderr)
        if status is not None and ran.status != status:
            raise CommandFailed(f"kprov {command} ended with {ran.status}, desired {status}\n{ran.text}")
        return ran

    def evidence(self) -> str:
        """The last lines of every machine's journal, for a failed test."""
        parts = []
        for machine in self.lab.machines:
            try:
                tail = machines.run_in(
                    machine, ["journalctl", "-n", "30", "--no-pager", "-o", "short"], check=False
                ).stdout
            except Exception as error:  # a machine that is down has no journal to show, and the test's failure matters
                tail = str(error)
            parts.append(f"--- {machine.name}\n{tail}")
        return "\n".join(parts)

    def run(self, host: str, *argv: str, check: bool = True) -> str:
        """Runs a program inside a machine, as root."""
        return machines.run_in(self.lab.machine(host), list(argv), timeout=self.patience, check=check).stdout

    def sh(self, host: str, script: str, *, check: bool = True) -> str:
        return self.run(host, "sh", "-c", script, check=check)

    @property
    def nodes_desired(self) -> set[str]:
        """Hosts that are nodes, by their groups."""
        return {name for name, groups in self.hosts.items() if set(groups) & {"control_plane", "worker"}}

    @property
    def kubeconfig(self) -> Path:
        path = self.folder / "admin.conf"
        if not path.exists():
            path.touch(mode=0o600)
            path.write_text(self.kprov("kubeconfig").stdout)
        return path

    def kubectl(self, *arguments: str, check: bool = True, stdin: str = "", timeout: int = 120) -> str:
        done = subprocess.run(
            [kubectl_path(), "--kubeconfig", self.kubeconfig, "--request-timeout=60s", *arguments],
            capture_output=True,
            text=True,
            input=stdin,
            timeout=timeout,
            check=False,
        )
        if check and done.returncode != 0:
            raise CommandFailed(f"kubectl {' '.join(arguments)}: {done.stderr}")
        return done.stdout

    def get(self, *arguments: str) -> Any:
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))

    def nodes(self) -> dict[str, bool]:
        """Node name → whether it is Ready."""
        return {
            node["metadata"]["name"]: any(
                condition["type"] == "Ready" and condition["status"] == "True"
                for condition in node["status"]["conditions"]
            )
            for node in self.get("nodes")["items"]
        }

    def main_pids(self, host: str) -> dict[str, str]:
        """Unit → MainPID of everything kprov runs on a host."""
        units = [f"{name}.service" for name in UNITS]
        shown = self.run(host, "systemctl", "show", "-p", "Id,MainPID", *units)
        blocks = [dict(line.split("=", 1) for line in block.splitlines() if line) for block in shown.split("\n\n")]
        return {block["Id"]: block["MainPID"] for block in blocks if block.get("MainPID", "0") != "0"}

    def images(self, host: str) -> set[str]:
        """Names of images in the containerd of a node, without those by digest."""
        listed = self.sh(host, "/opt/kprov/bin/ctr -n k8s.io images ls -q").split()
        return {name for name in listed if not name.startswith("sha256:") and "@" not in name}

    def load_agnhost(self, *hosts: str, socket: str = CONTAINERD) -> str:
        """Puts the test image into the containerd of these hosts, or of every node; returns its reference."""
        artifact = agnhost()
        self.load_image(Path(artifact.local), *hosts, socket=socket)
        return artifact.reference

    def load_image(self, tar: Path, *hosts: str, socket: str = CONTAINERD) -> None:
        """Puts an image into the containerd of all nodes, or some."""
        for machine in self.lab.machines:
            if machine.name in (hosts or self.nodes_desired):
                machines.put(machine, tar, "/root/image.tar")
                ctr = f"/opt/kprov/bin/ctr --address {socket} -n k8s.io"
                script = f"{ctr} images import /root/image.tar && rm /root/image.tar"
                machines.run_in(machine, ["sh", "-c", script], timeout=600)


UNITS = (
    *("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "containerd"),
    *("kube-api-proxy", "kprov-network", "kubelet", "kube-proxy"),
)


def agnhost() -> Artifact:
    """Kubernetes' own test image, built from pinned modules."""
    entry = catalog.load().images["image-agnhost"]
    version = catalog.resolve_versions("")[entry.component]
    return own_image.make(entry, version, "amd64", Cache(default_root()), Silent())


def kubectl_path() -> str:
    target = component_target("kubernetes", catalog.resolve_versions("")["kubernetes"])
    return build(target, "amd64", Cache(default_root()), Silent())["kubectl"].local


def until(question: Callable[[], Any], *, seconds: float, what: str) -> Any:
    """Asks until the answer is true; fails the test when time is up. Returns the answer."""
    ends, pause = time.monotonic() + seconds, 0.2
    while time.monotonic() < ends:
        try:
            answer = question()
        except (AssertionError, subprocess.SubprocessError, OSError, KprovError, KeyError, ValueError) as error:
            last: object = error
        else:
            if answer:
                return answer
            last = answer
        time.sleep(pause)
        pause = min(pause * 1.3, 1.5)  # asking costs the processors that the answer waits for
    pytest.fail(f"{what}: not within {seconds:g} s; last: {last}")


def probe_pods(image: str) -> str:
    """A pod with a web server on every node, a Deployment, and Services in front of them."""
    container = {
        "name": "web",
        "image": image,
        "imagePullPolicy": "Never",
        "args": ["netexec", "--http-port=8080"],
        "ports": [{"containerPort": 8080, "hostPort": HOST_PORT}],
    }
    pod = {"containers": [container], "tolerations": [{"operator": "Exists"}], "terminationGracePeriodSeconds": 0}
    plain = {**container, "ports": [{"containerPort": 8080}]}
    documents = [
        {
            "apiVersion": "apps/v1",
            "kind": "DaemonSet",
            "metadata": {"name": "each"},
            "spec": {
                "selector": {"matchLabels": {"app": "each"}},
                "template": {"metadata": {"labels": {"app": "each"}}, "spec": pod},
            },
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "rolled"},
            "spec": {
                "replicas": 2,
                "selector": {"matchLabels": {"app": "rolled"}},
                "template": {
                    "metadata": {"labels": {"app": "rolled"}},
                    "spec": {**pod, "containers": [plain]},
                },
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "each"},
            "spec": {
                "type": "NodePort",
                "selector": {"app": "each"},
                "ports": [{"port": 80, "targetPort": 8080, "nodePort": NODE_PORT}],
            },
        },
    ]
    return yaml.safe_dump_all(documents)
