"""Backups of a living cluster are taken, proven and restored; certificates get new keys; people get their own access.

One control plane and one worker. What takes three control planes, or the loss of most of them, is in test_restore.py.
"""

from __future__ import annotations

import json
from pathlib import Path

import pyrage
import pytest
from conftest import Make
from lab_cluster import LabCluster, until

pytestmark = pytest.mark.lab

DATA = "/var/lib/etcd"
PKI = "/etc/etcd/pki"


@pytest.fixture(scope="module")
def cluster(make_cluster: Make) -> LabCluster:
    made = make_cluster("backup", {"cp1": ["control_plane"], "w1": ["worker"]})
    made.kprov("up", "--yes")
    made.kubectl("create", "secret", "generic", "kept", "--from-literal=a=b")
    return made


def backups(cluster: LabCluster) -> list[dict[str, object]]:
    found = json.loads(cluster.kprov("backup list", "--json").stdout)
    rows: list[dict[str, object]] = found["backups"]
    return rows


def latest(cluster: LabCluster) -> Path:
    return Path(str(backups(cluster)[-1]["path"]))


def file_command(cluster: LabCluster, command: str, file: str | Path, *arguments: str, status: int = 0) -> str:
    """A command whose first argument is a backup."""
    words = [*command.split(), str(file)]
    return cluster.kprov(" ".join(words), *arguments, status=status).text


def test_a_backup_is_taken_and_proven_and_changes_nothing(cluster: LabCluster) -> None:
    assert "none" in [
        line.split()[1] for line in cluster.kprov("status").stdout.splitlines() if line.startswith("backup")
    ]
    before = cluster.main_pids("cp1")
    said = cluster.kprov("backup").stdout
    assert "objects of" in said
    proof = file_command(cluster, "backup verify", "latest")
    assert "as many as when it was taken" in proof
    assert "the Secret default/kept opens with the key in it" in proof
    assert cluster.main_pids("cp1") == before
    assert "nothing to change" in cluster.kprov("plan").stdout
    assert cluster.sh("cp1", "ls /var/lib/kprov | grep -c snapshot || true").strip() == "0"
    assert latest(cluster).stat().st_mode & 0o777 == 0o600


def test_bad_input_is_told_and_leaves_what_is_there(cluster: LabCluster, tmp_path: Path) -> None:
    there = backups(cluster)
    whole = latest(cluster).read_bytes()
    cut = tmp_path / "cut.age"
    cut.write_bytes(whole[:-100])
    assert "damaged or was cut off" in file_command(cluster, "backup verify", cut, status=1)
    key = tmp_path / "key"
    key.write_text(str(pyrage.x25519.Identity.generate()))
    state = tmp_path / "none"
    said = file_command(
        cluster, "backup verify", latest(cluster), "--state-dir", str(state), "--identity", str(key), status=1
    )
    assert "none of the keys opens this backup" in said
    assert "cannot be used" in cluster.kprov("backup", "--to", str(tmp_path / "away"), status=1).text
    assert backups(cluster) == there


def test_a_restore_brings_back_what_was_lost_and_time_does_not_go_back(cluster: LabCluster) -> None:
    cluster.kubectl("create", "configmap", "later", "--from-literal=a=b")
    before = int(cluster.get("configmap", "later")["metadata"]["resourceVersion"])
    pids = cluster.main_pids("w1")
    file = latest(cluster)
    cluster.sh("cp1", f"systemctl stop etcd && rm -rf {DATA}/member")
    status = cluster.kprov("status", status=1).stdout
    assert "no quorum" in status
    assert "kprov restore latest" in status
    for command in ("plan", "up --yes"):
        assert "kprov restore latest" in cluster.kprov(command, status=1).text
    said = file_command(cluster, "restore", file, "--yes")
    assert "begins again with" in said
    assert cluster.get("secret", "kept")["data"] == {"a": "Yg=="}
    assert "later" not in cluster.kubectl("get", "configmap")
    cluster.kubectl("create", "configmap", "after", "--from-literal=a=b")
    assert int(cluster.get("configmap", "after")["metadata"]["resourceVersion"]) > before
    assert cluster.main_pids("w1") == pids, "containers and their node go on"
    assert cluster.nodes() == {"cp1": True, "w1": True}
    assert "nothing to change" in cluster.kprov("plan").stdout


def test_a_lost_state_folder_comes_back_from_a_backup(cluster: LabCluster, tmp_path: Path) -> None:
    passphrase, key = tmp_path / "passphrase", tmp_path / "key"
    passphrase.touch(mode=0o600)
    passphrase.write_text("correct horse")
    cluster.kprov("backup key", "-o", str(key), "--key-passphrase-file", str(passphrase))
    plain = tmp_path / "plain"
    plain.write_bytes(pyrage.passphrase.decrypt(key.read_bytes(), "correct horse"))
    file = latest(cluster)
    folder = cluster.inventory.parent / ".kprov" / "backup"
    folder.rename(tmp_path / "gone")
    file = tmp_path / "gone" / "backups" / file.name
    assert "no keys" in cluster.kprov("backup", status=1).text
    said = file_command(cluster, "restore", file, "--state-only", "--identity", str(plain))
    assert "came back from the backup" in said
    assert "nothing to change" in cluster.kprov("plan").stdout


def test_hosts_take_backups_by_themselves_which_are_proven_and_restored_as_any(cluster: LabCluster) -> None:
    cluster.edit(lambda inventory: inventory["cluster"].update(backup={"every": "30m"}))
    assert "the hosts have not taken one yet" in cluster.kprov("status", status=1).stdout
    cluster.kprov("up", "--yes")
    row = until(
        lambda: json.loads(cluster.kprov("backup list", "--json").stdout)["on_hosts"], seconds=60, what="a backup"
    )
    name = f"{row[0]['host']}:{row[0]['name']}"
    status = cluster.kprov("status").stdout
    assert "timed backup" in status
    assert str(row[0]["name"]) in status
    assert "TAKEN BY THE HOSTS" in cluster.kprov("backup list").stdout
    proof = file_command(cluster, "backup verify", name)
    assert "for: taken by the hosts" in proof
    assert "as many as when it was taken" in proof
    assert "the Secret" in proof
    assert "opens with the key in it" in proof
    assert "nothing to change" in cluster.kprov("plan").stdout
    store = cluster.folder / "store"
    store.mkdir()
    for copied in (f"copied {row[0]['name']}", "nothing new on the hosts"):
        assert copied in cluster.kprov("backup collect", "--to", str(store)).stdout
    assert str(row[0]["name"]) in cluster.kprov("backup list", "--from", str(store)).stdout
    assert "nothing that the rules do not keep" in cluster.kprov("backup prune", "--from", str(store)).stdout
    state = "/etc/kprov/backup/state.age"
    sealed = cluster.sh("cp1", f"head -n 1 {state}; grep -c PRIVATE {state} || true")
    assert sealed.split() == ["age-encryption.org/v1", "0"]


def test_what_hinders_a_timed_backup_is_told(cluster: LabCluster) -> None:
    cluster.sh("cp1", "chmod 500 /var/lib/kprov-backups")
    ask = f"/opt/kprov/bin/etcdctl --endpoints=https://127.0.0.1:2379 --cacert={PKI}/ca.crt"
    cluster.sh(
        "cp1", f"{ask} --cert={PKI}/healthcheck-client.crt --key={PKI}/healthcheck-client.key del /kprov/backup/done"
    )
    cluster.sh("cp1", "systemctl restart kprov-backup")
    told = until(
        lambda: [line for line in cluster.kprov("status", status=None).stdout.splitlines() if "TimedBackup" in line],
        seconds=60,
        what="the failure",
    )
    assert "user etcd may not write to it" in told[0]
    cluster.kprov("up", "--yes")  # puts the folder's mode right
    cluster.sh("cp1", "systemctl restart kprov-backup")
    until(lambda: "TimedBackup" not in cluster.kprov("status", status=None).stdout, seconds=60, what="a backup again")


def test_certificates_get_new_keys_and_people_their_own(cluster: LabCluster) -> None:
    paths = json.loads(cluster.kprov("certs list", "--json").stdout)["certificates"]
    path = next(row["path"] for row in paths if row["host"] == "w1" and row["name"] == "kubelet-client")
    old = cluster.sh("w1", f"sha256sum {path}")
    cluster.kprov("certs renew", "kubelet-client", "--yes")
    assert cluster.sh("w1", f"sha256sum {path}") != old
    assert "nothing to change" in cluster.kprov("plan").stdout
    conf = cluster.folder / "anna.conf"
    cluster.kprov("kubeconfig", "--user", "anna", "--group", "readers", "--days", "2", "-o", str(conf))
    who = cluster.kubectl("--kubeconfig", str(conf), "auth", "whoami")
    assert "anna" in who
    assert "readers" in who
    assert "anna" in cluster.kprov("kubeconfig", "--list").stdout
