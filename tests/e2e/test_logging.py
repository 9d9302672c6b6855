"""The add-on logging on a cluster with a host for etcd alone: everything is found, once; and nothing without a password.

The tests build on each other, in the order they stand in.
"""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import yaml
from browser import PATIENCE, browsing
from conftest import Make, Say
from lab_cluster import LabCluster, until
from log_store import Store, opened
from opened_page import shown
from outside import asked, services
from page_tokens import only_the_first, password, statuses, tokens
from planted import files, found, needles
from playwright.sync_api import expect
from traffic import beside

pytestmark = pytest.mark.lab

HOSTS = {"etcd1": ["etcd"], "cp1": ["control_plane"], "w1": ["worker"]}
STORE = "deployment/victoria-logs"
FOLDER = "/var/lib/kprov-logging-store"
SMALL = {"size": "40Mi"}
LINES = 10_000
OF_LOGGING = "vlagent|victoria-logs|vmauth|journalctl|kprov-journal"
NEEDLE = f"needle{secrets.token_hex(4)}"
GATE = 30427  # on every node, where a host is none: README and docs/logging.md say so
OUTSIDE = "logs.kprov.example"


def switch(cluster: LabCluster, **addons: Any) -> None:
    off = {"metrics-server": False}
    cluster.edit(lambda document: document["cluster"].update(addons={**off, **addons}))


@pytest.fixture(scope="module")
def cluster(make_cluster: Make) -> LabCluster:
    made = make_cluster("log-e2e", HOSTS, {"addons": {"metrics-server": False, "logging": True}})
    made.kprov("up", "--yes")
    return made


@pytest.fixture(scope="module")
def agnhost(cluster: LabCluster) -> str:
    return cluster.load_agnhost()


@pytest.fixture(scope="module")
def store(cluster: LabCluster) -> Iterator[Store]:
    with opened(cluster) as there:
        yield there


def admin_password(cluster: LabCluster) -> str:
    return password(cluster, "logging", "logs-login", "admin")


def run(cluster: LabCluster, name: str, image: str, *arguments: str) -> None:
    container = {"name": "main", "image": image, "imagePullPolicy": "Never", "args": list(arguments)}
    spec = {
        "containers": [container],
        "restartPolicy": "Never",
        "nodeName": "w1",
        "terminationGracePeriodSeconds": 0,
    }
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"team": "blue"}}, "spec": spec}
    cluster.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(pod))


def scale(cluster: LabCluster, replicas: int) -> None:
    """The store away, or back; when it is to be away, its pod is gone afterwards."""
    cluster.kubectl("-n", "logging", "scale", STORE, f"--replicas={replicas}")
    if replicas:
        cluster.kubectl("-n", "logging", "rollout", "status", STORE, "--timeout=60s")
    else:
        cluster.kubectl("-n", "logging", "wait", "--for=delete", "pod", "-l", "app=victoria-logs", "--timeout=60s")


def test_a_line_of_a_pod_is_found_within_ten_seconds(cluster: LabCluster, store: Store, agnhost: str) -> None:
    run(cluster, "needle", agnhost, "entrypoint-tester", NEEDLE)
    until(lambda: NEEDLE in cluster.kubectl("logs", "needle"), seconds=60, what="the line in the pod's own log")
    (row,) = until(lambda: store.rows(NEEDLE), seconds=10, what="the line in the store")
    assert NEEDLE in row["_msg"]
    told = {key.removeprefix("kubernetes."): value for key, value in row.items() if key.startswith("kubernetes.")}
    assert told.pop("container_id").startswith("containerd://")
    assert told.pop("pod_ip").startswith("10.244.")
    assert told == {
        "pod_namespace": "default",
        "pod_name": "needle",
        "container_name": "main",
        "pod_node_name": "w1",
        "pod_labels.team": "blue",
    }


def test_it_is_seen_on_the_search_page(store: Store, tmp_path: Path) -> None:
    with browsing(store.user, store.password) as tab:
        tab.goto(store.search(NEEDLE))
        expect(tab.locator("body")).to_contain_text(f"entrypoint-tester {NEEDLE}]", timeout=PATIENCE)
        tab.screenshot(path=tmp_path / "page.png")
    assert (tmp_path / "page.png").stat().st_size > 10_000


def test_programs_fields_are_fields(store: Store) -> None:
    """Kubernetes' own format, and JSON."""
    assert until(
        lambda: store.rows("kubernetes.container_name:=store level:=info caller:*", 1), seconds=15, what="JSON"
    )


def test_the_next_line_of_a_silent_container_is_found_in_time(
    cluster: LabCluster, store: Store, agnhost: str, say: Say
) -> None:
    """Its file is looked at every ten seconds by then, or eleven; a second in the collector and one in the store follow."""
    run(cluster, "silent", agnhost, "logs-generator", "--log-lines-total=2", "--run-duration=60s")
    until(lambda: len(cluster.kubectl("logs", "silent").splitlines()) == 2, seconds=60, what="its second line")
    seen = time.monotonic()
    until(lambda: store.count("kubernetes.pod_name:=silent") == 2, seconds=15, what="that line in the store")
    say(f"the next line of a silent container was found after {time.monotonic() - seen:.0f} s")


def test_a_line_is_kept_for_as_long_as_the_retention_says(store: Store) -> None:
    """It is two weeks here, and a day in the next test but one."""
    store.insert(*({"_msg": f"{NEEDLE} of {days} days ago", "_time": days_ago(days)} for days in (0, 5, 20)))
    until(lambda: store.count(f'"{NEEDLE} of 0 days"') == 1, seconds=15, what="the newest of three lines")
    assert store.count(f'_time:30d "{NEEDLE} of 5 days"') == 1
    assert store.count(f'_time:30d "{NEEDLE} of 20 days"') == 0


def days_ago(days: int) -> str:
    return (datetime.now(UTC) - timedelta(days=days)).isoformat()


def test_units_of_every_host_are_found_and_no_others(store: Store) -> None:
    for host, unit in (("etcd1", "etcd"), ("cp1", "kube-apiserver"), ("w1", "kubelet"), ("w1", "kprov-logs")):
        query = f'{{host="{host}",log="units",_SYSTEMD_UNIT="{unit}.service"}}'
        until(lambda query=query: store.count(query), seconds=30, what=f"{unit} of {host}")
    assert store.count("log:=units SYSLOG_IDENTIFIER:in(sshd, sudo, systemd-logind)") == 0
    assert store.count('log:=units _SYSTEMD_UNIT:="init.scope" UNIT:=etcd.service') > 0  # what systemd says of it


def test_the_audit_log_comes_when_it_is_asked_for(cluster: LabCluster, store: Store) -> None:
    assert store.count("log:=audit") == 0
    switch(cluster, logging={"audit": True, "retention": "1d"})
    cluster.kprov("up", "--yes")
    cluster.kubectl("create", "configmap", NEEDLE)
    query = f"log:=audit verb:=create objectRef.resource:=configmaps objectRef.name:={NEEDLE}"
    # The store was started again for its retention; who waited for the old one, which takes 40 s to go, tries again then.
    (row,) = until(lambda: store.rows(query), seconds=75, what="who made it")
    assert (row["host"], row["responseStatus.code"]) == ("cp1", "201")
    assert row["_msg"].startswith("/api/v1/namespaces/default/configmaps")


def test_what_is_older_than_a_shorter_retention_is_gone(store: Store) -> None:
    assert store.count(f'_time:30d "{NEEDLE} of 5 days"') == 0
    assert store.count(f'_time:30d "{NEEDLE} of 0 days"') == 1


def test_a_second_run_changes_nothing_and_all_is_as_it_should_be(cluster: LabCluster) -> None:
    assert "nothing was changed" in cluster.kprov("up", "--yes").text
    cluster.kprov("verify")


def test_a_pod_is_refused_without_the_password(cluster: LabCluster, store: Store) -> None:
    """From the network of the pod that wrote the line; a collector's password lets nobody read."""
    secret = json.loads(cluster.kubectl("-n", "logging", "get", "secret", "logs-login", "-o", "json"))["data"]
    admin, collector = (base64.b64decode(secret[name]).decode() for name in ("admin", "collector"))
    addresses = {name: cluster.get("service", name, "-n", "logging")["spec"]["clusterIP"] for name in SERVICES}
    pod = cluster.get("pods", "-n", "logging", "-l", "app=victoria-logs")["items"][0]["status"]["podIP"]
    reading = f"https://{addresses['logs']}:9428/select/logsql/query?query={NEEDLE}"
    writing = f"https://{addresses['logs-intake']}:9427"
    asked = {
        "as it comes": (reading, ""),
        "as a collector": (reading, f"-u collector:{collector}"),
        "its metrics": (f"https://{addresses['logs']}:9428/metrics", ""),
        "through the gate": (f"{writing}/select/logsql/query?query={NEEDLE}", ""),
        "through the gate as a collector": (
            f"{writing}/select/logsql/query?query={NEEDLE}",
            f"-u collector:{collector}",
        ),
        "through the gate with a password of kprov open": (
            f"{writing}/select/logsql/query?query={NEEDLE}",
            f"-u {store.user}:{store.password}",
        ),
        "through the gate as admin": (f"{writing}/select/logsql/query?query={NEEDLE}", f"-u admin:{admin}"),
        "the gate's metrics": (f"https://{pod}:9426/metrics", ""),
        "with the password": (reading, f"-u admin:{admin}"),
    }
    script = "\n".join(
        f"curl -sk --connect-timeout 3 -o /dev/null -w '%{{http_code}} ' {login} '{url}'"
        for url, login in asked.values()
    )
    codes = from_pod(cluster, "w1", script).split()
    assert dict(zip(asked, codes, strict=True)) == {
        "as it comes": "000",  # the add-on's policy lets no pod read
        "as a collector": "000",
        "its metrics": "000",
        "through the gate": "401",
        "through the gate as a collector": "400",  # no such way
        "through the gate with a password of kprov open": "401",
        "through the gate as admin": "401",
        "the gate's metrics": "000",
        "with the password": "000",
    }
    path = f"/api/v1/namespaces/logging/services/https:logs:9428/proxy/select/logsql/query?query={NEEDLE}"
    assert NEEDLE not in cluster.kubectl("get", "--raw", path, check=False)
    for host in HOSTS:
        shown = cluster.run(host, "ps", "axww", "-o", "args")
        assert not [word for word in (admin, collector, secret["store"]) if word in shown]


def test_kprov_open_shows_a_login_without_which_the_page_says_nothing(cluster: LabCluster, store: Store) -> None:
    with shown(cluster, "logs") as there:
        assert urlsplit(there.url).path == "/select/vmui/"
        assert there.password not in (store.password, admin_password(cluster)), "it is for this command alone"
        assert httpx.get(there.url, auth=(store.user, store.password)).status_code == 401
        for path in ("/select/vmui/", f"/select/logsql/query?query={NEEDLE}", "/metrics"):
            assert there.statuses(path) == (401, 401, 200), path
        assert Store(url=there.url, user=there.user, password=there.password).rows(NEEDLE)


def test_its_gate_lets_in_a_token_that_is_made_out_to_the_store_and_no_other(cluster: LabCluster) -> None:
    name = "logs-intake.logging.svc"
    held = tokens(cluster, "logging", "logs", "vlagent")
    address = cluster.get("service", "logs-intake", "-n", "logging")["spec"]["clusterIP"]
    answers = statuses(cluster, address, name, f"https://{name}:9427/select/logsql/query?query={NEEDLE}", held)
    assert answers == only_the_first(held)


def test_its_certificate_is_good_for_the_names_of_its_services_and_for_nothing_else(cluster: LabCluster) -> None:
    """What `kprov open` and collectors insist on: nothing here is told to trust what it does not know."""
    for service, port in (("logs", 9428), ("logs-intake", 9427)):
        address = cluster.get("service", service, "-n", "logging")["spec"]["clusterIP"]
        for name, code in (
            (f"{service}.logging.svc", "401"),
            (f"{service}.logging.svc.cluster.local", "401"),
            (f"{service}.default.svc", "000"),
            (address, "000"),
        ):
            curl = "curl -s -o /dev/null -w '%{http_code}' --cacert /etc/kubernetes/pki/ca.crt --connect-timeout 5"
            asked = cluster.sh("cp1", f"{curl} --resolve {name}:{port}:{address} https://{name}:{port}/metrics; true")
            assert asked == code, name


SERVICES = ("logs", "logs-intake")


def from_pod(cluster: LabCluster, node: str, script: str) -> str:
    """Runs a script in the network of one of a node's pods."""
    (cluster.lab.machine(node).root / "root" / "asked.sh").write_text(script)
    return cluster.sh(node, f"{beside('victoria-logs')} sh /root/asked.sh || true")


def test_from_outside_there_is_the_collectors_gate_alone_and_nobody_reads_through_it(
    cluster: LabCluster, store: Store
) -> None:
    assert {name for name, kind in services(cluster).items() if kind != "ClusterIP"} == {"logging/logs-intake"}
    data = cluster.get("secret", "logs-login", "-n", "logging")["data"]
    collector = f"collector:{base64.b64decode(data['collector']).decode()}"
    paths = (f"/select/logsql/query?query={NEEDLE}", "/select/vmui/", "/metrics", "/", "/insert/native")
    strangers = ("", "collector:wrong", f"admin:{admin_password(cluster)}", f"{store.user}:{store.password}")
    desired = {
        (node, path, login): "401" if login in strangers else "400"  # no such way
        for node in ("cp1", "w1")
        for path in paths
        for login in (*strangers, collector)
        if (path, login) != ("/insert/native", collector)
    }

    def answer(question: tuple[str, str, str]) -> str:
        node, path, login = question
        return asked(cluster, node, GATE, path, name="logs-intake.logging.svc", login=login)

    assert answer(("cp1", "/", "")) == "401"  # the CA's certificate is written once
    with ThreadPoolExecutor(20) as pool:  # the gate lets who is refused wait
        assert dict(zip(desired, pool.map(answer, desired), strict=True)) == desired


def test_only_the_collector_needs_more_than_restricted(cluster: LabCluster) -> None:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "strict", "labels": labels}}
    cluster.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(space))

    def taken(workload: str) -> str:
        spec = cluster.get(workload, "-n", "logging")["spec"]["template"]["spec"]
        for key in ("serviceAccountName", "serviceAccount"):
            spec.pop(key, None)
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "try"}, "spec": spec}
        return cluster.kubectl(
            *("create", "-n", "strict", "--dry-run=server", "-o", "name", "-f", "-"),
            stdin=yaml.safe_dump(pod),
            check=False,
        ).strip()

    assert taken(STORE) == "pod/try"
    assert taken("daemonset/vlagent") == ""


def test_numbered_lines_are_all_there_once_with_the_store_away_and_collectors_restarted(
    cluster: LabCluster, store: Store, agnhost: str
) -> None:
    """The store is away for a minute while lines are written; what was there before is there when it comes back."""
    run(cluster, "numbers", agnhost, "logs-generator", f"--log-lines-total={LINES}", "--run-duration=70s")
    pods, units = "kubernetes.pod_name:=numbers", "host:=etcd1 counted"
    until(lambda: store.count(pods), seconds=60, what="the first lines")
    scale(cluster, 0)
    journal = """n=0; while [ $n -lt 1000 ]; do n=$((n + 1))
printf 'MESSAGE=counted %s lines\\nOBJECT_SYSTEMD_UNIT=etcd.service\\n' $n | logger --journald; done"""
    # The reader of the journal may be killed at any time; collectors end in order.
    cluster.sh("etcd1", f"({journal}) & for n in 1 2 3; do sleep 1; systemctl kill -s KILL kprov-journal; done; wait")
    cluster.sh("etcd1", "sleep 15; systemctl restart kprov-logs; sleep 10")
    cluster.kubectl("-n", "logging", "delete", "pod", "-l", "app=vlagent")
    cluster.sh("w1", "sleep 25")
    scale(cluster, 1)
    told = f"{LINES} lines once"
    until(lambda: store.numbered(pods, "") == (LINES, LINES), seconds=90, what=told)
    until(lambda: store.numbered(units, "counted ") == (1000, 1000), seconds=60, what="the journal's lines once")
    assert store.count("kubernetes.pod_name:=needle") == 1
    cluster.sh("w1", "sleep 5")
    assert store.numbered(pods, "") == (LINES, LINES)


def test_a_full_volume_loses_nothing(cluster: LabCluster, store: Store, agnhost: str) -> None:
    """The store takes no more before the disk is full, says so, and collectors keep what they have."""
    scale(cluster, 0)
    cluster.sh("w1", f"mount -t tmpfs -o size=100m,mode=0770 tmpfs {FOLDER}")
    scale(cluster, 1)
    run(cluster, "more", agnhost, "logs-generator", f"--log-lines-total={LINES}", "--run-duration=3s")
    refusing = "read-only mode because of lack of free disk space"
    until(
        lambda: refusing in cluster.kubectl("-n", "logging", "logs", STORE, "-c", "store", "--tail=50"),
        seconds=60,
        what="the store refuses",
    )
    assert store.count("*") >= 0, "it answers all the same"
    scale(cluster, 0)
    cluster.sh("w1", f"umount {FOLDER}")
    scale(cluster, 1)
    query = "kubernetes.pod_name:=more"
    until(lambda: store.numbered(query, "") == (LINES, LINES), seconds=60, what="what came meanwhile, once")


def test_it_needs_little_memory(cluster: LabCluster, say: Say) -> None:
    """What its processes hold for themselves, after all of the above."""
    total = 0
    for host in HOSTS:
        script = f"for p in $(pgrep '{OF_LOGGING}'); do sed -n 's/^RssAnon: *//p' /proc/$p/status; done"
        held = sum(int(line.split()[0]) for line in cluster.sh(host, script).splitlines())
        say(f"logging holds {held / 1024:.0f} MiB on {host}")
        total += held
    assert total < 150 * 1024


def test_exposed_it_asks_for_a_password_which_another_generation_changes(
    cluster: LabCluster, store: Store, agnhost: str
) -> None:
    """The port of a load balancer on its nodes, as no cloud gives it an address. Collectors go on with new ones."""
    exposed = {"type": "LoadBalancer", "host": OUTSIDE}
    before = admin_password(cluster)
    switch(cluster, logging={"audit": True, "password_generation": 2, "expose": exposed})
    cluster.kprov("up", "--yes")
    (port,) = cluster.get("service", "logs-outside", "-n", "logging")["spec"]["ports"]
    path = f"/select/logsql/query?query={NEEDLE}"

    def answer(login: str = "") -> str:
        return asked(cluster, "cp1", port["nodePort"], path, name=OUTSIDE, login=login)

    with opened(cluster) as there:
        assert answer() == "401"
        assert answer(f"{there.user}:{there.password}") == "401"
        assert answer(f"admin:{before}") == "401", "the password of before"
        assert answer(f"admin:{admin_password(cluster)}") == "200"
        word = f"rotated{secrets.token_hex(4)}"
        run(cluster, "rotated", agnhost, "entrypoint-tester", word)
        for host in HOSTS:
            journal = f"MESSAGE={word} on {host}\\nOBJECT_SYSTEMD_UNIT=kprov-logs.service\\n"
            cluster.sh(host, f"printf '{journal}' | logger --journald")
        until(lambda: there.count(f"{word} kubernetes.pod_name:=rotated"), seconds=30, what="the pod's line")
        for host in HOSTS:
            query = f"{word} host:={host} log:=units"
            until(lambda query=query: there.count(query), seconds=30, what=f"a line of {host}")
    assert "nothing was changed" in cluster.kprov("up", "--yes").text


def test_switched_off_it_is_gone_and_its_data_with_the_next_word(cluster: LabCluster) -> None:
    switch(cluster)
    cluster.kprov("up", "--yes")
    assert left_in_cluster(cluster) == {"namespace", "persistentvolume", "persistentvolumeclaim"}
    assert {host: left_on(cluster, host) for host in HOSTS} == {"etcd1": set(), "cp1": set(), "w1": {FOLDER}}
    cluster.kprov("up --delete-data", "--yes")
    assert left_in_cluster(cluster) == set()
    assert not {host: left for host in HOSTS if (left := left_on(cluster, host))}
    assert "nothing was changed" in cluster.kprov("up", "--yes").text


def left_in_cluster(cluster: LabCluster) -> set[str]:
    kinds = "namespace,pv,clusterrole,clusterrolebinding,pvc,secret,deployment,daemonset,service,networkpolicy"
    shown = cluster.kubectl("get", kinds, "-A", "-l", "kprov.io/addon=logging", "-o", "name")
    return {line.split("/")[0].split(".")[0] for line in shown.split()}


def left_on(cluster: LabCluster, host: str) -> set[str]:
    shown = cluster.sh(
        host,
        rf"""find / -xdev \( -name '*kprov-log*' -o -name '*kprov-journal*' -o -name vlagent \) -not -path '/var/log/*'
pgrep -l '{OF_LOGGING}'
getent passwd kprov-logging
systemctl list-units --all --no-legend 'kprov-logs*' 'kprov-journal*'
! [ -e /opt/kprov/bin/ctr ] || /opt/kprov/bin/ctr -n k8s.io images ls -q | grep -E 'vlagent|victoria|vmauth'
grep -E 'logging|vlagent' /var/lib/kprov/ledger | cut -f 2
true""",
    )
    return set(shown.split())


def test_where_a_class_gives_volumes_the_store_has_one(cluster: LabCluster) -> None:
    switch(cluster, storage=True, logging=SMALL)
    cluster.kprov("up", "--yes")
    claim = cluster.get("pvc", "victoria-logs", "-n", "logging")
    assert (claim["spec"]["storageClassName"], claim["status"]["phase"]) == ("local-path", "Bound")
    with opened(cluster) as there:
        query = '{host="etcd1",log="units"}'
        before = until(lambda: there.count(query), seconds=60, what="logs in the new volume")
        cluster.kubectl("-n", "logging", "delete", "pod", "-l", "app=victoria-logs")
        cluster.kubectl("-n", "logging", "rollout", "status", STORE, "--timeout=60s")
        until(lambda: there.count(query) >= before, seconds=30, what="them after the pod")


def test_the_oldest_days_go_when_four_fifths_of_the_volume_are_used(cluster: LabCluster) -> None:
    """32 MiB is what the store may have. Nearly all of it is in the oldest day: what the others take, twice while the store
    merges it, and today's logs stay far below that, however long the computer takes for a merge."""
    few, some, many = 20, 100, 340  # lines of 75 kB that cannot be compressed

    def fill(store: Store, name: str, days: int, count: int) -> None:
        for _ in range(0, count, 20):
            noise = (base64.b64encode(secrets.token_bytes(75_000)).decode() for _ in range(20))
            store.insert(*({"_msg": f"{NEEDLE} {name} {text}", "_time": days_ago(days)} for text in noise))

    def kept(store: Store, name: str) -> int:
        return store.count(f'_time:30d "{NEEDLE} {name}"')

    with opened(cluster) as there:
        for name, days, count in (("oldest", 5, some), ("older", 4, few), ("old", 3, few)):
            fill(there, name, days, count)
            until(lambda n=name, c=count: kept(there, n) == c, seconds=60, what=f"{name}, while there is room")  # type: ignore[misc]
        fill(there, "more", 5, many)
        until(lambda: kept(there, "oldest") == 0, seconds=180, what="the oldest day is gone")
        assert (kept(there, "older"), kept(there, "old")) == (few, few)


# Where the secrets of these add-ons stand on machines, root's alone or their pods': nowhere else.
SECRET_PLACES = (
    "/etc/kprov-logging/password",
    "/var/lib/kubelet/pods/",  # volumes of Secrets, in memory
    "/run/containerd/io.containerd.runtime.v2.task/",  # the gate's environment
    "/run/credentials/",
)


def test_secrets_of_add_ons_are_shown_by_nothing_and_stand_where_they_belong(cluster: LabCluster) -> None:
    """With monitoring beside it. Something of each is changed, so that a plan has to speak of it."""
    cluster.sh("w1", "rm -f /root/asked.sh")  # a test's own
    switch(cluster, storage=True, logging=SMALL, monitoring=True)
    said = cluster.kprov("up", "--yes", "--diff", "--verbose").text
    words = needles(cluster, "logging", "monitoring")
    assert {origin.split()[0] for origin in words.values()} == {
        *("logging/logs-login", "logging/logs-tls", "logging/vlagent-login"),
        *("monitoring/login", "monitoring/scraper-tls", "monitoring/victoria-metrics-tls"),
    }
    cluster.sh("w1", "echo >> /etc/kprov-logging/password; chmod 640 /etc/kprov-logging/password")
    for namespace, secret, key in (("logging", "logs-login", "admin"), ("monitoring", "scraper-tls", "tls.key")):
        spoil(cluster, namespace, secret, key)
    planned = cluster.kprov("plan", "--diff", "--verbose", status=2).text
    assert all(name in planned for name in ("/etc/kprov-logging/password", "logs-login", "scraper-tls"))
    said += planned + cluster.kprov("up", "--yes", "--diff", "--verbose").text
    said += cluster.kprov("status", "--json").text + cluster.kprov("plan").text
    said += "".join(path.read_text() for path in (cluster.folder / ".kprov").rglob("kprov.log*"))
    for host in HOSTS:
        said += cluster.sh(host, "journalctl --no-pager; cat /proc/[0-9]*/cmdline 2> /dev/null | tr '\\0' ' '; true")
    assert [words[word] for word in found(words, said)] == []
    for host in HOSTS:
        assert [path for path in files(cluster, host, words) if not path.startswith(SECRET_PLACES)] == [], host
    loose = "find /etc/kprov-logging /etc/kubernetes /etc/etcd /run/kprov* -type f -perm /077 2> /dev/null"
    for host in HOSTS:
        assert cluster.sh(host, f"{loose} | xargs -r grep -l 'PRIVATE KEY-----'; true") == ""


def spoil(cluster: LabCluster, namespace: str, name: str, key: str) -> None:
    """Gives a Secret another content, in kprov's name: as somebody else's it would be left as it is."""
    secret = cluster.get("secret", name, "-n", namespace)
    secret["data"][key] = base64.b64encode(b"other").decode()
    for field in ("managedFields", "resourceVersion", "uid", "creationTimestamp"):
        secret["metadata"].pop(field, None)
    as_kprov = ("--server-side", "--field-manager=kprov", "--force-conflicts")
    cluster.kubectl("apply", *as_kprov, "-f", "-", stdin=json.dumps(secret))
