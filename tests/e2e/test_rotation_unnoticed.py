"""CAs and keys of three control planes are replaced while a cluster's users ask it, and they meet nothing; as in a backup.

Nobody waits here for what pods hold: they are restarted, as the how-to says. The probe's own pods read the CA only when they
start, as all do that were built with a client of Kubernetes 1.35 or older.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import Make, Say
from lab_cluster import KPROV, LabCluster, kubectl_path

pytestmark = [pytest.mark.lab, pytest.mark.long]


@pytest.fixture(scope="module")
def cluster(make_cluster: Make) -> LabCluster:
    made = make_cluster("unnoticed", {f"cp{number}": ["control_plane", "worker"] for number in (1, 2, 3)})
    made.limit = 3600  # seconds: of all phases, with the probe around them
    made.kprov("up", "--yes")
    return made


@pytest.mark.parametrize("kind", ["etcd", "front-proxy", "encryption", "kubernetes"])
def test_a_rotation_is_not_noticed(cluster: LabCluster, say: Say, kind: str) -> None:
    step = [str(KPROV), "certs", "rotate", str(cluster.inventory), kind, "--yes", "--wait", "--restart-pods"]
    probed(cluster, say, kind, step)


@pytest.mark.parametrize("kind", ["service-account", "all"])
def test_one_that_pods_hold_tokens_of_is_not_noticed(cluster: LabCluster, say: Say, kind: str, tmp_path: Path) -> None:
    """Who has begun again since the new key signs holds a token of it: nothing is left to wait for."""
    kubeconfig = f"{tmp_path}/admin.conf"
    kubectl = f"{kubectl_path()} --kubeconfig {kubeconfig}"
    again = "\n".join(
        f"{kubectl} -n {space} rollout restart deployment; {kubectl} -n {space} rollout status deployment --timeout=180s"
        for space in ("kube-system", "kprov-probe")
    )
    step = f"{KPROV} certs rotate {cluster.inventory} --yes --restart-pods"
    script = tmp_path / "rotate.sh"
    script.write_text(
        f"set -e; umask 077\n{step} {kind} --wait --stop-after issue\n"
        f"{KPROV} kubeconfig {cluster.inventory} > {kubeconfig}\n{again}\n{step} --now\n"
    )
    probed(cluster, say, kind, ["sh", str(script)])


@pytest.mark.parametrize("command", ["backup", "certs renew --all --yes"])
def test_what_changes_no_trust_is_not_noticed(cluster: LabCluster, say: Say, command: str) -> None:
    probed(cluster, say, command, [str(KPROV), *command.split(), str(cluster.inventory)])


def probed(cluster: LabCluster, say: Say, kind: str, command: list[str]) -> None:
    ran = cluster.kprov("probe", "--rate", "5", "--json", "--", *command, status=None)
    told = json.loads(ran.stdout)
    for row in told["probe"]:
        say(
            f"{kind}, {row['kind']}: {row['requests']} requests, {row['retries']} retries, {row['failures']} failures,"
            f" longest gap {row['longest_gap_seconds']} s, {row['lost']} lost"
        )
    assert told["command"] == 0, ran.stderr[-4000:]
    assert told["faults"] == []
