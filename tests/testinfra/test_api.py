"""The API: every server is ready, tells strangers nothing, and keeps secrets unreadable on disk."""

from __future__ import annotations

import json

import pytest
from testinfra.host import Host as Machine

from kprov.testinfra import expected, wire
from kprov.testinfra.fleet import API_NAME, Fleet
from kprov.testinfra.test_etcd import ETCDCTL
from kprov.values.model import Cluster

ENCRYPTED = "k8s:enc:"


def anonymous(fleet: Fleet, host: Machine, path: str, port: int = 6443) -> wire.Answer:
    session = fleet.session(host.backend.hostname)
    return wire.get_tls(session, "127.0.0.1", port, path, fleet.trusting("kubernetes"), API_NAME)


@pytest.mark.on("control_plane")
@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_api_server_is_healthy(host: Machine, fleet: Fleet, path: str) -> None:
    answer = anonymous(fleet, host, path)
    assert (answer.status, answer.body) == (200, b"ok")


@pytest.mark.on("control_plane")
@pytest.mark.parametrize("path", ["/api", "/version", "/api/v1/namespaces/kube-system/secrets", "/metrics"])
def test_strangers_are_told_nothing(host: Machine, fleet: Fleet, cluster: Cluster, path: str) -> None:
    """CIS 1.2.1. That the same server answers on /readyz is another check."""
    anyone = cluster.api.authentication.get("anonymous") or {}
    if anyone and path in {condition["path"] for condition in anyone.get("conditions") or ({"path": path},)}:
        pytest.skip("the inventory opens it")
    assert anonymous(fleet, host, path).status in (401, 403)


@pytest.mark.on("control_plane")
def test_api_server_is_of_the_inventorys_version(host: Machine, fleet: Fleet, cluster: Cluster) -> None:
    answer = fleet.ask_api(host.backend.hostname, "/version")
    assert answer.status == 200, answer.body
    assert json.loads(answer.body)["gitVersion"] == f"v{cluster.versions['kubernetes']}"


@pytest.mark.on("control_plane")
@pytest.mark.parametrize(("port", "component"), [(10257, "kube-controller-manager"), (10259, "kube-scheduler")])
def test_controllers_are_healthy(host: Machine, fleet: Fleet, port: int, component: str) -> None:
    session = fleet.session(host.backend.hostname)
    context = fleet.trusting("kubernetes")
    assert wire.get_tls(session, "127.0.0.1", port, "/healthz", context, "localhost").body == b"ok", component
    assert wire.get_tls(session, "127.0.0.1", port, "/metrics", context, "localhost").status in (401, 403)


@pytest.mark.on("node")
def test_node_reaches_the_api(host: Machine, fleet: Fleet, cluster: Cluster) -> None:
    """Through its own proxy, as kubelet and kube-proxy do; through the load balancer where there is one."""
    session = fleet.session(host.backend.hostname)
    if cluster.api_endpoint is None:
        answer = wire.get_tls(
            session, "127.0.0.1", expected.API_PROXY, "/readyz", fleet.trusting("kubernetes"), API_NAME
        )
        assert (answer.status, answer.body) == (200, b"ok")
    else:
        name, _, port = cluster.api_endpoint.rpartition(":")
        address = host.check_output("getent ahostsv4 %s", name).split()[0]
        answer = wire.get_tls(session, address, int(port), "/readyz", fleet.trusting("kubernetes"), name)
        assert (answer.status, answer.body) == (200, b"ok")


@pytest.mark.on("node")
def test_kubelet_tells_strangers_nothing(host: Machine, fleet: Fleet) -> None:
    """CIS 4.2.1."""
    name = host.backend.hostname
    address = fleet.node_ip(name)
    context = fleet.trusting("kubernetes")
    assert wire.get_tls(fleet.session(name), address, 10250, "/pods", context, address).status == 401


def flags(host: Machine) -> dict[str, str]:
    """The flags that kube-apiserver really runs with; of a repeated one the last counts."""
    pid = int(host.check_output("systemctl show -p MainPID --value kube-apiserver.service"))
    words = host.check_output(f"tr '\\0' '\\n' < /proc/{pid}/cmdline").splitlines()[1:]
    return dict(word.removeprefix("--").split("=", 1) for word in words if word.startswith("--") and "=" in word)


@pytest.mark.on("control_plane")
def test_api_server_runs_hardened(host: Machine, cluster: Cluster) -> None:
    found, desired = flags(host), expected.api_flags(cluster)
    assert {name: found.get(name) for name in desired} == desired
    assert not [name for name in expected.API_FLAGS_SET if not found.get(name)]
    assert found.get("anonymous-auth") != "true"


@pytest.mark.on("control_plane")
def test_encryption_of_secrets_is_configured(host: Machine, cluster: Cluster) -> None:
    """Secretbox writes, or what the inventory names; only names are looked at, the key stays where it is."""
    path = flags(host)["encryption-provider-config"]
    shown = host.check_output("grep -oE '(secretbox|identity|aescbc|aesgcm|kms|secrets)' %s", path).split()
    providers = [word for word in shown if word != "secrets"]
    assert "secrets" in shown
    given = cluster.api.encryption.providers
    assert providers[0] == (next(iter(given[0])) if given else "secretbox")


@pytest.mark.on("etcd")
def test_secrets_on_disk_are_encrypted(host: Machine) -> None:
    """The first bytes of every stored secret, as etcd has them; only the operator's prefix leaves the host."""
    keys = host.check_output(f"{ETCDCTL} get /registry/secrets/ --prefix --keys-only").split()
    if not keys:
        pytest.skip("the cluster has no secret yet")
    for key in keys[:20]:
        stored = host.check_output(f"{ETCDCTL} get --print-value-only %s | head -c {len(ENCRYPTED)}", key)
        assert stored == ENCRYPTED, f"{key} can be read from etcd's disk"
