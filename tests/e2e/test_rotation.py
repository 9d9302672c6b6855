"""Every CA and key of a living cluster is replaced; then nothing that the old ones signed is accepted.

One control plane and one worker: the gaps are those of its restarts. With three: test_rotation_unnoticed.py.
"""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from conftest import Make, Say
from lab_cluster import KPROV, LabCluster, kubectl_path, until

from kprov.state.store import Store

pytestmark = [pytest.mark.lab, pytest.mark.long]

OLD = "/root/old"  # on cp1: what the old CAs signed
PAIRS = {  # name there → the files that hosts have
    "etcd": "/etc/etcd/pki/healthcheck-client",
    "etcd-peer": "/etc/etcd/pki/peer",
    "etcd-of-api": "/etc/kubernetes/kube-apiserver/etcd-client",
    "front-proxy": "/etc/kubernetes/kube-apiserver/front-proxy-client",
    "kubelet-of-api": "/etc/kubernetes/kube-apiserver/kubelet-client",
}
CURL = "curl -sk -o /dev/null -w '%{http_code}' --max-time 10"


@pytest.fixture(scope="module")
def cluster(make_cluster: Make) -> LabCluster:
    made = make_cluster("rotation", {"cp1": ["control_plane"], "w1": ["worker"]}, {})  # {}: with metrics-server
    made.kprov("up", "--yes")
    made.kubectl("create", "serviceaccount", "robot")
    made.kubectl("create", "clusterrolebinding", "robot", "--clusterrole=view", "--serviceaccount=default:robot")
    made.kubectl("create", "secret", "generic", "kept", "--from-literal=a=bcd")
    return made


@pytest.fixture(scope="module")
def old(cluster: LabCluster) -> Mapping[str, str]:
    """What was given out before: a token here; certificates with their keys lie on cp1."""
    token = cluster.kubectl("create", "token", "robot", "--duration=24h").strip()
    user = yaml.safe_load(cluster.kubeconfig.read_text())["users"][0]["user"]
    certificate, key = (base64.b64decode(user[f"client-{part}-data"]).decode() for part in ("certificate", "key"))
    cluster.sh("cp1", f"mkdir -p {OLD}")
    for name, path in PAIRS.items():
        cluster.sh("cp1", f"cp {path}.crt {OLD}/{name}.crt && cp {path}.key {OLD}/{name}.key")
    for part, text in (("crt", certificate), ("key", key)):
        (cluster.lab.machine("cp1").root / "root" / "old" / f"admin.{part}").write_text(text)
    return {"token": token}


def rotate(cluster: LabCluster, *arguments: str, status: int = 0) -> str:
    return cluster.kprov("certs rotate", *arguments, "--no-backup", "--yes", status=status).text


def answers(cluster: LabCluster, old: Mapping[str, str]) -> dict[str, str]:
    """What every port says to who shows what the old CAs and keys signed: HTTP's code, or how etcd ends."""

    def asked(host: str, port: int, path: str, more: str) -> str:
        address = cluster.lab.machine(host).address if host else "127.0.0.1"
        return cluster.sh("cp1", f"{CURL} {more} https://{address}:{port}{path}", check=False).strip()

    def pair(name: str) -> str:
        return f"--cert {OLD}/{name}.crt --key {OLD}/{name}.key"

    def etcd(name: str) -> str:
        etcdctl = (
            f"/opt/kprov/bin/etcdctl --command-timeout=5s --endpoints=https://127.0.0.1:2379 --cacert=/etc/etcd/pki/ca.crt"
            f" --cert={OLD}/{name}.crt --key={OLD}/{name}.key get health"
        )
        return cluster.sh("cp1", f"{etcdctl} >/dev/null 2>&1 && echo let in || echo refused").strip()

    impersonating = f"{pair('front-proxy')} -H 'X-Remote-User: admin' -H 'X-Remote-Group: system:masters'"
    return {
        "api, certificate": asked("", 6443, "/api/v1/nodes", pair("admin")),
        "api, token": asked("", 6443, "/api/v1/pods", f"-H 'Authorization: Bearer {old['token']}'"),
        "api, front proxy": asked("", 6443, "/api/v1/nodes", impersonating),
        "kubelet cp1": asked("cp1", 10250, "/pods", pair("kubelet-of-api")),
        "kubelet w1": asked("w1", 10250, "/pods", pair("kubelet-of-api")),
        "controller manager": asked("", 10257, "/metrics", impersonating),
        "scheduler": asked("", 10259, "/metrics", impersonating),
        "etcd's peers": asked("cp1", 2380, "/members", f"--http1.1 {pair('etcd-peer')}"),  # it offers h2, and has none
        "etcd": etcd("etcd"),
        "etcd as the api server": etcd("etcd-of-api"),
    }


def state(cluster: LabCluster) -> Store:
    (folder,) = (path for path in (cluster.folder / ".kprov").iterdir() if path.is_dir())
    return Store.open(folder, folder.name)


def test_it_is_stopped_taken_back_and_shown(cluster: LabCluster, old: Mapping[str, str]) -> None:
    before = answers(cluster, old)
    assert before["api, certificate"] == before["kubelet w1"] == before["api, front proxy"] == "200", before
    assert before["etcd's peers"] == "200", before
    assert before["etcd"] == before["etcd as the api server"] == "let in"
    trust = state(cluster).trust()
    assert "the etcd CA" in cluster.kprov("certs rotate", "etcd", "--dry-run", status=2).stdout
    assert state(cluster).rotation is None
    rotate(cluster, "etcd", "--stop-after", "trust")
    for command in ("status", "certs list"):
        assert "rotation of the etcd CA: phase trust, on all hosts" in cluster.kprov(command).stdout
    assert "another rotation has begun" in rotate(cluster, "front-proxy", status=1)
    assert "nothing to change" in cluster.kprov("plan").stdout
    rotate(cluster, "--stop-after", "issue")
    rotate(cluster, "--back")
    assert state(cluster).rotation is None
    assert state(cluster).trust() == trust
    assert answers(cluster, old) == before
    assert "nothing to change" in cluster.kprov("plan").stdout


def test_all_of_them_are_replaced_and_the_gaps_are_those_of_restarts(
    cluster: LabCluster, old: Mapping[str, str], say: Say, tmp_path: Path
) -> None:
    """Pods get new tokens and read the new CA by starting again: it would be an hour to wait for that."""
    kubectl = f"{kubectl_path()} --kubeconfig {tmp_path}/admin.conf"
    again = "\n".join(
        f"{kubectl} -n {space} rollout restart deployment; {kubectl} -n {space} rollout status deployment --timeout=120s"
        for space in ("kube-system", "kprov-probe")
    )
    fetch = f"{KPROV} kubeconfig {cluster.inventory} > {tmp_path}/admin.conf"
    step = f"{KPROV} certs rotate {cluster.inventory} --no-backup --yes"
    script = tmp_path / "rotate.sh"
    script.write_text(
        f"set -e; umask 077\n{step} all --stop-after trust\n{fetch}\n{again}\n"
        f"{step} --now --stop-after issue\n{fetch}\n{again}\n{step} --now\n"
    )
    probe = [KPROV, "probe", cluster.inventory, "--patience", "90", "--json", "--", "sh", script]
    ran = subprocess.run(probe, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=2400, check=False)
    told = json.loads(ran.stdout)
    for row in told["probe"]:
        say(
            f"{row['kind']}: {row['requests']} requests, longest gap {row['longest_gap_seconds']} s, {row['lost']} lost"
        )
    assert told["command"] == 0, ran.stderr[-4000:]
    assert all(row["lost"] == 0 for row in told["probe"])
    assert [fault for fault in told["faults"] if not fault.startswith(("names", "service"))] == []
    assert state(cluster).rotation is None


def test_nothing_that_the_old_ones_signed_is_accepted(cluster: LabCluster, old: Mapping[str, str]) -> None:
    said = answers(cluster, old)
    assert said.pop("etcd") == said.pop("etcd as the api server") == "refused"
    assert {place for place, code in said.items() if code not in ("401", "403", "000")} == set(), said


def test_the_cluster_lives_on_with_the_new_ones(cluster: LabCluster) -> None:
    cluster.kubeconfig.unlink()
    assert cluster.nodes() == {"cp1": True, "w1": True}
    secret = cluster.get("secret", "kept")
    assert base64.b64decode(secret["data"]["a"]) == b"bcd"
    found = cluster.sh(
        "cp1",
        "/opt/kprov/bin/etcdctl --endpoints=https://127.0.0.1:2379 --cacert=/etc/etcd/pki/ca.crt"
        " --cert=/etc/etcd/pki/healthcheck-client.crt --key=/etc/etcd/pki/healthcheck-client.key"
        " get /registry/secrets/default/kept --print-value-only | grep -ac k8s:enc:secretbox:v1:key2",
    )
    assert found.strip() == "1"
    assert "nothing to change" in cluster.kprov("plan").stdout
    tops = until(
        lambda: cluster.kubectl("top", "node", "--no-headers"), seconds=120, what="an API of a server in a pod"
    )
    assert "w1" in tops
    root = cluster.get("configmap", "kube-root-ca.crt")["data"]["ca.crt"]
    assert root.count("BEGIN CERTIFICATE") == 1
