"""Small decisions of roles, one by one: modes, sizes, names."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from given import context

from kprov.roles import kubelet, policies, timed_backup
from kprov.roles.etcd import client_urls, member_name, peer_url
from kprov.roles.layout import api_server_url, kube_proxy_mode
from kprov.roles.network import CONFLIST, mtu, resources
from kprov.roles.network import settings as network_settings
from kprov.roles.reservations import kube_reserved, system_reserved
from kprov.values.durations import go_seconds
from kprov.values.paths import KEPT_BACKUPS
from kprov.values.resources import Directory, File

GIB = 2**30
TEMPLATES = Path(__file__).parents[2] / "templates"


def _given(facts: dict[str, Any] | None = None, **cluster: Any) -> Any:
    return context({"cluster": cluster, "hosts": {"a": {"groups": ["etcd", "control_plane"], "facts": facts or {}}}})


@pytest.mark.parametrize(
    ("kernel", "nft", "chosen", "mode"),
    [
        ((5, 13), (1, 0), "auto", "nftables"),
        ((5, 12), (1, 0), "auto", "iptables"),
        ((6, 1), (0, 9), "auto", "iptables"),
        ((6, 1), None, "auto", "iptables"),
        ((6, 1), None, "nftables", "nftables"),
        ((6, 1), (1, 1), "iptables", "iptables"),
    ],
)
def test_kube_proxy_mode(kernel: tuple[int, int], nft: tuple[int, int] | None, chosen: str, mode: str) -> None:
    ctx = _given({"kernel": kernel, "nft": nft}, kube_proxy_mode=chosen)
    assert kube_proxy_mode(ctx.cluster, ctx.own) == mode


@pytest.mark.parametrize(("nft", "backend"), [((1, 0), "nftables"), (None, "iptables")])
def test_host_ports_are_written_in_one_way_whatever_kube_proxys_mode_becomes(nft: Any, backend: str) -> None:
    """What the one backend wrote the other does not remove: an entry would stay, and lead to another pod later."""
    for mode in ("auto", "nftables", "iptables"):
        ctx = _given({"kernel": (6, 1), "nft": nft}, kube_proxy_mode=mode)
        (conflist,) = [item for item in resources(ctx) if isinstance(item, File) and item.path == CONFLIST]
        (portmap,) = [plugin for plugin in json.loads(conflist.content)["plugins"] if plugin["type"] == "portmap"]
        assert portmap["backend"] == backend


def test_api_server_url() -> None:
    assert api_server_url(_given().cluster) == "https://127.0.0.1:6444"
    assert api_server_url(_given(api_endpoint="lb:443").cluster) == "https://lb:443"


def test_etcd_names() -> None:
    ctx = context({"hosts": {"a": {"groups": ["etcd"]}, "b": {"groups": ["worker"]}, "c": {"groups": ["etcd"]}}})
    assert client_urls(ctx.cluster, ctx.facts) == ("https://192.0.2.1:2379", "https://192.0.2.3:2379")
    assert peer_url(ctx.cluster.host("c"), ctx.facts) == "https://192.0.2.3:2380"
    assert member_name(ctx.cluster.host("c")) == "c"


def test_mtu_is_that_of_the_nodes_own_link() -> None:
    facts = _given({"mtu": 8951}).own
    assert mtu(facts, "192.0.2.1") == 8951
    assert mtu(replace(facts, interfaces=()), "192.0.2.1") == 1500


@pytest.mark.parametrize(
    ("cpus", "memory", "cpu", "mebibytes"),
    [
        (1, GIB, "60m", "256Mi"),
        (2, 2 * GIB, "70m", "512Mi"),
        (4, 8 * GIB, "80m", "1843Mi"),
        (64, 512 * GIB, "230m", "4096Mi"),
    ],
)
def test_kube_reserved(cpus: int, memory: int, cpu: str, mebibytes: str) -> None:
    assert kube_reserved(cpus, memory) == {"cpu": cpu, "memory": mebibytes, "ephemeral-storage": "1Gi"}


@pytest.mark.parametrize("memory", [GIB, 2 * GIB, 4 * GIB, 64 * GIB])
@pytest.mark.parametrize("groups", [{"worker"}, {"etcd", "control_plane"}])
def test_pods_find_room_on_every_machine(memory: int, groups: set[str]) -> None:
    kept = sum(
        int(part["memory"].removesuffix("Mi")) for part in (kube_reserved(2, memory), system_reserved(memory, groups))
    )
    assert (kept + 200) * 2**20 < memory * 0.75


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("60s", 60), ("1m30s", 90), ("1h", 3600), ("500ms", 0.5), ("0s", 0), ("1.5m", 90), ("soon", 0)],
)
def test_go_durations(text: str, seconds: float) -> None:
    assert go_seconds(text) == seconds


def _settings(**cluster: Any) -> list[str]:
    hosts = {"a": {"groups": ["etcd", "control_plane"], "connection": {"port": 2222}}, "b": {"groups": ["worker"]}}
    ctx = context({"cluster": cluster, "hosts": hosts})
    return network_settings(ctx, tunnel=None, routes="routed").decode().splitlines()


def _kubelet(**settings: Any) -> dict[str, Any]:
    """kubelet's configuration, and the time that logind waits."""
    ctx = context({"hosts": {"a": {"groups": ["worker"], "kubelet": settings}}})
    files = {item.path: item.content.decode() for item in kubelet.resources(ctx) if isinstance(item, File)}
    delay = files.get("/etc/systemd/logind.conf.d/99-kubelet.conf", "").rpartition("=")[2].strip()
    return {**yaml.safe_load(files["/var/lib/kubelet/config.yaml"]), "delay": delay}


def test_settings_that_exclude_kprovs_own_leave_these_out() -> None:
    """Kubelet refuses both together."""
    usual = _kubelet()
    assert (usual["maxParallelImagePulls"], usual["shutdownGracePeriod"], usual["delay"]) == (4, "60s", "60")
    assert "maxParallelImagePulls" not in _kubelet(serializeImagePulls=True)
    rows = [{"priority": 0, "shutdownGracePeriodSeconds": 20}, {"priority": 9, "shutdownGracePeriodSeconds": 5}]
    by_priority = _kubelet(shutdownGracePeriodByPodPriority=rows)
    assert by_priority["delay"] == "25"
    assert not by_priority.keys() & {"shutdownGracePeriod", "shutdownGracePeriodCriticalPods"}


def test_pods_are_kept_from_hosts_unless_it_is_open_and_from_kubelets_unless_an_addon_reads_them() -> None:
    nodes = ["host 192.0.2.1", "host 192.0.2.2", "host 10.244.0.1", "host 10.244.1.1"]
    assert _settings()[-5:] == ["closed 22,2222,2379,2380,10250,10256", *nodes]
    assert not [line for line in _settings(network={"hosts": "open"}) if line.startswith(("closed", "host"))]
    for name in ("metrics-server", "monitoring"):
        assert "closed 22,2222,2379,2380,10256" in _settings(addons=[{"name": name}])


def test_only_pods_that_read_kubelets_may_connect_to_them() -> None:
    def told(**cluster: Any) -> dict[str, Any]:
        made = context({"cluster": cluster, "hosts": {"a": {"groups": ["worker"]}}})
        (file,) = (item for item in policies.resources(made) if getattr(item, "path", "") == policies.SETTINGS)
        assert isinstance(file, File)
        return dict(json.loads(file.content)["kubelets"])

    nobody = {"port": 10250, "readers": []}
    addons = [{"name": "metrics-server"}, {"name": "monitoring"}, {"name": "logging"}]
    assert told() == told(addons=addons, network={"hosts": "open"}) == nobody
    assert told(addons=addons) == {
        "port": 10250,
        "readers": [
            {"namespace": "kube-system", "labels": {"k8s-app": "metrics-server"}},
            {"namespace": "monitoring", "labels": {"app.kubernetes.io/name": "victoria-metrics"}},
        ],
    }


def test_backups_on_hosts_are_no_part_of_the_data_that_goes_with_a_cluster() -> None:
    case = yaml.safe_load((Path(__file__).parent / "cases/timed_backup/on-a-host.yaml").read_text())
    made = {item.path: item for item in timed_backup.resources(context(case["given"])) if isinstance(item, Directory)}
    assert KEPT_BACKUPS in made
    going = [path for path, item in made.items() if item.purge or item.data]
    assert not any(f"{KEPT_BACKUPS}/".startswith(f"{path}/") for path in going)


@pytest.mark.parametrize("template", ["network/kprov-network.service.j2", "policies/kprov-policies.service.j2"])
def test_what_looks_after_the_kernel_is_gone_before_it_is_undone(template: str) -> None:
    """ExecStop runs beside the loop that puts back what is missing: routes came again after `kprov down`."""
    lines = (TEMPLATES / template).read_text().splitlines()
    assert [line.partition("=")[0] for line in lines if line.startswith("ExecStop")] == ["ExecStopPost"]
