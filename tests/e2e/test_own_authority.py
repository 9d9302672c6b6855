"""A cluster below a company's root: made with intermediates by key and by program, which then come and go by rotations.

The last one has its key in a token of SoftHSM.

One control plane and one worker.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import signing_program
import soft_token
from conftest import Make
from lab_cluster import PLAIN, LabCluster
from own_cas import Made, make

from kprov.pki.authority import CertificateAuthority
from kprov.state.signer import Signer
from kprov.state.store import Store
from kprov.values.certificate import CertificateSpec, SignerCommand

pytestmark = [pytest.mark.lab, pytest.mark.long]

NOW = datetime.now(UTC)
ROOT = make("Example Root", NOW, days=7300)
FIRST, ETCD, FRONT = (make(f"Example {name}", NOW, ROOT, path_length=0) for name in ("1", "etcd", "front"))
PAYROLL = make("Example Payroll", NOW, ROOT, path_length=0)
ADMIN = CertificateSpec(
    name="admin", authority="kubernetes", common_name="a", organizations=("system:masters",), client=True, days=30
)
CURL = "curl -sk -o /dev/null -w '%{http_code}' --max-time 10"


def by_key(name: str) -> dict[str, Any]:
    return {"certificate": f"{name}.crt", "key": f"{name}.key"}


def by_program(name: str) -> dict[str, Any]:
    command = [sys.executable, str(signing_program.__file__), f"{name}.crt", f"{name}.key"]
    return {"certificate": f"{name}.crt", "signer": {"command": command}}


@pytest.fixture(scope="module")
def cluster(make_cluster: Make) -> LabCluster:
    keys = {**PLAIN, "pki": {"authority": {"kubernetes": by_key("first"), "etcd": by_program("etcd")}}}
    made = make_cluster("keys-own", {"cp1": ["control_plane"], "w1": ["worker"]}, keys)
    for name, ca in {"first": FIRST, "etcd": ETCD, "front": FRONT}.items():
        (made.folder / f"{name}.crt").write_bytes(ca.chain)
        (made.folder / f"{name}.key").write_bytes(ca.key_pem)
        (made.folder / f"{name}.key").chmod(0o600)
    made.kprov("up", "--yes")
    return made


def state(cluster: LabCluster) -> Store:
    (folder,) = (path for path in (cluster.folder / ".kprov").iterdir() if path.is_dir())
    return Store.open(folder, folder.name)


def name_authorities(cluster: LabCluster, authorities: Mapping[str, Any]) -> None:
    cluster.edit(lambda document: document["cluster"]["pki"].update(authority=dict(authorities)))


def refused_then_rotated(cluster: LabCluster, kind: str) -> str:
    """A run that would replace the CA in silence is refused; the command that its message names leads."""
    refused = cluster.kprov("plan", status=1).text
    assert "of a living cluster is replaced by a rotation alone; nothing was touched" in refused
    assert "inventory.yaml:" in refused
    assert f"`kprov certs rotate INVENTORY {kind}`" in refused
    told = cluster.kprov("certs rotate", kind, "--no-backup", "--yes", "--now", "--restart-pods").text
    assert "replaced; the old one is accepted nowhere" in told
    assert "nothing to change" in cluster.kprov("plan").stdout
    return told


def by_file(ca: Made) -> CertificateAuthority:
    return CertificateAuthority.load("kubernetes", ca.chain, ca.key_pem)


def let_in(cluster: LabCluster, ca: CertificateAuthority | Signer, place: str) -> str:
    """What the API server says to an administrator by this CA."""
    pair = ca.issue(ADMIN, datetime.now(UTC))
    folder = cluster.lab.machine("cp1").root / "root"
    (folder / f"{place}.crt").write_bytes(pair.cert_pem)
    (folder / f"{place}.key").write_bytes(pair.key_pem)
    ask = f"{CURL} --cert /root/{place}.crt --key /root/{place}.key https://127.0.0.1:6443/api/v1/nodes"
    return cluster.sh("cp1", ask, check=False).strip()


def verified(cluster: LabCluster, port: int, ca: Path | str) -> bool:
    """Whether OpenSSL, which looks for a root, believes what serves at this port of cp1."""
    ask = f"openssl s_client -connect 127.0.0.1:{port} -CAfile {ca} -verify_return_error </dev/null"
    return "Verify return code: 0 (ok)" in cluster.sh("cp1", f"{ask} 2>&1", check=False)


def test_a_cluster_is_made_with_them(cluster: LabCluster) -> None:
    assert cluster.nodes() == {"cp1": True, "w1": True}
    assert "nothing to change" in cluster.kprov("plan").stdout
    assert let_in(cluster, by_file(FIRST), "first") == "200"
    assert let_in(cluster, by_file(PAYROLL), "payroll") == "401", "whom the root signs for elsewhere is nobody here"
    (cluster.lab.machine("cp1").root / "root" / "root.crt").write_bytes(ROOT.pem)
    for port in (6443, 10250, 2379):
        assert verified(cluster, port, "/root/root.crt"), port
    given = cluster.get("configmap", "kube-root-ca.crt")["data"]["ca.crt"].encode()
    assert given == FIRST.chain, "pods are given the root, too"
    assert cluster.sh("cp1", "cat /etc/kubernetes/pki/ca.crt").encode().strip() == FIRST.pem.strip()
    assert "ok" in cluster.kprov("status").stdout


def test_no_key_of_theirs_is_anywhere_else(cluster: LabCluster) -> None:
    for ca in (FIRST, ETCD):
        line = ca.key_pem.decode().split("\n")[1]
        assert line not in state(cluster).text().decode()
        for host in ("cp1", "w1"):
            found = cluster.sh(host, f"grep -rlF '{line}' /etc /var/lib/kprov /opt/kprov /root || echo none")
            assert found.strip() == "none"


def test_kprov_s_own_gives_way_to_one(cluster: LabCluster) -> None:
    authorities = {"kubernetes": by_key("first"), "etcd": by_program("etcd"), "front_proxy": by_key("front")}
    name_authorities(cluster, authorities)
    refused_then_rotated(cluster, "front-proxy")
    assert state(cluster).keeps == set()
    assert cluster.sh("cp1", "cat /etc/kubernetes/pki/front-proxy-ca.crt").encode().strip() == FRONT.pem.strip()


def test_one_gives_way_to_kprov_s_own(cluster: LabCluster) -> None:
    """The inventory names it no more, so that nobody signs by it: it goes as one whose key is lost."""
    name_authorities(cluster, {"kubernetes": by_key("first"), "front_proxy": by_key("front")})
    refused_then_rotated(cluster, "etcd")
    assert state(cluster).keeps == {"etcd"}
    assert not verified(cluster, 2379, "/root/root.crt")
    assert verified(cluster, 2379, "/etc/etcd/pki/ca.crt")


def test_one_gives_way_to_another_whose_key_is_in_a_token(cluster: LabCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in soft_token.make(cluster.folder, ROOT).items():
        monkeypatch.setenv(name, value)
    signs = {"certificate": "ca/kubernetes.crt", "signer": {"command": ["./sign", "kubernetes"]}}
    name_authorities(cluster, {"kubernetes": signs, "front_proxy": by_key("front")})
    refused_then_rotated(cluster, "kubernetes")
    chain = (cluster.folder / "ca" / "kubernetes.crt").read_bytes()
    command = SignerCommand(words=("./sign", "kubernetes"), folder=cluster.folder, timeout=60)
    assert let_in(cluster, by_file(FIRST), "first") == "401"
    assert let_in(cluster, Signer(name="kubernetes", pem=chain, command=command), "second") == "200"
    cluster.kubeconfig.unlink()
    assert cluster.nodes() == {"cp1": True, "w1": True}
    given = cluster.get("configmap", "kube-root-ca.crt")["data"]["ca.crt"].encode()
    assert given == chain
    assert verified(cluster, 6443, "/root/root.crt")
    cluster.kubectl("-n", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=120s")
    assert "ok" in cluster.kprov("status").stdout
