"""Add-ons on a living cluster: metrics-server, a user's own, a web UI behind a tunnel, and everything that goes wrong.

The tests build on each other, in the order they stand in.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import standin_program
import yaml
from lab_cluster import LabCluster, until
from opened_page import tunnel

from kprov.addon.choose import by_name
from kprov.addon.exposure import filled
from kprov.addon.render import Surroundings, rendered

pytestmark = pytest.mark.lab

HOSTS = {"cp1": ["control_plane"], "w1": ["worker"]}
OWN = Path(__file__).parent / "own_addons"
NOWHERE = "127.0.0.1:1/nobody/serves-this:1"
BEFORE, NOW = "0.8.0", "0.9.0"  # of metrics-server
MARK = "app.kubernetes.io/managed-by=kprov"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabCluster]:
    older = {"addons": {"metrics-server": {"version": BEFORE}}}
    made = LabCluster("ui", tmp_path_factory.mktemp("ui"), HOSTS, keys=older)
    try:
        shutil.copytree(OWN, made.folder / "addons")
        made.kprov("up", "--yes")
        yield made
    finally:
        made.destroy()


@pytest.fixture(scope="module")
def agnhost(cluster: LabCluster) -> str:
    return cluster.load_agnhost()


@pytest.fixture(scope="module")
def standin(cluster: LabCluster, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The image of a program that stands in for web UIs; the test's own, and never Headlamp's."""
    cluster.load_image(standin_program.make(tmp_path_factory.mktemp("standin")))
    return standin_program.REFERENCE


def switch(cluster: LabCluster, **addons: Any) -> None:
    """Changes lines below `addons`; None takes one out."""

    def change(document: dict[str, Any]) -> None:
        below = document["cluster"].setdefault("addons", {})
        for name, value in addons.items():
            below[name.replace("_", "-")] = value
            if value is None:
                del below[name.replace("_", "-")]

    cluster.edit(change)


def hello(cluster: LabCluster, **parameters: Any) -> None:
    """Changes parameters of the user's own add-on."""

    def change(document: dict[str, Any]) -> None:
        document["cluster"]["addons"]["hello"].update(parameters)

    cluster.edit(change)


def summary(cluster: LabCluster, *arguments: str) -> dict[str, Any]:
    """The last line of a run that ends well."""
    ran = cluster.kprov("up", "--yes", "--json", *arguments)
    return dict(json.loads(ran.stdout.splitlines()[-1]))


def words(text: str) -> str:
    """A table's cells are wrapped: its text without line breaks and borders."""
    return " ".join(text.replace("│", " ").split())


def settings(cluster: LabCluster) -> dict[str, str]:
    return dict(cluster.get("configmap", "settings", "-n", "hello")["data"])


def labelled(cluster: LabCluster, addon: str) -> list[str]:
    """Every object in the cluster that carries the add-on's label, of all kinds there are."""
    kinds = cluster.kubectl("api-resources", "--verbs=list", "-o", "name").split()
    return cluster.kubectl("get", ",".join(kinds), "-A", "-l", f"kprov.io/addon={addon}", "-o", "name").split()


def load(cluster: LabCluster, image: str) -> str:
    """A Deployment that burns processor time when it is asked to, and its autoscaler; fast both ways."""
    container = {
        "name": "load",
        "image": image,
        "imagePullPolicy": "Never",
        "resources": {"requests": {"cpu": "50m"}},
        "readinessProbe": {"httpGet": {"path": "/", "port": 4466}, "periodSeconds": 1},
    }
    pod = {"containers": [container], "terminationGracePeriodSeconds": 0}
    labels = {"app": "load"}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "load"},
        "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}},
    }
    fast = {"stabilizationWindowSeconds": 0, "policies": [{"type": "Pods", "value": 4, "periodSeconds": 15}]}
    cpu = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}
    scaler = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "load"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "load"},
            "minReplicas": 1,
            "maxReplicas": 2,
            "metrics": [cpu],
            "behavior": {"scaleUp": fast, "scaleDown": fast},
        },
    }
    return str(yaml.safe_dump_all([deployment, scaler]))


def replicas(cluster: LabCluster) -> int:
    return int(cluster.get("deployment", "load")["spec"]["replicas"])


# Resource metrics


def of_metrics_server(cluster: LabCluster) -> list[str]:
    """Its images on all nodes, once each."""
    return sorted({name for host in HOSTS for name in cluster.images(host) if "metrics-server" in name})


def test_an_add_on_is_upgraded_by_its_version_and_the_old_image_goes(cluster: LabCluster) -> None:
    until(lambda: cluster.kubectl("top", "node"), seconds=60, what="kubectl top node")
    assert of_metrics_server(cluster) == [f"kprov.local/metrics-server:{BEFORE}"]
    assert f"metrics-server  {BEFORE}" in cluster.kprov("status").stdout
    switch(cluster, metrics_server=None)
    plan = words(cluster.kprov("plan", status=2).stdout)
    assert "~ Deployment kube-system/metrics-server" in plan
    assert "APIService" not in plan
    cluster.kprov("up", "--yes")
    now = [f"kprov.local/metrics-server:{NOW}"]
    until(lambda: run_by_metrics_server(cluster) == now, seconds=60, what="the old pod is gone")
    until(lambda: of_metrics_server(cluster) == now, seconds=30, what="the old image is gone")


def run_by_metrics_server(cluster: LabCluster) -> list[str]:
    pods = cluster.get("pods", "-n", "kube-system", "-l", "k8s-app=metrics-server")["items"]
    return [container["image"] for pod in pods for container in pod["spec"]["containers"]]


def test_metrics_server_is_on_by_default_and_a_second_run_costs_one_exec_a_host(cluster: LabCluster) -> None:
    tops = until(lambda: cluster.kubectl("top", "node", "--no-headers"), seconds=60, what="kubectl top node")
    assert {line.split()[0] for line in tops.splitlines()} == set(HOSTS)
    assert all(line.split()[1].endswith("m") and line.split()[3].endswith("Mi") for line in tops.splitlines())
    pods = until(lambda: cluster.kubectl("top", "pod", "-n", "kube-system"), seconds=60, what="kubectl top pod")
    assert "coredns" in pods
    assert "metrics-server" in pods
    again = summary(cluster)
    assert (again["changed"], again["execs"], again["connections"]) == ([], 2, 2)


def test_an_autoscaler_scales_up(cluster: LabCluster, standin: str) -> None:
    cluster.kubectl("apply", "-f", "-", stdin=load(cluster, standin))
    cluster.kubectl("rollout", "status", "deployment/load", "--timeout=60s")
    (pod,) = cluster.get("pods", "-l", "app=load")["items"]
    cluster.sh("cp1", f"curl -sf 'http://{pod['status']['podIP']}:4466/burn?milli=300&seconds=60'")
    until(lambda: replicas(cluster) == 2, seconds=120, what="the autoscaler scales up")


# A user's own add-ons


def test_a_users_own_add_ons_come_with_kinds_objects_certificate_and_plain_manifests(
    cluster: LabCluster, agnhost: str
) -> None:
    switch(cluster, hello={"image": agnhost}, plain=True)
    plan = cluster.kprov("plan", status=2).stdout
    assert "+ Widget hello/one: it is not there" in plan
    assert "+ ConfigMap kube-public/plain-two: it is not there" in plan
    assert "the certificate is missing" in plan
    first = summary(cluster)
    assert cluster.get("widget", "one", "-n", "hello")["spec"] == {"size": 1}
    assert settings(cluster) == {"message": "hello", "nodes": "2"}
    assert cluster.get("configmap", "plain-two", "-n", "kube-public")["data"] == {"number": "2"}
    labels = cluster.get("namespace", "hello")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    hello(cluster, message="good day")
    one = summary(cluster)
    assert settings(cluster)["message"] == "good day"
    # One object or a dozen: as many execs, but for the one that lists and deletes on the way.
    assert one["execs"] <= first["execs"] <= one["execs"] + 1
    again = summary(cluster)
    assert (again["changed"], again["execs"]) == ([], 2)


def test_status_and_certificates_tell_of_add_ons(cluster: LabCluster) -> None:
    shown = cluster.kprov("status").stdout
    states = {line.split()[0]: line.split()[1:] for line in shown.split("ADD-ON")[1].splitlines()[1:]}
    assert states == {"hello": ["1", "ready"], "metrics-server": [NOW, "ready"], "plain": ["-", "ready"]}
    rows = json.loads(cluster.kprov("certs list", "--json").stdout)["certificates"]
    secrets = {row["path"]: row for row in rows if row["host"] == "(cluster)"}
    assert set(secrets) == {"Secret hello/web-tls", "Secret kube-system/metrics-server-tls"}
    assert all(row["reason"] is None and row["days_left"] > 300 for row in secrets.values())


def test_a_template_error_is_told_with_file_and_line_before_any_host_is_touched(cluster: LabCluster) -> None:
    broken = cluster.folder / "addons" / "hello" / "broken.yaml.j2"
    broken.write_text(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: broken}\ndata: {a: {{ parameters.nonsense }}}\n"
    )
    ran = cluster.kprov("up", "--yes", status=1)
    broken.unlink()
    assert f"{broken}:4" in ran.text
    assert "nonsense" in ran.text


def test_what_another_manager_owns_is_told_and_left_and_the_rest_goes_on(cluster: LabCluster) -> None:
    theirs = '{"data": {"message": "theirs"}}'
    cluster.kubectl("patch", "configmap", "settings", "-n", "hello", "--field-manager=somebody", "-p", theirs)
    (cluster.folder / "addons" / "plain" / "three.yaml").write_text(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: plain-three}\n"
    )
    hello(cluster, size=7)
    told = words(cluster.kprov("up", "--yes", status=3).text)
    assert "ConfigMap hello/settings: the field .data.message belongs to somebody, another manager" in told
    assert settings(cluster)["message"] == "theirs"
    assert cluster.get("widget", "one", "-n", "hello")["spec"] == {"size": 7}
    assert cluster.kubectl("get", "configmap", "plain-three", "-o", "name")
    # What was given up is kprov's again.
    cluster.kubectl("delete", "configmap", "settings", "-n", "hello")
    cluster.kprov("up", "--yes")
    assert settings(cluster)["message"] == "good day"


def test_what_the_api_server_refuses_is_told_with_object_and_field(cluster: LabCluster) -> None:
    hello(cluster, replicas=-1, size=8)
    told = words(cluster.kprov("up", "--yes", status=3).text)
    assert "Deployment web: spec.replicas: Invalid value: -1" in told
    assert cluster.get("widget", "one", "-n", "hello")["spec"] == {"size": 8}
    hello(cluster, replicas=1)
    cluster.kprov("up", "--yes")


def test_what_cannot_be_changed_in_place_is_made_anew_only_when_asked(cluster: LabCluster) -> None:
    before = cluster.get("deployment", "web", "-n", "hello")["metadata"]["uid"]
    claim = cluster.get("pvc", "kept", "-n", "hello")["metadata"]["uid"]
    hello(cluster, app="other")
    told = words(cluster.kprov("up", "--yes", status=1).text)
    assert "Deployment hello/web of the add-on hello cannot be changed in place" in told
    assert "spec.selector is" in told
    assert "kprov up --recreate hello" in told
    assert cluster.get("deployment", "web", "-n", "hello")["metadata"]["uid"] == before
    cluster.kprov("up", "--yes", "--recreate", "hello")
    web = cluster.get("deployment", "web", "-n", "hello")
    assert web["metadata"]["uid"] != before
    assert web["spec"]["selector"]["matchLabels"] == {"app": "other"}
    assert cluster.get("pvc", "kept", "-n", "hello")["metadata"]["uid"] == claim


# Web UI and tunnels


def test_headlamps_manifests_are_taken_by_the_api_server(cluster: LabCluster) -> None:
    """All three choices of rights, with upstream's own image: its pods are not started here."""
    (headlamp,) = (addon for addon in by_name(["headlamp"]) if addon.name == "headlamp")
    (image,) = headlamp.images
    reference = image.entry.reference.format(version=image.version)
    assert reference == f"ghcr.io/headlamp-k8s/headlamp:v{image.version}"
    around = Surroundings(cluster={"name": "ui"}, ca={}, images={"headlamp": reference}, secret_seed=b"")
    cluster.kubectl("create", "namespace", "headlamp")
    for rights in ("view", "edit", "cluster-admin"):
        one = replace(headlamp, parameters={**headlamp.parameters, "rights": rights})
        documents = yaml.safe_dump_all([dict(item) for item in rendered(one, around)])
        dry = ("--server-side", "--dry-run=server", "--field-manager=kprov", "--validate=strict")
        done = cluster.kubectl("apply", *dry, "-f", "-", stdin=documents)
        assert "deployment.apps/headlamp serverside-applied (server dry run)" in done
    cluster.kubectl("delete", "namespace", "headlamp")


def test_ingresses_of_add_ons_are_taken_by_the_api_server(cluster: LabCluster) -> None:
    empty: dict[str, Any] = {key: [] for key in ("nodes", "control_plane", "etcd", "hosts")}
    named: dict[str, Any] = {
        "name": "ui",
        "domain": "cluster.local",
        "pod_cidr": "10.244.0.0/16",
        "addons": ["storage"],
    }
    named["enforces_policies"] = True
    given = {"type": "Ingress", "host": "page.example.org", "class": "nginx", "tls_secret": "page-tls"}
    notes = {"nginx.ingress.kubernetes.io/backend-protocol": "HTTPS"}
    names = ("headlamp", "logging", "monitoring")
    for addon in (addon for addon in by_name(names) if addon.name in names):
        parameters = {**addon.parameters, "expose": filled({**given, "annotations": notes})}
        images = {image.name: "r/i:1" for image in addon.images}
        around = Surroundings(cluster={**named, **empty}, ca={"kubernetes": ""}, images=images, secret_seed=b"k")
        items = [dict(item) for item in rendered(replace(addon, parameters=parameters), around)]
        (ingress,) = (item for item in items if item["kind"] == "Ingress")
        ingress["metadata"] = {**ingress["metadata"], "namespace": "default"}
        dry = ("--server-side", "--dry-run=server", "--field-manager=kprov", "--validate=strict")
        done = cluster.kubectl("apply", *dry, "-f", "-", stdin=yaml.safe_dump(ingress))
        assert f"{ingress['metadata']['name']} serverside-applied (server dry run)" in done


def test_an_image_that_cannot_be_pulled_is_told_with_node_reference_and_the_runtimes_words(cluster: LabCluster) -> None:
    switch(cluster, headlamp={"image": NOWHERE})
    told = words(cluster.kprov("up", "--yes", status=3).text)
    node = cluster.get("pods", "-n", "headlamp")["items"][0]["spec"]["nodeName"]
    assert f"{node} cannot pull {NOWHERE}:" in told
    assert "connection refused" in told
    opened = cluster.kprov("open ui", "--no-browser", status=1).text
    assert "no pod of the add-on headlamp is ready" in opened
    assert NOWHERE in opened
    assert "headlamp" in cluster.kprov("status", status=1).stdout.split("NOT READY")[0].splitlines()[-1]
    # A run with nothing to change does not call that done.
    assert "add-on headlamp is not ready now" in cluster.kprov("plan").stdout


def test_the_web_ui_is_reached_with_a_short_lived_token_that_may_only_look(cluster: LabCluster, standin: str) -> None:
    switch(cluster, headlamp={"image": standin})
    cluster.kprov("up", "--yes")
    with tunnel(cluster, "ui") as page:
        token = page.said["token"]
        assert (page.said["addon"], page.said["via"]) == ("headlamp", "cp1")
        assert page.url == f"http://127.0.0.1:{page.port}/"
        with httpx.Client(base_url=page.url, timeout=20) as client:
            assert standin_program.WORDS in client.get("/").text
            assert "-in-cluster-context-name=ui" in client.get("/arguments").text.splitlines()
            assert client.get("/tmp").text.strip() == "<nil>"
            assert "permission denied" in client.get("/root").text
            asked = {
                path: client.get(f"/clusters/ui{path}", headers={"Authorization": f"Bearer {token}"}) for path in SEEN
            }
            assert {path: answer.status_code for path, answer in asked.items()} == SEEN
            assert client.get("/clusters/ui/api/v1/nodes").status_code in (401, 403)
        assert {item["metadata"]["name"] for item in asked["/api/v1/nodes"].json()["items"]} == set(HOSTS)
    assert {verb: may(cluster, token, verb) for verb in CAN_I} == CAN_I
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    assert claims["sub"] == "system:serviceaccount:headlamp:headlamp-user"
    assert claims["exp"] - claims["iat"] <= 3700


def test_any_number_of_starts_keeps_one_copy_of_the_pages(cluster: LabCluster) -> None:
    """The stand-in does as Headlamp does: 31 MB in a new folder at each start, in one pod."""

    def restarts() -> int:
        (pod,) = cluster.get("pods", "-n", "headlamp", "-l", "app.kubernetes.io/name=headlamp")["items"]
        return int(pod["status"]["containerStatuses"][0]["restartCount"])

    def end() -> None:
        before = restarts()
        with tunnel(cluster, "ui") as page, contextlib.suppress(httpx.HTTPError):
            httpx.get(f"{page.url}end", timeout=5)
        until(lambda: restarts() > before, seconds=60, what="it is started again")
        cluster.kubectl("rollout", "status", "deployment/headlamp", "-n", "headlamp", "--timeout=60s", timeout=70)

    def copies() -> str:
        with tunnel(cluster, "ui") as page, httpx.Client(base_url=page.url, timeout=20) as client:
            return client.get("/copies").text.strip()

    end()
    end()
    assert until(copies, seconds=60, what="the page answers again") == "1 <nil>"


def test_view_covers_every_kind_of_kubernetes_but_secrets_and_roles(cluster: LabCluster) -> None:
    with tunnel(cluster, "ui") as page:
        config = as_bearer(cluster, page.said["token"])
        rules = cluster.kubectl("auth", "can-i", "--list", "--no-headers", "--kubeconfig", str(config)).splitlines()
    seen = {line.split()[0] for line in rules if re.search(r"\[[^]]*\blist\b[^]]*\]$", line)}
    kinds = set(cluster.kubectl("api-resources", "--verbs=list", "--no-headers", "-o", "name").split())
    custom = set(cluster.kubectl("get", "customresourcedefinitions", "-o", "name").replace(CRD, "").split())
    roles = {
        f"{kind}.rbac.authorization.k8s.io" for kind in ("roles", "rolebindings", "clusterroles", "clusterrolebindings")
    }
    assert len(kinds) > 50
    assert kinds - seen - custom == {"secrets", *roles}


CRD = "customresourcedefinition.apiextensions.k8s.io/"


def as_bearer(cluster: LabCluster, token: str) -> Path:
    """A kubeconfig of whoever has that token, and nothing else to show."""
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    config["users"] = [{"name": config["users"][0]["name"], "user": {"token": token}}]
    path = cluster.folder / "token.conf"
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(config))
    return path


def may(cluster: LabCluster, token: str, verb: str) -> str:
    """What `kubectl auth can-i` says to whoever has that token."""
    config = as_bearer(cluster, token)
    return cluster.kubectl("auth", "can-i", *verb.split(), "-A", "--kubeconfig", str(config), check=False).strip()


SEEN = {
    "/api/v1/nodes": 200,
    "/api/v1/pods": 200,
    "/apis/metrics.k8s.io/v1beta1/nodes": 200,
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions": 200,
    "/api/v1/secrets": 403,
    "/apis/rbac.authorization.k8s.io/v1/clusterroles": 403,
}
CAN_I = {
    "list pods": "yes",
    "get pods/log": "yes",
    "list nodes": "yes",
    "list persistentvolumes": "yes",
    "list secrets": "no",
    "create pods": "no",
    "delete deployments.apps": "no",
    "create pods/exec": "no",
    "patch nodes": "no",
    "create serviceaccounts/token": "no",
    "create tokenreviews": "no",
}


def test_a_page_with_tls_and_a_login_is_reached_in_plain_and_many_at_once(cluster: LabCluster) -> None:
    with tunnel(cluster, "hello") as page:
        held = cluster.get("secret", "login", "-n", "hello")["data"]["password"]
        assert page.said["user"] == "reader"
        assert page.said["password"] == base64.b64decode(held).decode()
        assert page.said["password"] not in page.url
        limits = httpx.Limits(max_connections=12)
        with httpx.Client(limits=limits, timeout=20) as client:
            names = {client.get(page.url).text for _ in range(3)}
            clients = [client.build_request("GET", page.url) for _ in range(3)]
            assert [client.send(one).text for one in clients] == [*names] * 3
        listening = cluster_side(page.port)
        assert listening == ["0100007F"], "it listens on more than 127.0.0.1"
        # Every connection to the host is cut: the next request goes through a new one.
        cluster.sh("cp1", "pkill -f '^sshd: root'", check=False)
        assert until(lambda: httpx.get(page.url, timeout=20).text in names, seconds=60, what="the tunnel comes back")
        told = page.next_line()
        assert told["event"] == "note"
        assert "now through cp1" in told["text"]


def cluster_side(port: int) -> list[str]:
    """The addresses of this computer that listen on a port."""
    tables = [Path(f"/proc/net/{name}").read_text().splitlines()[1:] for name in ("tcp", "tcp6")]
    rows = [line.split() for table in tables for line in table]
    return [row[1].split(":")[0] for row in rows if row[3] == "0A" and row[1].endswith(f":{port:04X}")]


def test_the_browser_is_opened_with_an_address_that_holds_no_secret(cluster: LabCluster, tmp_path: Path) -> None:
    browser, seen = tmp_path / "browser", tmp_path / "seen"
    browser.write_text(f'#!/bin/sh\nprintf %s "$*" > {seen}\n')
    browser.chmod(0o755)
    with tunnel(cluster, "ui", env={"BROWSER": str(browser)}, browser=True) as page:
        assert until(lambda: seen.exists() and seen.read_text(), seconds=20, what="the browser") == page.url


def test_a_page_that_cannot_be_opened_is_told(cluster: LabCluster) -> None:
    assert "the add-on storage is off" in cluster.kprov("open storage", status=1).text
    assert "has no page" in cluster.kprov("open metrics-server", status=1).text
    assert "did you mean 'headlamp'" in cluster.kprov("open headlmap", status=1).text
    with tunnel(cluster, "ui") as page:
        taken = cluster.kprov("open ui", "--no-browser", "--port", str(page.port), status=1).text
        assert "another program listens there" in taken


# What is switched off


def test_everything_is_healthy_and_a_second_run_with_all_of_it_changes_nothing(cluster: LabCluster) -> None:
    cluster.kprov("verify", "--", "-q", "-k", "addon or metrics")
    again = summary(cluster)
    assert (again["changed"], again["execs"], again["connections"]) == ([], 2, 2)


def test_certificates_in_secrets_are_renewed_in_time(cluster: LabCluster) -> None:
    before = cluster.get("secret", "web-tls", "-n", "hello")["data"]["tls.crt"]
    old = secret_of_metrics_server(cluster)
    assert served_by_metrics_server(cluster) == old
    cluster.edit(lambda document: document["cluster"].update(pki={"leaf_days": 370, "renew_before_days": 369}))
    rows = json.loads(cluster.kprov("certs list", "--json").stdout)["certificates"]
    (row,) = (row for row in rows if row["path"] == "Secret hello/web-tls")
    assert row["reason"].startswith("expires in")
    assert "Secret hello/web-tls: the certificate expires in" in cluster.kprov("plan", "--limit", "w1", status=2).stdout
    cluster.kprov("up", "--yes", "--limit", "w1")  # one host's own certificates are enough of a restart for this test
    assert cluster.get("secret", "web-tls", "-n", "hello")["data"]["tls.crt"] != before
    assert "nothing to change" in cluster.kprov("plan", "--limit", "w1").stdout
    assert secret_of_metrics_server(cluster) != old
    cluster.edit(lambda document: document["cluster"].pop("pki"))


def served_by_metrics_server(cluster: LabCluster) -> str:
    """The certificate on its port, as a node sees it."""
    address = cluster.get("service", "metrics-server", "-n", "kube-system")["spec"]["clusterIP"]
    return first_certificate(cluster.sh("w1", f"curl -sk -o /dev/null -w '%{{certs}}' https://{address}/"))


def secret_of_metrics_server(cluster: LabCluster) -> str:
    data = cluster.get("secret", "metrics-server-tls", "-n", "kube-system")["data"]["tls.crt"]
    return first_certificate(base64.b64decode(data).decode())


def first_certificate(pem: str) -> str:
    return "".join(pem.split("-----BEGIN CERTIFICATE-----")[1].split("-----END")[0].split())


def test_a_dead_api_and_a_dead_webhook_do_not_stand_in_the_way_of_their_own_removal(cluster: LabCluster) -> None:
    switch(cluster, front=True)
    cluster.kprov("up", "--yes")
    until(lambda: "dead.kprov.example" in unavailable(cluster), seconds=30, what="the API without pods is seen dead")
    # Off with it, and at once the list of objects grows, and a namespace goes whose content is asked of every API.
    switch(cluster, front=None, headlamp=None)
    (cluster.folder / "addons" / "plain" / "four.yaml").write_text(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: plain-four}\n"
    )
    cluster.kprov("up", "--yes")
    assert labelled(cluster, "front") == []
    assert labelled(cluster, "headlamp") == []
    assert cluster.kubectl("get", "namespace", "front", "headlamp", "--ignore-not-found") == ""
    assert cluster.kubectl("get", "configmap", "plain-four", "-o", "name")


def unavailable(cluster: LabCluster) -> str:
    rows = cluster.get("apiservices")["items"]
    return " ".join(
        row["metadata"]["name"]
        for row in rows
        for one in row.get("status", {}).get("conditions", ())
        if one["type"] == "Available" and one["status"] != "True"
    )


def test_only_what_kprov_made_is_pruned_and_data_stays_until_it_is_asked_for(cluster: LabCluster) -> None:
    copied = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "copied", "labels": cluster.get("configmap", "plain-one")["metadata"]["labels"]},
    }
    cluster.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(copied))
    switch(cluster, hello=None, plain=None)
    assert "kept, as it holds data" in cluster.kprov("plan", status=2).stdout
    cluster.kprov("up", "--yes")
    assert sorted(labelled(cluster, "hello")) == ["namespace/hello", "persistentvolumeclaim/kept"]
    assert labelled(cluster, "plain") == ["configmap/copied"]
    assert "hello" in cluster.kprov("status", status=None).stdout
    assert cluster.kubectl("get", "crd", "widgets.tests.kprov.example", "--ignore-not-found") == ""
    assert summary(cluster)["changed"] == []
    cluster.kprov("up", "--yes", "--delete-data")
    assert labelled(cluster, "hello") == []
    assert cluster.kubectl("get", "configmap", "copied", "-o", "name")


def test_a_renewed_certificate_is_what_is_served_by_the_same_pod(cluster: LabCluster) -> None:
    until(
        lambda: served_by_metrics_server(cluster) == secret_of_metrics_server(cluster),
        seconds=120,
        what="metrics-server serves its new certificate",
    )
    (pod,) = cluster.get("pods", "-n", "kube-system", "-l", "k8s-app=metrics-server")["items"]
    assert pod["status"]["containerStatuses"][0]["restartCount"] == 0
    assert cluster.kubectl("top", "node")
    assert "v1beta1.metrics.k8s.io" not in unavailable(cluster)


def test_the_autoscaler_has_scaled_down(cluster: LabCluster) -> None:
    until(lambda: replicas(cluster) == 1, seconds=120, what="the autoscaler scales down")
    cluster.kubectl("delete", "deployment,hpa", "load")


def test_switched_off_metrics_server_is_gone_and_comes_back(cluster: LabCluster) -> None:
    switch(cluster, metrics_server=False)
    cluster.kprov("up", "--yes")
    assert labelled(cluster, "metrics-server") == []
    assert "metrics" not in cluster.kubectl("api-versions")
    assert of_metrics_server(cluster) == []
    assert "metrics-server" not in cluster.kprov("status").stdout
    switch(cluster, metrics_server=None)
    cluster.kprov("up", "--yes")
    until(lambda: cluster.kubectl("top", "node"), seconds=60, what="kubectl top node")
