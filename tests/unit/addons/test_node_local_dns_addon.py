"""The add-on `node-local-dns`: cluster DNS's own image as a cache, with the addresses that kubelets tell pods."""

from __future__ import annotations

import pytest

from kprov.addon.choose import by_name, why_not
from kprov.addon.render import Surroundings, rendered

(CACHE,) = (addon for addon in by_name(["node-local-dns"]) if addon.name == "node-local-dns")
AROUND = Surroundings(
    cluster={"domain": "cluster.local", "dns_ip": "10.96.0.10"},
    ca={},
    images={"coredns": "kprov.local/coredns:1"},
    secret_seed=b"k" * 32,
)


def test_it_asks_cluster_dns_for_the_cluster_and_the_nodes_servers_for_the_rest() -> None:
    objects = {item["kind"]: item for item in rendered(CACHE, AROUND)}
    first, second = objects["ConfigMap"]["data"]["Corefile"].split("\n.:53 {")
    assert first.startswith("cluster.local:53 in-addr.arpa:53 ip6.arpa:53 {\n    bind 169.254.20.10\n")
    assert "forward . 10.96.0.10 {" in first
    assert "forward . /etc/resolv.conf {" in second
    assert "serve_stale 1h verify" in first
    pod = objects["DaemonSet"]["spec"]["template"]["spec"]
    assert pod["containers"][0]["image"] == "kprov.local/coredns:1"
    assert pod["containers"][0]["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}
    assert pod["dnsPolicy"] == "Default"


@pytest.mark.parametrize(
    ("address", "good"),
    [("169.254.20.10", True), ("169.254.169.254", True), ("10.96.0.10", False), ("169.254.1.1", False), ("x", False)],
)
def test_the_address_is_link_local(address: str, good: bool) -> None:
    assert (why_not(CACHE.description.parameters["address"], address) is None) is good
