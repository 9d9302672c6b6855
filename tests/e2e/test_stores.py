"""Backups of a living cluster go to an SFTP server and to an S3-compatible store, and come back from there.

One control plane, one worker, and a machine that is no host of the cluster: its sshd is the server. The other store is moto,
on the operator's computer. People's rights in namespaces are given and taken back here, too.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from conftest import Make
from lab_cluster import CommandFailed, LabCluster, until

from kprov.lab import machines

pytestmark = [pytest.mark.lab, pytest.mark.long]

FOLDER = "/home/deploy/backups"  # of a user who is not root
KEY, SECRET = "AKIATESTTESTTESTTEST", "secret-that-must-never-show"
KEEP = {"last": 1, "daily": 0, "weekly": 0, "monthly": 0}


@dataclass(frozen=True)
class Store:
    """A place for backups. keys: what the inventory says of it. files: what lies there, asked behind kprov's back."""

    to: str
    keys: Mapping[str, Any]
    files: Callable[[], set[str]]
    end: Callable[[], object]  # it is away from then on
    away: str  # what is said then


@pytest.fixture(scope="module")
def cluster(make_cluster: Make) -> LabCluster:
    made = make_cluster("keys-stores", {"cp1": ["control_plane"], "w1": ["worker"], "store": []})
    made.edit(lambda inventory: inventory["cluster"].update(backup={"every": "30m", "keep": KEEP}))
    made.kprov("up", "--yes")
    return made


def sftp(cluster: LabCluster) -> Store:
    machine = cluster.lab.machine("store")
    cluster.sh("store", f"install -d -m 0700 -o deploy -g deploy {FOLDER}")
    return Store(
        f"sftp://deploy@{machine.address}{FOLDER}",
        {"sftp": {"key": str(cluster.lab.key), "host_key": machine.host_key}},
        lambda: set(cluster.sh("store", f"ls -A {FOLDER}").split()),
        lambda: machines.stop(machine),
        "the store cannot be used: ",
    )


@contextmanager
def s3(cluster: LabCluster) -> Iterator[Store]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    endpoint = f"http://127.0.0.1:{port}"
    credentials = cluster.folder / "credentials"
    credentials.touch(mode=0o600)
    credentials.write_text(f"[default]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n")
    words = [Path(sys.executable).parent / "moto_server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        until(lambda: answers(port), seconds=120, what="moto")
        client = boto3.client(
            "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id=KEY, aws_secret_access_key=SECRET
        )
        client.create_bucket(Bucket="backups")

        def end() -> None:
            process.terminate()
            process.wait()

        yield Store(
            "s3://backups/prod",
            {"s3": {"endpoint": endpoint, "credentials": str(credentials)}},
            lambda: {
                row["Key"].removeprefix("prod/") for row in client.list_objects_v2(Bucket="backups").get("Contents", ())
            },
            end,
            "the store cannot be reached",
        )
        end()


def answers(port: int) -> bool:
    socket.create_connection(("127.0.0.1", port), timeout=2).close()
    return True


@pytest.fixture(params=["s3", "sftp"])
def store(request: pytest.FixtureRequest, cluster: LabCluster) -> Iterator[Store]:
    if request.param == "sftp":
        yield sftp(cluster)
    else:
        with s3(cluster) as made:
            yield made


def names(cluster: LabCluster) -> list[str]:
    listed = json.loads(cluster.kprov("backup list", "--json").stdout)
    return [str(row["path"]).rpartition("/")[2] for row in listed["backups"]]


def moment(cluster: LabCluster) -> None:
    """Names of backups tell seconds: the next one gets another."""
    time.sleep(1.1)
    cluster.kubectl("create", "configmap", f"at-{time.time_ns()}", "--from-literal=a=b")


def test_backups_are_kept_in_a_store_and_come_back_from_it(cluster: LabCluster, store: Store) -> None:
    keys = {"every": "30m", "keep": KEEP, "to": store.to, **store.keys}
    cluster.edit(lambda inventory: inventory["cluster"].update(backup=keys))
    assert "nothing to change" in cluster.kprov("plan").stdout, "hosts know nothing of the store"
    [of_host] = until(
        lambda: json.loads(cluster.kprov("backup list", "--json").stdout)["on_hosts"], seconds=90, what="a backup"
    )
    cluster.kubectl("create", "configmap", "kept", "--from-literal=a=b")
    moment(cluster)
    first = json.loads(cluster.kprov("backup", "--json").stdout)
    assert str(first["path"]).startswith(f"{store.to}/")
    cluster.kubectl("delete", "configmap", "kept")

    for said in (f"copied {of_host['name']}", "nothing new on the hosts"):
        assert said in cluster.kprov("backup collect").stdout
    assert set(names(cluster)) == store.files() == {of_host["name"], str(first["path"]).rpartition("/")[2]}
    assert "as many as when it was taken" in cluster.kprov("backup verify latest").stdout
    assert "for: taken by the hosts" in cluster.kprov(f"backup verify {store.to}/{of_host['name']}").stdout

    said = cluster.kprov(f"restore {first['path']}", "--yes", "--no-backup").text
    assert "begins again with" in said
    assert cluster.get("configmap", "kept")["data"] == {"a": "b"}
    until(lambda: all(cluster.nodes().values()), seconds=60, what="all nodes Ready")
    assert "nothing to change" in cluster.kprov("plan").stdout
    cluster.kubectl("delete", "configmap", "kept")

    moment(cluster)
    cluster.kprov("backup")
    *old, newest = names(cluster)
    assert "would go: " in cluster.kprov("backup prune", "--dry-run").stdout
    assert len(store.files()) == 3
    pruned = cluster.kprov("backup prune", "--yes").stdout
    assert [line for line in pruned.splitlines() if line.startswith("goes: ")] == [
        f"goes: {store.to}/{name}" for name in old
    ]
    assert store.files() == {newest}
    assert "nothing that the rules do not keep" in cluster.kprov("backup prune", "--yes").stdout

    store.end()
    for words in (("backup",), ("backup list",), ("backup collect",), ("restore latest", "--yes")):
        refused = cluster.kprov(*words, status=1).text
        assert store.away in refused, words
        assert SECRET not in refused
    assert cluster.nodes() == {"cp1": True, "w1": True}


def test_a_role_in_a_namespace_is_given_to_a_person_and_taken_back(cluster: LabCluster) -> None:
    for space in ("shop", "bank"):
        cluster.kubectl("create", "namespace", space)
    cluster.kubectl("create", "role", "reader", "-n", "bank", "--verb=get,list", "--resource=configmaps")
    conf = cluster.folder / "anna.conf"
    give = ("--user", "anna", "--days", "2", "-o", str(conf))
    cluster.kprov("kubeconfig", *give, "--namespace", "shop", "--role", "edit")
    cluster.kprov("kubeconfig", *give, "--namespace", "bank", "--role", "reader")
    for missing in (("--namespace", "nowhere", "--role", "edit"), ("--namespace", "shop", "--role", "reader")):
        assert "there is no such" in cluster.kprov("kubeconfig", *give, *missing, status=1).text

    def anna(*words: str) -> str:
        return cluster.kubectl("--kubeconfig", str(conf), *words)

    anna("create", "configmap", "mine", "-n", "shop", "--from-literal=a=b")
    assert "kube-root-ca.crt" in anna("get", "configmaps", "-n", "bank")
    for refused in (("get", "configmaps", "-n", "default"), ("delete", "configmap", "kube-root-ca.crt", "-n", "bank")):
        with pytest.raises(CommandFailed, match="Forbidden"):
            anna(*refused)
    listed = cluster.kprov("kubeconfig", "--list").stdout
    assert "edit in shop" in listed
    assert "reader in bank" in listed
    cluster.kubectl("create", "rolebinding", "own", "-n", "bank", "--clusterrole=view", "--user=anna")

    said = cluster.kprov("kubeconfig", "--take-back", "anna").stdout
    assert said.count("kprov:") == 2
    assert "still gives rights: " in said
    assert "anna's certificate is good until" in said
    with pytest.raises(CommandFailed, match="Forbidden"):
        anna("get", "configmap", "mine", "-n", "shop")
    cluster.kubectl("delete", "rolebinding", "own", "-n", "bank")
    with pytest.raises(CommandFailed, match="Forbidden"):
        anna("get", "configmaps", "-n", "bank")
    assert "anna" in anna("auth", "whoami"), "the certificate says who it is, and nothing more"
    assert "nothing: kprov gave this name no role" in cluster.kprov("kubeconfig", "--take-back", "anna").stdout
