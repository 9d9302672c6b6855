"""The built-in pod networks, tunnelled and routed, and a network of the user's own, on lab machines.

One cluster goes from one kind to the other and back while its pods talk; hosts join, leave and reboot.
"""

from __future__ import annotations

import json
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Make
from held_run import kill, start
from lab_cluster import PLAIN, LabCluster, probe_pods, until
from traffic import dialled, own_services, packets_pass, pods_on

from kprov.lab import machines

pytestmark = pytest.mark.lab

HOSTS = {"cp1": ["control_plane", "worker"], "w1": ["worker"], "w2": ["worker"]}
BREAK = 5.0  # seconds without an answer that a change may cost on a busy computer


@pytest.fixture(scope="module")
def cluster(make_cluster: Make) -> LabCluster:
    made = make_cluster("e2e-nets", HOSTS, keys={**PLAIN, "network": "vxlan"})
    (made.folder / "whole.yaml").write_text(made.inventory.read_text())
    with_hosts(made, "cp1", "w1")
    made.kprov("up", "--yes")
    made.kubectl("apply", "-f", "-", stdin=probe_pods(made.load_agnhost("cp1", "w1")))
    made.kubectl("apply", "-f", "-", stdin=own_services(*HOSTS))
    return made


def with_hosts(cluster: LabCluster, *names: str, **keys: Any) -> None:
    document = yaml.safe_load((cluster.folder / "whole.yaml").read_text())
    document["hosts"] = {name: host for name, host in document["hosts"].items() if name in names}
    document["cluster"].update(keys)
    cluster.inventory.write_text(yaml.safe_dump(document, sort_keys=False))


@contextmanager
def watched(cluster: LabCluster, node: str, address: str) -> Iterator[list[float]]:
    """While the block runs, a pod of `node` asks another one, ten times a second: the times of its answers."""
    machine, answers, ended = cluster.lab.machine(node).address, [time.monotonic()], threading.Event()

    def ask() -> None:
        while not ended.wait(0.1):
            try:
                if dialled(machine, address, "hostname"):
                    answers.append(time.monotonic())
            except (OSError, ValueError, KeyError):
                continue

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield answers
    finally:
        known = len(answers)
        until(lambda: len(answers) > known + 5, seconds=30, what="answers go on")
        ended.set()
        asking.join()


def keep_connection(cluster: LabCluster, node: str, pod: str, address: str) -> None:
    """Opens a connection from a pod to another one and asks something; asks again when /run/again is there."""
    script = f"""exec 3<> /dev/tcp/{address}/8080
ask() {{
    printf 'GET /hostname HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n' >&3; read -r -t 20 answer <&3; echo "$answer"
    while read -r -t 1 _ <&3; do :; done
}}
ask; until [ -e /run/again ]; do sleep 0.2; done; ask"""
    (cluster.lab.machine(node).root / "root" / "kept.sh").write_text(script)
    cluster.sh(
        node,
        f"""rm -f /run/again /run/kept; for space in /run/netns/cni-*; do
  nsenter --net=$space ip -4 -o addr | grep -qF ' {pod}/' && found=$space; done
systemd-run -q --unit=kept --property=StandardOutput=file:/run/kept nsenter --net=$found bash /root/kept.sh""",
    )
    until(lambda: "200 OK" in cluster.sh(node, "cat /run/kept"), seconds=20, what="the kept connection answers")


def test_two_nodes_talk_through_the_tunnel(cluster: LabCluster) -> None:
    packets_pass(cluster, "cp1", "w1", mtu=1450)
    cluster.kprov("verify")
    assert cluster.kprov("plan").status == 0


def test_rules_that_something_flushed_are_told_and_come_back(cluster: LabCluster) -> None:
    cluster.sh("w1", "systemctl stop kprov-service-rules; nft flush ruleset")
    assert "its rules (ip kube-proxy) are not in the kernel" in cluster.kprov("status", status=1).text
    cluster.sh("w1", "systemctl start kprov-service-rules")
    until(
        lambda: "ip kube-proxy" in cluster.sh("w1", "nft list tables"), seconds=90, what="kube-proxy's rules are back"
    )
    until(lambda: cluster.kprov("status", status=None).status == 0, seconds=40, what="the cluster is well again")
    cluster.sh("w1", "nft flush ruleset")
    until(lambda: "ip kube-proxy" in cluster.sh("w1", "nft list tables"), seconds=60, what="they are back again")
    until(lambda: cluster.kprov("status", status=None).status == 0, seconds=40, what="the cluster is well")


def test_a_policy_route_over_the_pod_network_is_told(cluster: LabCluster) -> None:
    cluster.sh("w1", "ip rule add to 10.244.0.0/16 lookup 52 pref 100; ip route add 10.244.0.0/16 dev lo table 52")
    told = cluster.kprov("status", status=1).text
    assert "PeerRoute" in told
    assert "dev lo table 52" in told
    cluster.sh("w1", "ip rule del pref 100; ip route flush table 52")
    cluster.kprov("status")


def test_a_file_in_the_shared_cni_folder_changes_no_pods_network(cluster: LabCluster) -> None:
    cluster.sh("w1", 'mkdir -p /etc/cni/net.d && echo \'{"cniVersion": "1.0.0"}\' > /etc/cni/net.d/00-theirs.conf')
    cluster.sh("w1", "systemctl restart containerd; rm /var/lib/kprov/stamps/kube-proxy.service")
    cluster.kprov("up", "--yes")  # new pods of both nodes reach each other
    cluster.sh("w1", "rm -r /etc/cni/net.d; echo x > /etc/kprov/cni/net.d/00-theirs.conf")
    assert "00-theirs.conf comes before 10-kprov.conflist" in cluster.kprov("status", status=1).text
    cluster.sh("w1", "rm /etc/kprov/cni/net.d/00-theirs.conf; systemctl restart containerd")


def test_a_firewall_that_cuts_pods_off_fails_every_run_until_it_lets_them_through(cluster: LabCluster) -> None:
    drop = "add table inet theirs; add chain inet theirs pass { type filter hook forward priority 0; policy drop; }"
    cluster.sh("w1", f"nft '{drop}'; rm /var/lib/kprov/stamps/kube-proxy.service")
    for status in (3, 1):  # the second one has nothing to change, and changes nothing
        told = cluster.kprov("up", "--yes", status=status).text
        assert "no answer from pods on " in told
        assert "table inet theirs, chain pass (forward): drops what no rule accepts" in told
        assert "UDP 4789 (vxlan)" in told
    assert "not yet seen well" in cluster.kprov("plan").text
    cluster.sh("w1", "nft delete table inet theirs")
    cluster.kprov("up", "--yes")
    assert cluster.kprov("up", "--yes").text.count("nothing was changed") == 1
    assert "not yet seen well" not in cluster.kprov("plan").text
    assert cluster.kubectl("get", "pods", "-n", "kube-system", "-l", "kprov.io/reach", "-o", "name") == ""


def test_a_third_one_joins(cluster: LabCluster) -> None:
    before = cluster.main_pids("w1")
    with_hosts(cluster, *HOSTS)
    cluster.kprov("up", "--yes")
    cluster.load_agnhost("w2")
    after = cluster.main_pids("w1")
    assert {unit for unit in before if before[unit] != after[unit]} <= {"kprov-network.service"}
    packets_pass(cluster, *HOSTS, mtu=1450)


@contextmanager
def hosts_apart(cluster: LabCluster, *nodes: str) -> Iterator[None]:
    """While the block runs no machine has another one on its link: packets between them go by way of the gateway, which
    is this computer, as between hosts of different networks.
    """
    addresses = {node: cluster.lab.machine(node).address for node in nodes}
    bridge, redirects = cluster.lab.bridge, Path(f"/proc/sys/net/ipv4/conf/{cluster.lab.bridge}/send_redirects")
    ports = [path.name for path in Path(f"/sys/class/net/{bridge}/brif").iterdir()]
    before = redirects.read_text()
    try:
        redirects.write_text("0")
        for port in ports:
            subprocess.run(["bridge", "link", "set", "dev", port, "isolated", "on"], check=True)
        for node in nodes:
            routes = [f"ip route replace {other}/32 via {cluster.lab.gateway}" for other in addresses.values()]
            cluster.sh(node, "; ".join(route for route in routes if f" {addresses[node]}/" not in route))
        yield
    finally:
        for node in nodes:
            cluster.sh(
                node, "; ".join(f"ip route del {other}/32 2>/dev/null" for other in addresses.values()) + "; true"
            )
        for port in ports:
            subprocess.run(["bridge", "link", "set", "dev", port, "isolated", "off"], check=True)
        redirects.write_text(before)


def test_hosts_that_do_not_share_a_link_talk_through_the_tunnel(cluster: LabCluster) -> None:
    """The case it is for. A route over the link would lead nowhere: what the tunnel carries is one hop further away."""
    address = cluster.lab.machine("w1").address
    with hosts_apart(cluster, *HOSTS):
        cluster.sh("cp1", "ip neigh flush all")
        assert "ttl=63" in cluster.sh("cp1", f"ping -c 1 -W 3 {address}"), "the machines share a link"
        packets_pass(cluster, *HOSTS, mtu=1450)
        cluster.kprov("verify")
    packets_pass(cluster, *HOSTS, mtu=1450)


def test_strangers_send_nothing_into_the_tunnel(cluster: LabCluster) -> None:
    """The machine that carries the lab is no node: what it sends to the port is thrown away, what w1 sends is not."""
    counted = "nft list chain ip kprov guard"
    cluster.sh("cp1", "nft add rule ip kprov guard udp dport 4789 counter")
    try:
        cluster.sh("w1", f"ping -c 3 -i 0.2 {gateway(cluster, 'cp1')}")
        passed = packets_counted(cluster.sh("cp1", counted))
        assert passed >= 3
        with socket.socket(type=socket.SOCK_DGRAM) as stranger:
            stranger.sendto(b"hello", (cluster.lab.machine("cp1").address, 4789))
        time.sleep(0.5)
        assert packets_counted(cluster.sh("cp1", counted)) == passed
    finally:
        cluster.sh("cp1", "systemctl restart kprov-network.service")


def gateway(cluster: LabCluster, node: str) -> str:
    return str(cluster.get("node", node)["spec"]["podCIDR"]).replace(".0/24", ".1")


def packets_counted(chain: str) -> int:
    return int(chain.partition("counter packets ")[2].split()[0])


def test_what_is_taken_from_the_tunnel_comes_back(cluster: LabCluster) -> None:
    whole = "/opt/kprov/bin/kprov-network check; echo is $?"
    for harm in (
        "ip link delete kprov-vxlan",
        "bridge fdb del $(bridge fdb show dev kprov-vxlan | awk '{print $1, \"dev kprov-vxlan dst\", $3; exit}')",
        "nft delete table ip kprov",
    ):
        cluster.sh("w1", harm)
        assert "is 1" in cluster.sh("w1", whole)
        until(lambda: "is 0" in cluster.sh("w1", whole), seconds=40, what=f"what `{harm}` took is back")
    packets_pass(cluster, *HOSTS, mtu=1450)


def test_a_reboot_changes_nothing(cluster: LabCluster) -> None:
    machines.reboot(cluster.lab.machine("w1"))
    until(lambda: all(cluster.nodes().values()), seconds=120, what="all nodes are Ready")
    packets_pass(cluster, *HOSTS, mtu=1450)
    assert cluster.kprov("plan").status == 0


def change(cluster: LabCluster, network: str) -> float:
    """Changes the pod network of the whole cluster while its pods talk; the longest time without an answer."""
    running = pods_on(cluster, *HOSTS)
    keep_connection(cluster, "cp1", running["cp1"][1], running["w1"][1])
    with_hosts(cluster, *HOSTS, network=network)
    planned = cluster.kprov("plan", status=2).text
    assert "changes node by node; while it does, every node takes packets both ways" in planned
    assert "Pod network: from the old way to the new one" in planned
    with watched(cluster, "cp1", running["w1"][1]) as answers:
        cluster.kprov("up", "--yes")
    cluster.sh("cp1", "touch /run/again")
    until(lambda: cluster.sh("cp1", "cat /run/kept").count("200 OK") == 2, seconds=40, what="the connection lives on")
    assert pods_on(cluster, *HOSTS) == running, "a pod was made again"
    return max(later - earlier for earlier, later in pairwise(answers))


def filters(cluster: LabCluster) -> dict[str, str]:
    """How strictly each node looks at the return paths of what comes in."""
    return {node: cluster.sh(node, "cd /proc/sys/net/ipv4/conf; cat all/rp_filter host0/rp_filter") for node in HOSTS}


def killed_between_nodes(cluster: LabCluster) -> None:
    """A run that dies when the first node has turned to the new network."""
    run = start(cluster, "--json")
    try:
        assert run.stdout is not None
        events = map(json.loads, run.stdout)
        turned = next(event for event in events if (event["event"], event.get("stage")) == ("host_ended", "routes"))
    finally:
        kill(run)
        run.wait()
    assert turned["host"] in HOSTS


def test_a_living_cluster_changes_to_routes(cluster: LabCluster, say: Any) -> None:
    """Also where the kernel is strict about return paths, as it is in the RHEL family."""
    assert "limited to some" in refusal(cluster, "routed", "--limit", "w1")
    for node in HOSTS:
        cluster.sh(node, "cd /proc/sys/net/ipv4/conf; echo 1 > all/rp_filter; echo 1 > host0/rp_filter")
    longest = change(cluster, "routed")
    say(f"vxlan to routed: {longest:.1f} s without an answer")
    assert longest < BREAK
    assert set(filters(cluster).values()) == {"1\n1\n"}
    assert "kprov-vxlan" not in cluster.sh("w1", "ip link; ip route; nft list ruleset")
    packets_pass(cluster, *HOSTS, mtu=1450)  # that of the pods, which go on; fresh routed ones are in test_topologies
    cluster.kprov("verify")


def test_no_node_turns_to_a_tunnel_that_does_not_reach_every_other(cluster: LabCluster) -> None:
    """A firewall between the nodes: the run ends before a route has moved, and the old network is written again."""
    cluster.sh("w2", "nft 'add table ip wall; add chain ip wall in { type filter hook input priority -10; }'")
    cluster.sh("w2", "nft add rule ip wall in udp dport 4789 drop")
    with_hosts(cluster, *HOSTS, network="vxlan")
    failed = cluster.kprov("up", "--yes", status=3).text
    assert f"no answer through the tunnel from {cluster.lab.machine('w2').address}" in failed
    assert "is UDP port 4789 open" in failed
    packets_pass(cluster, *HOSTS, mtu=1450)
    with_hosts(cluster, *HOSTS, network="routed")
    cluster.kprov("up", "--yes")
    cluster.sh("w2", "nft delete table ip wall")
    assert "kprov-vxlan" not in cluster.sh("w1", "ip link; ip route; nft list ruleset")
    assert set(filters(cluster).values()) == {"1\n1\n"}
    assert cluster.kprov("plan").status == 0


def test_a_change_that_died_between_two_nodes_cuts_nobody_off_and_goes_on(cluster: LabCluster) -> None:
    with_hosts(cluster, *HOSTS, network="vxlan")
    killed_between_nodes(cluster)
    turned = [node for node in HOSTS if "/24 via" in cluster.sh(node, "ip route | grep kprov-vxlan")]
    assert 0 < len(turned) < len(HOSTS)
    packets_pass(cluster, *HOSTS, mtu=1450)
    with_hosts(cluster, *HOSTS, network="routed")  # the user thinks better of it
    cluster.kprov("up", "--yes")
    packets_pass(cluster, *HOSTS, mtu=1450)
    with_hosts(cluster, *HOSTS, network="vxlan")
    killed_between_nodes(cluster)
    cluster.kprov("up", "--yes")
    packets_pass(cluster, *HOSTS, mtu=1450)
    with_hosts(cluster, *HOSTS, network="routed")
    killed_between_nodes(cluster)
    packets_pass(cluster, *HOSTS, mtu=1450)
    cluster.kprov("up", "--yes")
    assert cluster.kprov("plan").status == 0


def test_and_back_to_the_tunnel(cluster: LabCluster, say: Any) -> None:
    longest = change(cluster, "vxlan")
    say(f"routed to vxlan: {longest:.1f} s without an answer")
    assert longest < BREAK
    packets_pass(cluster, *HOSTS, mtu=1450)
    assert cluster.kprov("plan").status == 0


def refusal(cluster: LabCluster, network: str, *limit: str) -> str:
    with_hosts(cluster, *HOSTS, network=network)
    texts = [cluster.kprov(command, *limit, *more, status=1).text for command, *more in (["plan"], ["up", "--yes"])]
    assert all("nothing was touched" in text for text in texts)
    return texts[0]


def test_no_other_network_takes_the_place_of_a_living_one(cluster: LabCluster) -> None:
    assert "cannot be changed to this one" in refusal(cluster, "none")
    with_hosts(cluster, *HOSTS)
    assert cluster.kprov("plan").status == 0


def test_one_leaves_without_a_trace(cluster: LabCluster) -> None:
    gone = cluster.get("node", "w2")["spec"]["podCIDR"]
    address = cluster.lab.machine("w2").address
    cluster.kprov("down", "--limit", "w2", "--yes")
    assert not [
        word
        for word in ("kprov", "10.244.", "dport 4789")
        if word in cluster.sh("w2", "ip addr; ip route; nft list ruleset")
    ]
    with_hosts(cluster, "cp1", "w1")
    cluster.kprov("up", "--yes")
    kept = cluster.sh("cp1", "ip route; ip neigh; bridge fdb; nft list table ip kprov")
    assert gone not in kept
    assert f"dst {address} " not in kept
    packets_pass(cluster, "cp1", "w1", mtu=1450)


OWN = {
    "cniVersion": "1.0.0",
    "name": "own",
    "plugins": [
        {"type": "bridge", "bridge": "own0", "isGateway": True, "ipMasq": True,
         "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.244.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}}
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def alone(make_cluster: Make) -> LabCluster:
    return make_cluster("e2e-own", {"one": ["control_plane", "worker"]}, keys={"network": "none"})


def lay_network(cluster: LabCluster, name: str) -> None:
    folder = cluster.lab.machine("one").root / "etc/cni/net.d"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(OWN))


def dns_phases(cluster: LabCluster) -> set[str]:
    pods = cluster.get("pods", "-n", "kube-system", "-l", "k8s-app=kube-dns")["items"]
    return {pod["status"]["phase"] for pod in pods}


def test_a_network_of_the_users_own(alone: LabCluster) -> None:
    """Nodes are registered and wait; when the network comes, by whatever hand, all goes on without a further run."""
    cluster = alone
    ran = cluster.kprov("up", "--yes")
    assert "NotReady until your pod network is there (network: none): one" in ran.text
    assert cluster.nodes() == {"one": False}
    assert "10-kprov.conflist" not in cluster.sh("one", "ls /etc/cni/net.d")
    until(lambda: dns_phases(cluster) == {"Pending"}, seconds=30, what="CoreDNS waits for the network")
    assert "NotReady until" in cluster.kprov("up", "--yes").text
    lay_network(cluster, "10-own.conflist")
    until(lambda: cluster.nodes() == {"one": True}, seconds=60, what="the node is Ready")
    cluster.kubectl("-n", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=120s")
    cluster.kprov("up", "--yes")
    assert cluster.kprov("plan").status == 0
    cluster.kprov("verify")


def published(image: str) -> bytes:
    """A manifest in the shape of flannel's, with the cluster's pause image in the place of its agent: what it would do
    on the node is done by hand. Its custom resource has the empty status that generated ones come with."""
    labels = {"app": "flannel"}
    space = {"namespace": "kube-flannel"}
    agent = {"name": "kube-flannel", "image": image, "imagePullPolicy": "Never", "args": ["--kube-subnet-mgr"]}
    pod = {
        "hostNetwork": True,
        "tolerations": [{"operator": "Exists"}],
        "containers": [agent],
        "serviceAccountName": "flannel",
        "priorityClassName": "system-node-critical",
    }
    names = {"kind": "Lease", "listKind": "LeaseList", "plural": "leases", "singular": "lease"}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
    return yaml.safe_dump_all(
        [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-flannel", "labels": labels}},
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "flannel", **space}},
            {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "flannel"},
             "rules": [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "list", "watch"]}]},
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kube-flannel-cfg", **space},
             "data": {"net-conf.json": json.dumps({"Network": "192.0.2.0/24", "Backend": {"Type": "vxlan"}})}},
            {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "kube-flannel-ds", **space},
             "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}}},
            {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
             "metadata": {"name": "leases.flannel.example.org", "creationTimestamp": None},
             "spec": {"group": "flannel.example.org", "scope": "Cluster", "names": names, "versions": [version]},
             "status": {"acceptedNames": {"kind": "", "plural": ""}, "conditions": [], "storedVersions": []}},
        ]
    ).encode()  # fmt: skip


@contextmanager
def served(content: bytes) -> Iterator[str]:
    """A web server of the operator's own with one file; its URL."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            return

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/kube-flannel.yml"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_network_by_the_manifest_that_upstream_publishes(alone: LabCluster) -> None:
    """The cluster is taken down and up again with another network: the way that the refusal of a change names."""
    cluster = alone
    image = cluster.sh("one", "/opt/kprov/bin/ctr -n k8s.io images ls -q | grep -m 1 pause").strip()
    cluster.kprov("down", "--yes")
    with served(published(image)) as url:
        cluster.edit(lambda document: document["cluster"].update(
            {**PLAIN, "network": "flannel", "pod_cidr": "10.250.0.0/16"}))  # fmt: skip
        cluster.edit(lambda document: document["cluster"]["addons"].update(
            flannel={"manifest": url, "backend": "host-gw", "interface": "host0"}))  # fmt: skip
        cluster.sh("one", "rm /etc/cni/net.d/10-own.conflist")  # the user's own: `down` left it
        lay_network(cluster, "10-flannel.conflist")
        cluster.kubeconfig.unlink(missing_ok=True)
        ran = cluster.kprov("up", "--yes")
    assert f"pinned {url}" in ran.text
    assert url in (cluster.folder / "artifacts.lock.yaml").read_text()
    assert ran.text.index("Cloud controller and pod network: one") < ran.text.index("Workloads: one")
    settings = json.loads(cluster.get("-n", "kube-flannel", "configmap", "kube-flannel-cfg")["data"]["net-conf.json"])
    assert settings == {"Network": "10.250.0.0/16", "EnableNFTables": False, "Backend": {"Type": "host-gw"}}
    pods = cluster.get("pods", "-n", "kube-flannel")["items"]
    assert [pod["spec"]["containers"][0]["args"] for pod in pods] == [["--kube-subnet-mgr", "--iface=host0"]]
    # The server is gone: what was pinned is in the cache, and nothing of it differs.
    assert cluster.kprov("plan").status == 0
    cluster.kprov("verify")
    cluster.kprov("down", "--yes")
    assert "flannel" not in cluster.sh("one", "ls /etc/cni/net.d /etc/systemd/network 2>&1; true")
