"""The add-on monitoring on a cluster with a host for etcd alone: all targets, true figures, alerts, pages, locked doors."""

from __future__ import annotations

import base64
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from browser import PATIENCE, browsing
from conftest import Make, Say
from disasters import HARMLESS, NODE, disasters, lines
from expressions import selectors
from lab_cluster import LabCluster, until
from metrics_page import Page, opened
from opened_page import shown
from outside import asked, curl, services
from page_tokens import only_the_first, password, statuses, tokens
from playwright.sync_api import expect
from traffic import beside

from kprov.addon.choose import by_name
from kprov.lab import machines
from kprov.lab.memory import held

pytestmark = pytest.mark.lab

HOSTS = {"etcd1": ["etcd"], "cp1": ["control_plane"], "w1": ["worker"]}
OUTSIDE = "metrics.kprov.example"
OUTSIDE_PORT = 30428
# Fast, so that the tests are; and away from the node that is stopped.
MONITORING = {
    "scrape_interval": "5s",
    "alert_delay": "10s",
    "node_selector": {"kubernetes.io/hostname": "cp1"},
    "expose": {"type": "NodePort", "host": OUTSIDE, "node_port": OUTSIDE_PORT},
}
ADDONS = {"storage": True, "monitoring": MONITORING}
OWN = Path(__file__).parent / "own_addons"
OF_HOSTS = {"node", "certificates"}
OF_NODES = {"kubelet", "cadvisor", "kube-proxy", "policies", "containerd"}
OF_CONTROL_PLANES = {"kube-apiserver", "kube-controller-manager", "kube-scheduler"}
PROXY = 10270


@pytest.fixture(scope="module")
def cluster(make_cluster: Make) -> LabCluster:
    made = make_cluster("mon-e2e", HOSTS, {"addons": ADDONS})
    made.kprov("up", "--yes")
    return made


@pytest.fixture(scope="module")
def page(cluster: LabCluster) -> Iterator[Page]:
    with opened(cluster) as there:
        until(lambda: there.query("up"), seconds=60, what="figures in the store")
        yield there


def admin_password(cluster: LabCluster) -> str:
    return password(cluster, "monitoring", "login", "password")


def test_every_target_answers(cluster: LabCluster, page: Page) -> None:
    desired = {
        *((job, node) for job in OF_NODES for node in ("cp1", "w1")),
        *((job, "cp1") for job in OF_CONTROL_PLANES),
        *((job, node) for job in OF_HOSTS for node in HOSTS),
        ("etcd", "etcd1"),
        *((job, "") for job in ("victoria-metrics", "vmalert")),
        *(("coredns", pod["spec"]["nodeName"]) for pod in coredns(cluster)),
    }

    def answering() -> bool:
        rows = page.query("up")
        assert {(labels["job"], labels.get("node", "")) for labels, _ in rows} == desired
        return all(value == 1 for _, value in rows)

    until(answering, seconds=60, what="every target up")


def test_certificates_are_renewed_in_secrets_and_on_hosts(cluster: LabCluster, page: Page) -> None:
    """What is served then is looked at later: kubelet takes its time to bring a changed Secret to a pod."""
    addresses = [f"{cluster.lab.machine(host).address}:{PROXY}" for host in HOSTS]
    before = {address: served(cluster, address) for address in addresses}
    before_in_store = served_by_store(cluster)
    cluster.edit(lambda document: document["cluster"].update(pki={"leaf_days": 370, "renew_before_days": 369}))
    cluster.kprov("up", "--yes")
    cluster.edit(lambda document: document["cluster"].update(pki={"leaf_days": 370}))  # what was issued stays right
    for host, address in zip(HOSTS, addresses, strict=True):
        held = cluster.run(host, "cat", "/etc/kubernetes/pki/metrics-proxy.crt")
        assert served(cluster, address) == body(held) != before[address]
    assert body(secret(cluster, "victoria-metrics-tls")) != before_in_store


def served(cluster: LabCluster, address: str, *, by: str = "w1") -> str:
    """The certificate that is served there, as a machine sees it."""
    return body(cluster.sh(by, f"curl -sk --max-time 5 -o /dev/null -w '%{{certs}}' https://{address}/; true"))


def served_by_store(cluster: LabCluster, port: int = 8428) -> str:
    """Asked by its own node, which no policy keeps out."""
    pod = store_pod(cluster)
    return served(cluster, f"{pod['status']['podIP']}:{port}", by=pod["spec"]["nodeName"])


def body(pem: str) -> str:
    """Of the first certificate in a text."""
    return "".join(pem.split("-----BEGIN CERTIFICATE-----")[1].split("-----END")[0].split())


def secret(cluster: LabCluster, name: str) -> str:
    data = cluster.get("secret", "-n", "monitoring", name)["data"]["tls.crt"]
    return base64.b64decode(data).decode()


def store_pod(cluster: LabCluster) -> dict:
    (pod,) = cluster.get("pods", "-n", "monitoring", "-l", "app.kubernetes.io/name=victoria-metrics")["items"]
    return pod


def coredns(cluster: LabCluster) -> list[dict]:
    return cluster.get("pods", "-n", "kube-system", "-l", "k8s-app=kube-dns")["items"]


def test_figures_of_each_component_are_there(page: Page) -> None:
    """One figure for each thing that rules and dashboards are about; an empty answer would never raise an alert."""
    for expression in (
        "etcd_server_has_leader == 1",
        "etcd_mvcc_db_total_size_in_bytes / etcd_server_quota_backend_bytes < 1",
        "histogram_quantile(0.99, sum by (le) (rate(etcd_disk_wal_fsync_duration_seconds_bucket[1m]))) > 0",
        "node_collector_unhealthy_nodes_in_zone == 0",
        'leader_election_master_status{name="kube-controller-manager"} == 1',
        'leader_election_master_status{name="kube-scheduler"} == 1',
        "sum(rate(apiserver_request_total[1m])) > 0",
        'node_filesystem_avail_bytes{node="etcd1"} > 0',
        "node_timex_offset_seconds + 1 > 0",
        "node:cpu_used:ratio < 1",
        "node:memory_used:ratio < 1",
        "vm_free_disk_space_bytes > 0",
        "sum(coredns_dns_responses_total) >= 0",
        'min(kprov_certificate_not_after_seconds{node="etcd1",path="/etc/etcd/pki/peer.crt"} - time()) > 300 * 86400',
        "kubelet_running_pods > 0",
    ):
        until(lambda expression=expression: page.query(expression), seconds=60, what=expression)
    assert not page.query('{__name__=~".+_bucket",job!="etcd"}')


def test_rules_can_be_evaluated(page: Page) -> None:
    def healthy() -> bool:
        groups = page.get("/api/v1/rules")["data"]["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        assert len(rules) > 30
        assert [rule["name"] for rule in rules if rule.get("lastError")] == []
        return all(rule["health"] == "ok" for rule in rules)

    until(healthy, seconds=60, what="every rule evaluated")


_NONE_YET = "counted from the first one on"
# What a living cluster has no series of, and why. Everything else that rules and dashboards ask for is there.
NO_SERIES = {
    'ALERTS{alertstate="firing"}': "nothing is wrong",
    "apiserver_flowcontrol_rejected_requests_total": _NONE_YET,
    'apiserver_request_total{code=~"5.."}': _NONE_YET,
    'apiserver_request_total{code=~"[45].."}': _NONE_YET,
    "container_cpu_cfs_periods_total": "no container has a limit on CPU",
    "container_cpu_cfs_throttled_periods_total": "no container has a limit on CPU",
    'coredns_dns_responses_total{rcode="SERVFAIL"}': _NONE_YET,
    "etcd_network_peer_round_trip_time_seconds_bucket": "etcd has one member",
    "kubelet_runtime_operations_errors_total": _NONE_YET,
    "kubelet_started_containers_errors_total": _NONE_YET,
    'kubelet_started_containers_errors_total{container_type="container"}': _NONE_YET,
    'kubelet_terminated_containers_total{exit_code!="0"}': _NONE_YET,
    "kubelet_volume_stats_available_bytes": "kubelet does not measure volumes of every kind",
    "kubelet_volume_stats_capacity_bytes": "kubelet does not measure volumes of every kind",
    "vmalert_alerts_send_errors_total": "no Alertmanager is told",
    **dict.fromkeys(
        (f"kprov_backup_{name}" for name in ("good", "interval_seconds", "success_timestamp_seconds")),
        "no backups are timed",
    ),
}
# Panels that show nothing on a living cluster, by dashboard.
NO_FIGURES = {
    "Namespaces: CPU refused by limits": "no container has a limit on CPU",
    "Namespaces: Containers that ran into their memory limit": "none did",
    "Namespaces: Containers that started again within 15 minutes": "none did",
    "Nodes: Containers that failed to start": "none did",
    "Nodes: Errors of the container runtime": "there are none",
    "Pods: CPU refused by limits": "no container has a limit on CPU",
    "Pods: Containers that ended with an error within 15 minutes": "none did",
    "Pods: Containers that started again within 15 minutes": "none did",
    "Pods: Volumes, used": "kubelet does not measure volumes of every kind",
    "API server: Answers with an error": "there may have been none",
    "API server: Requests turned away": "none was",
    "etcd: Between members and back, slowest of a hundred": "etcd has one member",
}


def test_what_rules_and_dashboards_ask_for_is_there(page: Page) -> None:
    """A rule about a series that does not exist is healthy for ever."""
    rules = [rule for group in page.get("/api/v1/rules")["data"]["groups"] for rule in group["rules"]]
    panels = [
        (f"{board['title']}: {panel['title']}", expression)
        for board in page.get("/vmui/custom-dashboards")["dashboardsSettings"]
        for panel in board["rows"][0]["panels"]
        for expression in panel["expr"]
    ]
    assert len(panels) > 60
    asked = set().union(*(selectors(rule["query"]) for rule in rules), *(selectors(asks) for _, asks in panels))
    assert len(asked) > 80

    def complete() -> bool:
        missing = {selector for selector in asked if not page.query(selector)}
        assert missing <= NO_SERIES.keys(), missing - NO_SERIES.keys()
        return True

    until(complete, seconds=60, what="series that are asked for")

    def filled() -> bool:
        empty = {title for title, expression in panels if not page.query(expression)}
        assert empty <= NO_FIGURES.keys(), empty - NO_FIGURES.keys()
        return True

    until(filled, seconds=90, what="figures for every panel")


def test_no_sample_is_kept_that_is_older_than_the_retention(page: Page) -> None:
    day, now = 86400, time.time()
    written = {13: 1, 15: 2}  # it is two weeks
    assert page.post(f"retained {value} {(now - age * day) * 1000:.0f}" for age, value in written.items()) == 204
    until(lambda: page.query("retained", now - 13 * day + 1), seconds=30, what="the younger one")
    assert page.query(f"last_over_time(retained[{31 * day}s])", now - 14 * day) == []


def test_each_container_is_counted_once(cluster: LabCluster, page: Page) -> None:
    """CPU by pod lies between what the kernel says before and after; memory is what metrics-server was told."""
    pods = cluster.get("pods", "-A")["items"]
    names = {(pod["metadata"]["namespace"], pod["metadata"]["name"]) for pod in pods}
    before = used(cluster, pods)
    told: dict[tuple[str, str], float] = {}

    def caught_up() -> bool:
        """cAdvisor looks at cgroups every few seconds only."""
        told.update(by_pod(page, "sum by (namespace, pod) (container_cpu_usage_seconds_total)"))
        return all(told[name] >= seconds for name, seconds in before.items())

    until(caught_up, seconds=90, what="figures that are newer than the first look")
    spaces = {
        labels["namespace"]: value
        for labels, value in page.query("sum by (namespace) (container_cpu_usage_seconds_total)")
    }
    after = used(cluster, pods)
    assert set(told) == names
    assert {name: (seconds, after[name]) for name, seconds in told.items() if seconds > after[name] + 0.02} == {}
    for space, seconds in spaces.items():
        assert seconds <= sum(value for name, value in after.items() if name[0] == space) + 0.02
    memory = by_pod(page, "sum by (namespace, pod) (container_memory_working_set_bytes)")
    listed = json.loads(cluster.kubectl("get", "--raw", "/apis/metrics.k8s.io/v1beta1/pods"))["items"]
    for item in listed:
        name = (item["metadata"]["namespace"], item["metadata"]["name"])
        reported = sum(in_bytes(row["usage"]["memory"]) for row in item["containers"])
        assert abs(memory[name] - reported) < 0.25 * reported + 8 * 2**20, (name, memory[name], reported)
    assert {(item["metadata"]["namespace"], item["metadata"]["name"]) for item in listed} == names


def in_bytes(quantity: str) -> int:
    """The API gives back the largest unit that leaves a whole number."""
    number, unit = quantity[:-2], quantity[-2:]
    return int(number) * {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30}[unit] if unit.endswith("i") else int(quantity)


def by_pod(page: Page, expression: str) -> dict[tuple[str, str], float]:
    return {(labels["namespace"], labels["pod"]): value for labels, value in page.query(expression)}


def used(cluster: LabCluster, pods: list[dict]) -> dict[tuple[str, str], float]:
    """CPU seconds by pod, from the cgroups of its containers."""
    version_1 = "find /sys/fs/cgroup -path '*'$id'*' -name cpuacct.usage -exec cat {} +"
    version_2 = (
        """find /sys/fs/cgroup -path '*'$id'*' -name cpu.stat -exec awk '$1 == "usage_usec" {print $2 * 1000}' {} +"""
    )
    script = f"for id; do {{ {version_1}; {version_2}; }} | head -1; done"
    found = {}
    for node in ("cp1", "w1"):
        rows = [
            ((pod["metadata"]["namespace"], pod["metadata"]["name"]), status["containerID"].rpartition("/")[2])
            for pod in pods
            if pod["spec"]["nodeName"] == node
            for status in pod["status"]["containerStatuses"]
        ]
        values = cluster.run(node, "sh", "-c", script, "sh", *(container for _, container in rows)).split()
        assert len(values) == len(rows)
        for (name, _), value in zip(rows, values, strict=True):
            found[name] = found.get(name, 0.0) + int(value) / 1e9
    return found


def test_a_pod_without_credentials_is_refused(cluster: LabCluster, page: Page) -> None:
    """From the network namespace of a pod of another namespace."""
    pod = cluster.get("pods", "-n", "monitoring", "-l", "app.kubernetes.io/name=victoria-metrics")["items"][0]
    service = cluster.get("service", "-n", "monitoring", "victoria-metrics")["spec"]["clusterIP"]
    curl = f"{beside('victoria-metrics')} curl -sk --connect-timeout 3 -o /dev/null -w '%{{http_code}}'"
    for address in (f"{service}:8428", f"{pod['status']['podIP']}:8428"):
        for path in ("/api/v1/query?query=up", "/metrics", "/vmui/", "/api/v1/alerts"):
            assert cluster.sh("w1", f"{curl} https://{address}{path}") == "401", (address, path)
        assert cluster.sh("w1", f"{curl} -u admin:wrong https://{address}/metrics") == "401"
        for login in ("", f"-u {page.user}:{page.password}", f"-u admin:{admin_password(cluster)}"):
            assert cluster.sh("w1", f"{curl} {login} https://{service}:8427{path}") == "401", (
                "the gate knows tokens alone"
            )
    assert cluster.sh("w1", f"{curl} -u admin:{admin_password(cluster)} https://{service}:8428/metrics") == "200"
    assert cluster.sh("w1", f"curl -sk --connect-timeout 3 http://{pod['status']['podIP']}:8429/; true") == ""
    rules = f"https://{pod['status']['podIP']}:8880/api/v1/alerts"
    assert cluster.sh("w1", f"{curl} {rules}; true") == "000", "the add-on's policy lets nobody in there"


def test_kprov_open_shows_a_login_without_which_the_page_says_nothing(cluster: LabCluster, page: Page) -> None:
    with shown(cluster, "metrics") as there:
        assert there.url.endswith("/vmui/#/dashboards")
        assert there.password not in (page.password, admin_password(cluster)), "it is for this command alone"
        assert httpx.get(there.url, auth=(page.user, page.password)).status_code == 401
        for path in ("/vmui/", "/vmui/custom-dashboards", "/api/v1/query?query=up", "/api/v1/alerts", "/metrics"):
            assert there.statuses(path) == (401, 401, 200), path
        assert Page(url=there.url, user=there.user, password=there.password).query('up{job="etcd"} == 1')


def test_its_gate_lets_in_a_token_that_is_made_out_to_it_and_no_other(cluster: LabCluster) -> None:
    name = "victoria-metrics.monitoring.svc"
    held = tokens(cluster, "monitoring", "victoria-metrics", "victoria-metrics")
    address = cluster.get("service", "-n", "monitoring", "victoria-metrics")["spec"]["clusterIP"]
    answers = statuses(cluster, address, name, f"https://{name}:8427/api/v1/query?query=up", held)
    assert answers == only_the_first(held)


def test_its_certificate_is_good_for_the_names_of_its_service_and_for_nothing_else(cluster: LabCluster) -> None:
    """What `kprov open` and readers in the cluster insist on: nothing here is told to trust what it does not know."""
    address = cluster.get("service", "-n", "monitoring", "victoria-metrics")["spec"]["clusterIP"]
    for name, code in (
        ("victoria-metrics.monitoring.svc", "401"),
        ("victoria-metrics.monitoring.svc.cluster.local", "401"),
        ("victoria-metrics.default.svc", "000"),
        (address, "000"),
    ):
        curl = "curl -s -o /dev/null -w '%{http_code}' --cacert /etc/kubernetes/pki/ca.crt --connect-timeout 5"
        asked = cluster.sh("cp1", f"{curl} --resolve {name}:8428:{address} https://{name}:8428/metrics; true")
        assert asked == code, name


def test_the_metrics_proxy_lets_in_the_scraper_alone(cluster: LabCluster) -> None:
    secret = cluster.get("secret", "-n", "monitoring", "scraper-tls")["data"]
    folder = cluster.lab.machine("cp1").root / "root"
    for name in ("tls.crt", "tls.key"):
        (folder / name).write_bytes(base64.b64decode(secret[name]))
    pki = "/etc/kubernetes/pki"
    curl = f"curl -s -o /dev/null -w '%{{http_code}}' --cacert {pki}/ca.crt"
    scraper = "--cert /root/tls.crt --key /root/tls.key"
    kubelet = f"--cert {pki}/kubelet-client.crt --key {pki}/kubelet-client.key"
    server = f"--cert {pki}/kubelet.crt --key {pki}/kubelet.key"

    def answer(host: str, path: str, credential: str, more: str = "") -> str:
        address = cluster.lab.machine(host).address
        return cluster.sh("cp1", f"{curl} {credential} {more} https://{address}:{PROXY}{path}; true").strip()

    try:
        assert answer("etcd1", "/etcd/metrics", scraper) == "200"
        assert answer("etcd1", "/etcd/metrics", "") == "000", "no certificate"
        assert answer("etcd1", "/etcd/metrics", kubelet) == "403", "a client of the cluster that is not the scraper"
        assert answer("etcd1", "/etcd/metrics", server) == "000", "a certificate that is no client's"
        assert answer("etcd1", "/etcd/metrics", scraper, "-X POST") == "405"
        assert answer("etcd1", "/v3/kv/range", scraper) == "404"
        assert answer("etcd1", "/etcd/debug/vars", scraper) == "404"
        assert answer("etcd1", "/kube-scheduler/metrics", scraper) == "404", "not of this host"
        assert answer("cp1", "/kube-scheduler/metrics", scraper) == "403", "the component wants a token besides"
        assert answer("cp1", "/kube-controller-manager/metrics", scraper) == "403"
        assert answer("w1", "/node/metrics", scraper) == "200"
    finally:
        for name in ("tls.crt", "tls.key"):
            (folder / name).unlink()


def test_exposed_it_is_reached_from_outside_over_tls_and_by_its_password_alone(cluster: LabCluster, page: Page) -> None:
    login = f"admin:{admin_password(cluster)}"
    opened = {name for name, kind in services(cluster).items() if kind != "ClusterIP"}
    assert opened == {"monitoring/victoria-metrics-outside"}
    for node in ("cp1", "w1"):

        def answer(path: str, node: str = node, name: str = OUTSIDE, login: str = "") -> str:
            return asked(cluster, node, OUTSIDE_PORT, path, name=name, login=login)

        for path in ("/api/v1/query?query=up", "/metrics", "/vmui/", "/api/v1/alerts", "/api/v1/export?match=up"):
            assert answer(path) == "401", path
            assert answer(path, login="admin:wrong") == "401", path
            assert answer(path, login=f"{page.user}:{page.password}") == "401", path
        assert answer("/api/v1/query?query=up", login=login) == "200"
        assert answer("/vmui/", login=login) == "200"
        assert answer("/api/v1/query?query=up", name="other.kprov.example", login=login) == "000", "not its name"
    assert curl(f"http://{cluster.lab.machine('cp1').address}:{OUTSIDE_PORT}/metrics") == "400", "plain HTTP"


def test_from_outside_the_metrics_proxy_ends_the_handshake(cluster: LabCluster) -> None:
    for host in HOSTS:
        assert asked(cluster, host, PROXY, "/node/metrics") == "000"
        assert curl(f"http://{cluster.lab.machine(host).address}:{PROXY}/node/metrics") != "200"


def test_renewed_certificates_are_what_is_served_by_the_same_pod(cluster: LabCluster, page: Page) -> None:
    held = body(secret(cluster, "victoria-metrics-tls"))
    for port in (8427, 8428, 8880):
        until(
            lambda port=port: served_by_store(cluster, port) == held,
            seconds=120,
            what=f"the new certificate on port {port}",
        )
    assert [status["restartCount"] for status in store_pod(cluster)["status"]["containerStatuses"]] == [0, 0, 0]
    until(lambda: {value for _, value in page.query("up")} == {1}, seconds=60, what="every target up, as before")


def test_checks_pass_and_nothing_is_left_to_do(cluster: LabCluster) -> None:
    assert cluster.kprov("plan").status == 0
    cluster.kprov("verify")


def waiting_or_firing(page: Page) -> dict[str, set[str]]:
    """States of all alerts that are not at rest, by their names."""
    found: dict[str, set[str]] = {}
    for alert in page.get("/api/v1/alerts")["data"]["alerts"]:
        found.setdefault(alert["labels"]["alertname"], set()).add(alert["state"])
    return found


BOARDS = ("Cluster", "Nodes", "Namespaces", "Pods", "etcd", "API server")


def test_every_dashboard_is_drawn(page: Page, tmp_path: Path) -> None:
    """In a browser: each panel of each with a line, but those that have no figures."""
    until(lambda: page.query("node:cpu_used:ratio offset 20s"), seconds=60, what="a line to draw")
    boards = {board["title"]: board for board in page.get("/vmui/custom-dashboards")["dashboardsSettings"]}
    assert tuple(boards) == BOARDS
    with browsing(page.user, page.password, height=5000) as tab:
        tab.goto(page.address("dashboards"))
        for title, board in boards.items():
            tab.locator(".vm-predefined-panels-tabs__tab").get_by_text(title, exact=True).click()
            for name in (panel["title"] for panel in board["rows"][0]["panels"]):
                if f"{title}: {name}" not in NO_FIGURES:
                    panel = tab.locator(".vm-predefined-panel").filter(has=tab.get_by_text(name, exact=True))
                    line = panel.locator(".vm-legend-item").first  # only what has a line has one
                    expect(line, f"{title}: {name}").to_be_visible(timeout=PATIENCE)
            picture = tmp_path / f"{title}.png"
            tab.locator(".vm-predefined-panels").screenshot(path=picture)
            assert picture.stat().st_size > 20_000


# By a node that is stopped, and a volume that is full, below; the last three by nothing: they tell what is not there.
OTHERWISE = {"NodeDown", "NodeNotReady", "StoreTakesNothing", "ApiDown", "NoControllerManager", "NoScheduler"}


def test_disasters_in_figures_are_told(page: Page) -> None:
    """Here they begin. Alerts come while the pages are looked at."""
    names = {
        rule["name"]
        for group in page.get("/api/v1/rules")["data"]["groups"]
        for rule in group["rules"]
        if rule["type"] == "alerting"
    }
    assert names == disasters().keys() | OTHERWISE
    told = (disaster.sick for disaster in disasters().values())
    assert page.post(line for series in (*told, HARMLESS) for line in lines(series)) == 204


def test_the_page_of_rules_shows_them(page: Page, tmp_path: Path) -> None:
    with browsing(page.user, page.password) as tab:
        tab.goto(page.address("rules"))
        for text in ("control-plane", "workloads", "etcd"):
            expect(tab.locator("body")).to_contain_text(text, timeout=PATIENCE)
        tab.screenshot(path=tmp_path / "rules.png")


def test_each_disaster_has_its_alert(page: Page) -> None:
    fired = "count_over_time(ALERTS{alertname='%s',alertstate='firing'}[15m])"
    for name, disaster in disasters().items():
        if disaster.lasts:
            until(lambda name=name: "pending" in waiting_or_firing(page)[name], seconds=90, what=name)
        else:
            until(lambda name=name: page.query(fired % name), seconds=90, what=name)
    assert not page.query("ALERTS{pod='young'}")
    assert page.post(line for disaster in disasters().values() for line in lines(disaster.well)) == 204


def test_an_alert_ends_with_its_disaster(page: Page) -> None:
    def left() -> list[dict]:
        alerts = page.get("/api/v1/alerts")["data"]["alerts"]
        of_figures = [alert for alert in alerts if alert["labels"]["alertname"] in disasters()]
        return [alert["labels"] for alert in of_figures if alert["labels"].get("node", NODE) == NODE]

    until(lambda: not left(), seconds=120, what="the end of every alert of the made-up node")


def test_a_full_volume_is_told_and_nothing_is_lost(cluster: LabCluster, page: Page) -> None:
    """A store that takes nothing more answers what it is asked, and goes on when it has room."""
    at = time.time() - 20
    before = page.query('up{job="etcd"}', at)
    assert before
    claim = cluster.get("pvc", "victoria-metrics", "-n", "monitoring")["spec"]["volumeName"]
    volume = cluster.get("pv", claim)["spec"]
    folder = (volume.get("local") or volume["hostPath"])["path"]
    scale(cluster, 0)
    cluster.sh("cp1", f"mount -t tmpfs -o size=200m,mode=0777 tmpfs {folder}")  # it wants 256 MiB to be free
    try:
        scale(cluster, 1)
        until(lambda: "firing" in waiting_or_firing(page)["StoreTakesNothing"], seconds=60, what="StoreTakesNothing")
        assert waiting_or_firing(page).keys() == {"StoreTakesNothing"}, "nothing is missed by a store that sees nothing"
        assert page.post(["taken 1"]) >= 400
        assert page.query("vector(1)")
        scale(cluster, 0)
    finally:
        cluster.sh("cp1", f"umount {folder}")
    scale(cluster, 1)
    until(lambda: page.query('up{job="etcd"}', at) == before, seconds=60, what="the old figures")
    until(lambda: page.post(["taken 1"]) == 204, seconds=30, what="new ones are taken")
    until(lambda: "StoreTakesNothing" not in waiting_or_firing(page), seconds=60, what="the end of StoreTakesNothing")


def scale(cluster: LabCluster, replicas: int) -> None:
    """The store away, or back; when it is to be away, its pod is gone afterwards."""
    store = "deployment/victoria-metrics"
    cluster.kubectl("-n", "monitoring", "scale", store, f"--replicas={replicas}")
    if replicas:
        cluster.kubectl("-n", "monitoring", "rollout", "status", store, "--timeout=60s")
    else:
        label = "app.kubernetes.io/name=victoria-metrics"
        cluster.kubectl("-n", "monitoring", "wait", "--for=delete", "pod", "-l", label, "--timeout=60s")


def test_data_outlives_the_pod(cluster: LabCluster, page: Page) -> None:
    at = time.time() - 20
    before = page.query('up{job="etcd"}', at)
    assert before
    cluster.kubectl("delete", "pod", "-n", "monitoring", "-l", "app.kubernetes.io/name=victoria-metrics", timeout=180)
    cluster.kubectl(
        "rollout", "status", "-n", "monitoring", "deployment/victoria-metrics", "--timeout=120s", timeout=130
    )
    until(lambda: page.query("up"), seconds=60, what="new figures after the old pod")
    assert page.query('up{job="etcd"}', at) == before


def test_an_alert_fires_when_a_node_stops_and_ends_when_it_is_back(cluster: LabCluster, page: Page) -> None:
    def firing(name: str) -> list[str]:
        alerts = page.get("/api/v1/alerts")["data"]["alerts"]
        of_name = [alert for alert in alerts if alert["labels"]["alertname"] == name and alert["state"] == "firing"]
        return [alert["labels"].get("node", "") for alert in of_name]

    assert firing("NodeDown") == []
    machines.stop(cluster.lab.machine("w1"))
    try:
        until(lambda: firing("NodeDown") == ["w1"], seconds=120, what="the alert NodeDown")
        until(lambda: firing("NodeNotReady"), seconds=120, what="the alert NodeNotReady")
        assert "w1" not in firing("TargetDown"), "one alert for a node, not one for each of its targets"
    finally:
        machines.start(cluster.lab.machine("w1"))
    until(lambda: not firing("NodeDown"), seconds=120, what="the end of NodeDown")
    until(lambda: not firing("NodeNotReady"), seconds=120, what="the end of NodeNotReady")
    assert page.query('ALERTS{alertname="NodeDown",alertstate="firing",node="w1"} offset 30s') or page.query(
        'count_over_time(ALERTS{alertname="NodeDown",alertstate="firing",node="w1"}[10m])'
    )


def test_with_all_add_ons_on_a_second_run_costs_no_more_and_memory_is_little(cluster: LabCluster, say: Say) -> None:
    shutil.copytree(OWN / "plain", cluster.folder / "addons" / "plain")
    on = {**ADDONS, **dict.fromkeys(("logging", "metrics-server", "node-local-dns", "plain"), True)}
    cluster.edit(lambda document: document["cluster"].update(addons=on))
    cluster.kprov("up", "--yes")
    again = json.loads(cluster.kprov("up", "--yes", "--json").stdout.splitlines()[-1])
    assert (again["changed"], again["execs"], again["connections"]) == ([], len(HOSTS), len(HOSTS))
    stores = [addon for addon in by_name(["monitoring", "logging"]) if addon.name in ("monitoring", "logging")]
    found = held(cluster.lab, stores, ("cp1", "w1"), lambda path: json.loads(cluster.kubectl("get", "--raw", path)))
    for (host, addon), size in sorted(found.items()):
        say(f"{addon} holds {size / 2**20:.0f} MiB on {host}")
    assert {key for key in found if found[key] > 2**20} == {(host, addon.name) for host in HOSTS for addon in stores}
    assert sum(found.values()) < 300 * 2**20


def test_switched_off_it_leaves_its_data_and_then_nothing(cluster: LabCluster) -> None:
    cluster.edit(lambda document: document["cluster"].update(addons={"storage": True}))
    cluster.kprov("up", "--yes")
    assert [
        item["kind"]
        for item in cluster.get(
            "pods,deployments,daemonsets,configmaps,secrets,serviceaccounts",
            "-n",
            "monitoring",
            "-l",
            "kprov.io/addon=monitoring",
        )["items"]
    ] == []
    assert cluster.get("pvc", "-n", "monitoring")["items"]
    for kind in ("clusterrole", "clusterrolebinding"):
        assert "kprov:monitoring" not in cluster.kubectl("get", kind, "-o", "name")
    for host in HOSTS:
        left = "ls -d /etc/kubernetes/metrics-proxy* /etc/kubernetes/pki/metrics-proxy* /run/kprov-metrics-proxy"
        left += " /opt/kprov/bin/kprov-certificate-ends /opt/kprov/bin/node-exporter"
        left += " /etc/systemd/system/*metrics-proxy* /etc/systemd/system/*node-exporter* 2> /dev/null"
        left += "; getent passwd kprov-node-exporter; true"
        assert cluster.sh(host, left) == ""
        if host in cluster.nodes_desired:
            assert {name for name in cluster.images(host) if "victoria" in name or "vmalert" in name} == set()
        assert cluster.sh(host, f"ss -Hltn '( sport = :{PROXY} or sport = :1338 or sport = :19100 )'") == ""
    assert cluster.sh("etcd1", "command -v haproxy; ls -d /etc/kubernetes 2> /dev/null; true") == ""
    cluster.kprov("up", "--yes", "--delete-data")
    left = cluster.kubectl("get", "namespaces", "-o", "name")
    assert not [name for name in ("monitoring", "logging") if name in left]
    assert cluster.kprov("plan").status == 0
