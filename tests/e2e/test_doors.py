"""The API servers' doors on a living cluster: single sign-on, a webhook that authorizes, audit, Pod Security, encryption.

Real tokens and real webhooks; what is right of them is judged by the API server alone.
"""

from __future__ import annotations

import base64
import json
import os
import re
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import standin_program
import yaml
from doors_site import Issuer, Site, serving
from lab_cluster import CommandFailed, LabCluster, kubectl_path, until
from opened_page import tunnel

from kprov.lab import machines

pytestmark = pytest.mark.lab

HOSTS = {"cp1": ["etcd", "control_plane", "worker"], "cp2": ["control_plane"]}
FOLDER = "/etc/kubernetes/kube-apiserver"
REFUSED = (403, 500)  # 500: the webhook that must answer does not
MINUTE = 75  # the API server looks at its files once a minute, where the kernel does not tell it


@pytest.fixture(scope="module")
def site(cluster: LabCluster) -> Iterator[Site]:
    outside = Site("one", "two")
    with serving(outside, cluster.lab.gateway, cluster.folder / "site-ca.pem"):
        yield outside


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabCluster]:
    made = LabCluster("e2e-doors", tmp_path_factory.mktemp("doors"), HOSTS, keys={"addons": {"metrics-server": True}})
    try:
        made.kprov("up", "--yes")
        yield made
    finally:
        made.destroy()


def settings(cluster: LabCluster, **values: Any) -> None:
    cluster.edit(lambda document: document["cluster"].update(values))


def jwt(issuer: Issuer, **mappings: Any) -> dict[str, Any]:
    return {
        "issuer": {"url": issuer.url, "audiences": ["kubernetes"], "certificateAuthority": {"file": "site-ca.pem"}},
        "claimMappings": {
            "username": {"claim": "sub", "prefix": f"{issuer.name}:"},
            "groups": {"claim": "groups", "prefix": f"{issuer.name}:"},
            **mappings,
        },
    }


def kubeconfig(cluster: LabCluster, site: Site, path: str) -> str:
    """A webhook's kubeconfig beside the inventory, with a token in it; returns its name."""
    document = {
        "clusters": [
            {"name": "w", "cluster": {"server": f"{site.base}/{path}", "certificate-authority": "site-ca.pem"}}
        ],
        "users": [{"name": "w", "user": {"token": "webhook-token-that-nobody-sees"}}],
        "contexts": [{"name": "w", "context": {"cluster": "w", "user": "w"}}],
        "current-context": "w",
    }
    file = cluster.folder / f"{path}.kubeconfig"
    file.touch(mode=0o600)
    file.write_text(yaml.safe_dump(document))
    return file.name


def asked(cluster: LabCluster, token: str, *, host: str = "cp1", path: str = "/api") -> int:
    """The status that a token gets from one API server."""
    curl = "curl -s -o /dev/null -w '%{http_code}' --cacert /etc/kubernetes/pki/ca.crt -H @/run/token"
    cluster.sh(host, f"umask 077; printf 'Authorization: Bearer %s' '{token}' > /run/token")
    return int(cluster.sh(host, f"{curl} https://127.0.0.1:6443{path}"))


def who(cluster: LabCluster, token: str) -> dict[str, Any]:
    """Whom the API server takes a token for."""
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
    answer = json.loads(cluster.kubectl("create", "-o", "json", "-f", "-", stdin=json.dumps(review)))
    return dict(answer["status"].get("user", {}))


def started(cluster: LabCluster) -> dict[str, str]:
    return {host: cluster.main_pids(host)["kube-apiserver.service"] for host in HOSTS}


def connects(cluster: LabCluster, address: str, port: int, *, program: str = "coredns", host: str = "cp1") -> bool:
    """Whether a connection opens from the network of a pod, by its program: that has no shell of its own."""
    pod = f"nsenter -n -t $(pgrep -xo {program})"
    said = cluster.sh(host, f"{pod} timeout 2 bash -c 'exec 3<>/dev/tcp/{address}/{port}' && echo open || true")
    return "open" in said


def test_pods_reach_neither_ports_of_machines_nor_the_metadata(cluster: LabCluster) -> None:
    addresses = {host: str(cluster.lab.machine(host).address) for host in HOSTS}
    cluster.sh("cp2", "ip address add 169.254.169.254/32 dev host0")
    cluster.sh("cp1", f"ip route add 169.254.169.254 via {addresses['cp2']}")
    assert "open" in cluster.sh("cp1", "timeout 2 bash -c 'exec 3<>/dev/tcp/169.254.169.254/22' && echo open")
    closed = [("cp1", 22), ("cp1", 2379), ("cp1", 2380), ("cp2", 22), ("cp1", 10256), ("cp2", 10256)]
    assert [row for row in closed if connects(cluster, addresses[row[0]], row[1])] == []
    said = cluster.sh("cp1", "ip -6 -o address show dev cni0 scope link")
    by_six = next(word for word in said.split() if word.startswith("fe80")).split("/")[0] + "%eth0"
    assert not connects(cluster, by_six, 22)
    assert connects(cluster, by_six, 6443)
    assert not connects(cluster, "169.254.169.254", 22)
    assert connects(cluster, addresses["cp2"], 6443)
    among_pods = [cluster.sh(host, "ip -4 -o addr show cni0 | awk '{print $4}'").split("/")[0] for host in HOSTS]
    hosts = [address for address in (*addresses.values(), *among_pods) if address]  # without a pod there is no bridge
    assert not any(connects(cluster, address, 10250) for address in hosts)
    (pod,) = cluster.get("pods", "-n", "kube-system", "-l", "k8s-app=metrics-server")["items"]
    reader, where = "metrics-server", pod["spec"]["nodeName"]
    assert all(connects(cluster, address, 10250, program=reader, host=where) for address in hosts)
    assert not connects(cluster, addresses["cp1"], 22, program=reader, host=where)
    until(lambda: cluster.kubectl("top", "nodes"), seconds=60, what="kubectl top nodes")


def test_policies_are_enforced_until_they_are_off_and_counted_then(cluster: LabCluster) -> None:
    """A living cluster gets the engine by `up` again, one node first."""
    policy = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "deny"}}
    namespace = "kube-system"  # where the pods are that this test has
    deny = {"podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}, "policyTypes": ["Egress"]}
    cluster.kubectl("-n", namespace, "apply", "-f", "-", stdin=json.dumps({**policy, "spec": deny}))
    target = (str(cluster.lab.machine("cp2").address), 6443)
    said = "1 NetworkPolicy stands in the cluster that nothing enforces"
    until(lambda: not connects(cluster, *target), seconds=5, what="the policy holds")
    assert said not in cluster.kprov("plan").text
    settings(cluster, network={"policies": "off"})
    cluster.kprov("up", "--yes")
    assert said in cluster.kprov("plan").text
    assert connects(cluster, *target)
    assert "kprov-policies" not in cluster.sh("cp1", "nft list tables; ls /opt/kprov /etc/systemd/system")
    settings(cluster, network={"policies": "on"})
    cluster.kprov("up", "--yes")
    assert not connects(cluster, *target)
    cluster.kubectl("-n", namespace, "delete", "networkpolicy", "deny")
    until(lambda: connects(cluster, *target), seconds=5, what="it is open again")


def test_tokens_of_an_issuer_are_taken_without_a_restart(cluster: LabCluster, site: Site) -> None:
    """The first one; and the issuer is away when the API servers learn of it."""
    one, two = site.issuers.values()
    site.away.add("one")
    before = started(cluster)
    mapped = {
        "username": {"expression": "'two:' + claims.email.split('@')[0]"},
        "groups": {"expression": "claims.roles.split(',').map(role, 'two:' + role)"},
    }
    rule = {"expression": "claims.email_verified == true", "message": "email is not verified"}
    settings(cluster, authentication={"jwt": [jwt(one), {**jwt(two, **mapped), "claimValidationRules": [rule]}]})
    cluster.kprov("validate")
    cluster.kprov("up", "--yes")
    assert started(cluster) == before
    assert asked(cluster, one.token(sub="ann")) == 401
    site.away.clear()
    for host in HOSTS:
        until(lambda host=host: asked(cluster, one.token(sub="ann"), host=host) != 401, seconds=MINUTE, what="a token")
    assert who(cluster, one.token(sub="ann", groups=["staff"]))["groups"] == ["one:staff", "system:authenticated"]


def test_only_right_tokens_come_in(cluster: LabCluster, site: Site) -> None:
    one, stranger = site.issuers["one"], Issuer("one")
    stranger.base = site.base
    refused = {
        "another audience": one.token(sub="ann", audience="other"),
        "expired": one.token(sub="ann", seconds=-10),
        "an unknown key": one.token(sub="ann", key_id="nobody"),
        "a stranger's key under a known name": stranger.token(sub="ann"),
        "no name": one.token(),
        "claims of another issuer": site.issuers["two"].token(sub="ann"),
    }
    assert {why: asked(cluster, token) for why, token in refused.items()} == dict.fromkeys(refused, 401)
    assert asked(cluster, one.token(sub="ann"), path="/api/v1/nodes") == 403


def test_groups_of_a_token_have_rights_by_rbac(cluster: LabCluster, site: Site) -> None:
    cluster.kubectl("create", "clusterrolebinding", "staff", "--clusterrole=view", "--group=one:staff")
    one = site.issuers["one"]
    until(
        lambda: asked(cluster, one.token(sub="ann", groups=["staff"]), path="/api/v1/pods") == 200,
        seconds=10,
        what="rights",
    )
    assert asked(cluster, one.token(sub="ann", groups=["guests"]), path="/api/v1/pods") == 403
    assert asked(cluster, one.token(sub="ann", groups=["staff"]), path="/api/v1/secrets") == 403


def test_who_signs_on_uses_a_kubeconfig_that_holds_no_key(cluster: LabCluster, site: Site) -> None:
    """With a stand-in for kubectl's plugin kubelogin: it is asked as that one is, and signs on without a page."""
    one = site.issuers["one"]
    words = ("--oidc", "--issuer", one.url, "--scope", "groups")
    config = cluster.folder / "everybody.conf"
    config.write_text(cluster.kprov("kubeconfig", *words).stdout)
    assert "client-key-data" not in config.read_text()
    token = {"token": one.token(sub="ann", groups=["staff"])}
    credential = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": token}
    plugin = cluster.folder / "bin" / "kubectl-oidc_login"
    plugin.parent.mkdir()
    plugin.write_text(f"#!/bin/sh\necho \"$@\" > {plugin}.asked\necho '{json.dumps(credential)}'\n")
    plugin.chmod(0o755)
    (plugin.parent / "kubectl").symlink_to(kubectl_path())
    path = {"PATH": f"{plugin.parent}:{os.environ['PATH']}"}
    command = [kubectl_path(), "--kubeconfig", config, "auth", "whoami", "-o", "json"]
    done = subprocess.run(command, env={**os.environ, **path}, capture_output=True, text=True, check=True)
    user = json.loads(done.stdout)["status"]["userInfo"]
    assert (user["username"], user["groups"]) == ("one:ann", ["one:staff", "system:authenticated"])
    asked = Path(f"{plugin}.asked").read_text()
    assert asked.startswith(
        f"get-token --oidc-issuer-url={one.url} --oidc-client-id=kubernetes --oidc-extra-scope=groups"
    )


def test_people_sign_on_with_the_web_ui_by_the_same_issuer_and_have_their_own_rights(
    cluster: LabCluster, site: Site
) -> None:
    """With a stand-in for Headlamp that takes its arguments, and a browser that follows where it is sent."""
    one, hidden = site.issuers["one"], "client-secret-that-nobody-sees"
    one.clients, one.person = {"kubernetes": hidden}, {"sub": "ann", "groups": ["staff"]}
    file = cluster.folder / "client.secret"
    file.touch(mode=0o600)
    file.write_text(hidden)
    cluster.load_image(standin_program.make(cluster.folder))
    page = {"image": standin_program.REFERENCE, "sign_on": one.url, "client_secret": {"file": file.name}}
    cluster.edit(lambda document: document["cluster"]["addons"].update(headlamp=page))
    cluster.kprov("up", "--yes")
    with tunnel(cluster, "ui") as opened:
        assert (opened.said["token"], opened.said["issuer"]) == (None, one.url)
        one.redirects.add(opened.said["callback"])
        trusted = ssl.create_default_context(cafile=cluster.folder / "site-ca.pem")
        with httpx.Client(base_url=opened.url, verify=trusted, timeout=20, follow_redirects=True) as browser:
            below = f"/clusters/{yaml.safe_load(cluster.inventory.read_text())['cluster']['name']}"
            assert browser.get(f"{below}/api/v1/pods").status_code in (401, 403)
            assert browser.get("/oidc").url == opened.url
            review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
            answer = browser.post(f"{below}/apis/authentication.k8s.io/v1/selfsubjectreviews", json=review).json()
            user = answer["status"]["userInfo"]
            assert (user["username"], user["groups"]) == ("one:ann", ["one:staff", "system:authenticated"])
            assert browser.get(f"{below}/api/v1/pods").status_code == 200
            assert browser.get(f"{below}/api/v1/secrets").status_code == 403
            one.clients = {"kubernetes": "another"}
            assert browser.get("/oidc").status_code == 401
    pods = cluster.kubectl("-n", "headlamp", "get", "deployments,pods,configmaps", "-o", "yaml")
    assert hidden not in pods
    assert hidden not in cluster.kprov("plan", "--diff").text


def test_a_rotated_key_is_learned_and_an_issuer_that_is_away_keeps_known_keys(cluster: LabCluster, site: Site) -> None:
    one = site.issuers["one"]
    old = one.token(sub="ann")
    one.rotate()
    until(lambda: asked(cluster, one.token(sub="ann")) == 200, seconds=30, what="the new key")
    assert asked(cluster, old + "x") == 401
    site.away.add("one")
    assert asked(cluster, one.token(sub="bob")) == 200
    site.away.clear()


def test_a_second_issuer_whose_claims_are_mapped_by_expressions(cluster: LabCluster, site: Site) -> None:
    two = site.issuers["two"]
    claims = {"email": "eve@example.org", "roles": "ops", "email_verified": True}
    assert asked(cluster, two.token(**claims)) == 200
    user = who(cluster, two.token(**claims))
    assert (user["username"], user["groups"]) == ("two:eve", ["two:ops", "system:authenticated"])
    assert asked(cluster, two.token(**{**claims, "email_verified": False})) == 401


def test_an_expression_that_does_not_compile_stops_the_run_before_anything_changes(
    cluster: LabCluster, site: Site
) -> None:
    before = cluster.sh("cp1", f"sha256sum {FOLDER}/authentication.yaml")
    text = cluster.inventory.read_text()
    settings(cluster, authentication={"jwt": [jwt(site.issuers["one"], username={"expression": "claimz.sub"})]})
    line = cluster.kprov("validate", status=None).text
    assert "undeclared reference to 'claimz'" in line
    assert re.search(
        r"inventory\.yaml:\d+: cluster\.authentication: jwt\[0\]\.claimMappings\.username\.expression", line
    )
    told = cluster.kprov("up", "--yes", status=3).text
    assert "undeclared reference to 'claimz'" in told
    assert cluster.sh("cp1", f"sha256sum {FOLDER}/authentication.yaml") == before
    cluster.inventory.write_text(text)
    assert "nothing to change" in cluster.kprov("plan").text.lower()


def test_webhooks_audit_and_pod_security_go_to_one_api_server_first(cluster: LabCluster, site: Site) -> None:
    webhook = {
        "timeout": "3s",
        "subjectAccessReviewVersion": "v1",
        "failurePolicy": "Deny",
        "authorizedTTL": "1s",
        "unauthorizedTTL": "1s",
        "connectionInfo": {"type": "KubeConfigFile", "kubeConfigFile": kubeconfig(cluster, site, "authorize")},
    }
    audit = {
        "policy": {"rules": [{"level": "RequestResponse"}]},
        "webhook": {"kubeconfig": kubeconfig(cluster, site, "audit"), "batch-max-wait": "1s"},
    }
    settings(
        cluster,
        authorization={"authorizers": [{"type": "Webhook", "name": "own", "webhook": webhook}]},
        audit=audit,
        admission={"pod_security": {"enforce": "restricted"}},
        scheduler={"kind": "KubeSchedulerConfiguration", "parallelism": 4},
    )
    before = started(cluster)
    cluster.kprov("up", "--yes")
    after = started(cluster)
    assert all(after[host] != before[host] for host in HOSTS)
    since = [cluster.sh(host, "systemctl show -P ActiveEnterTimestampMonotonic kube-apiserver") for host in HOSTS]
    assert abs(int(since[0]) - int(since[1])) > 2_000_000  # one after the other, each behind its gate
    assert "parallelism: 4" in cluster.sh("cp2", "cat /etc/kubernetes/scheduler-config.yaml")
    assert cluster.kprov("plan").status == 0
    assert cluster.kprov("status").status == 0


def test_a_webhook_decides_what_rbac_does_not_and_may_be_away(cluster: LabCluster, site: Site) -> None:
    one = site.issuers["one"]
    site.allowed.add("one:ann")
    assert asked(cluster, one.token(sub="ann"), path="/api/v1/nodes") == 200
    assert asked(cluster, one.token(sub="bob"), path="/api/v1/nodes") == 403
    site.away.add("authorize")
    until(lambda: asked(cluster, one.token(sub="ann"), path="/api/v1/nodes") in REFUSED, seconds=20, what="no webhook")
    assert cluster.kubectl("get", "nodes", "-o", "name").split() == ["node/cp1", "node/cp2"]  # RBAC was asked before
    assert asked(cluster, one.token(sub="ann", groups=["staff"]), path="/api/v1/pods") == 200
    assert cluster.kprov("up", "--yes").status == 0
    site.away.clear()


def test_audit_events_reach_the_webhook_without_bodies_of_secrets(cluster: LabCluster, site: Site) -> None:
    cluster.kubectl("create", "secret", "generic", "seen", "--from-literal=word=never-in-an-event")
    cluster.kubectl("create", "configmap", "seen", "--from-literal=word=in-an-event")

    def events(resource: str) -> list[dict[str, Any]]:
        return [
            event
            for event in list(site.events)
            if (event.get("objectRef") or {}).get("resource") == resource
            and event["verb"] == "create"
            and event["objectRef"].get("name") == "seen"
        ]

    until(lambda: events("secrets") and events("configmaps"), seconds=30, what="audit events")
    assert {event["level"] for event in events("secrets")} == {"Metadata"}
    assert {event["level"] for event in events("configmaps")} == {"RequestResponse"}
    hidden = base64.b64encode(b"never-in-an-event").decode()
    assert hidden not in json.dumps(site.events)
    logs = "".join(cluster.sh(host, "cat /var/log/kubernetes/audit/audit.log") for host in HOSTS)
    assert hidden not in logs


def test_restricted_is_enforced_and_kprovs_own_pods_run(cluster: LabCluster) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "plain", "namespace": "default"}}
    pod |= {"spec": {"containers": [{"name": "a", "image": "kprov.local/pause:x"}]}}
    with pytest.raises(CommandFailed, match="violates PodSecurity"):
        cluster.kubectl("apply", "-f", "-", stdin=json.dumps(pod))
    cluster.kubectl("-n", "kube-system", "delete", "pods", "--all", "--wait=false")
    for deployment in ("coredns", "metrics-server"):
        where = next(
            item["metadata"]["namespace"]
            for item in cluster.get("deployments", "-A")["items"]
            if item["metadata"]["name"] == deployment
        )
        cluster.kubectl("-n", where, "rollout", "restart", f"deployment/{deployment}")
        cluster.kubectl("-n", where, "rollout", "status", f"deployment/{deployment}", "--timeout=60s", timeout=70)


def test_what_is_secret_is_for_the_component_alone_and_shown_nowhere(cluster: LabCluster) -> None:
    listed = cluster.sh("cp1", f"stat -c '%a %U %n' {FOLDER}/*.kubeconfig").split("\n")
    assert len([line for line in listed if line]) == 2
    assert all(re.match(r"600 kube-apiserver ", line) for line in listed if line)
    shown = "".join(cluster.sh(host, "journalctl -o cat; ps -eo args") for host in HOSTS)
    for state in cluster.folder.rglob("*.log"):
        shown += state.read_text(errors="replace")
    shown += cluster.kprov("plan", "--diff", status=None).text
    assert "webhook-token-that-nobody-sees" not in shown


@pytest.mark.long
def test_what_only_a_start_shows_reaches_one_api_server_and_is_taken_back(cluster: LabCluster) -> None:
    """Types of this plugin's configuration are not among those that kprov knows."""
    text, before = cluster.inventory.read_text(), started(cluster)
    quota = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "ResourceQuotaConfiguration", "limitedResources": "x"}
    settings(cluster, admission={"pod_security": {"enforce": "restricted"}, "plugins": {"ResourceQuota": quota}})
    cluster.kprov("validate")
    told = cluster.kprov("up", "--yes", status=3).text
    assert "limitedResources" in told
    after = started(cluster)
    assert after["cp2"] == before["cp2"]
    until(lambda: cluster.kprov("status", status=None).text.count("NOT READY") == 0, seconds=60, what="both are ready")
    cluster.inventory.write_text(text)
    cluster.kprov("up", "--yes")
    assert "nothing to change" in cluster.kprov("plan").text.lower()


@pytest.mark.long
def test_verify_passes_with_every_door_set_and_counts_policies(cluster: LabCluster) -> None:
    cluster.kprov("verify")
    policy = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "deny"}}
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps({**policy, "spec": {"podSelector": {}}}))
    settings(cluster, network={"policies": "off"})
    cluster.kprov("up", "--yes")
    verified = cluster.kprov("verify", "--", "-k", "networkpolicy", status=1).text
    assert "1 NetworkPolicies that the network routed does not enforce: ['default/deny']" in verified
    cluster.kubectl("delete", "networkpolicy", "deny")
    settings(cluster, network={"policies": "on"})
    cluster.kprov("up", "--yes")


ETCD = (
    "/opt/kprov/bin/etcdctl --endpoints=https://127.0.0.1:2379 --cacert=/etc/etcd/pki/ca.crt"
    " --cert=/etc/etcd/pki/healthcheck-client.crt --key=/etc/etcd/pki/healthcheck-client.key"
)


def stored(cluster: LabCluster, resource: str) -> dict[str, int]:
    """How many objects in etcd begin with each provider's mark, `plain` for none."""
    keys = cluster.sh("cp1", f"{ETCD} get /registry/{resource}/ --prefix --keys-only").split()
    marks = cluster.sh(
        "cp1", f"{ETCD} get /registry/{resource}/ --prefix --print-value-only | grep -ao '^k8s:enc:[a-z]*' || true"
    )
    found = {mark: marks.split().count(mark) for mark in set(marks.split())}
    plain = len(keys) - sum(found.values())
    return {**found, **({"plain": plain} if plain else {})}


@pytest.mark.long
def test_what_encrypts_becomes_another_and_every_object_is_written_again(cluster: LabCluster) -> None:
    """With more objects than a page holds; the key before is not named by anybody but kprov then."""
    key = cluster.folder / "key"
    key.touch(mode=0o600)
    key.write_text(base64.b64encode(os.urandom(32)).decode())
    items = [
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": f"s{n}"}, "data": {"a": "YQ=="}} for n in range(520)
    ]
    cluster.kubectl("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    assert set(stored(cluster, "secrets")) == {"k8s:enc:secretbox"}
    assert set(stored(cluster, "configmaps")) == {"plain"}
    before = started(cluster)
    provider = {"aesgcm": {"keys": [{"name": "mine", "secret": {"file": "key"}}]}}
    settings(cluster, encryption={"resources": ["secrets", "configmaps"], "providers": [provider]})
    told = cluster.kprov("up", "--yes").text
    secrets, configmaps = stored(cluster, "secrets"), stored(cluster, "configmaps")
    assert set(secrets) == set(configmaps) == {"k8s:enc:aesgcm"}
    assert f"{secrets['k8s:enc:aesgcm']} secrets" in told
    assert started(cluster) == before
    assert cluster.kprov("plan").status == 0
    document = yaml.safe_load(cluster.sh("cp2", f"cat {FOLDER}/encryption.yaml"))
    assert [next(iter(row)) for row in document["resources"][0]["providers"]] == ["aesgcm", "secretbox", "identity"]

    cluster.edit(lambda document: document["cluster"].pop("encryption"))
    key.unlink()
    cluster.kprov("up", "--yes")
    assert set(stored(cluster, "secrets")) == {"k8s:enc:secretbox"}
    assert set(stored(cluster, "configmaps")) == {"plain"}
    assert len(cluster.get("secrets")["items"]) >= 520
    assert "mine" not in cluster.sh("cp1", f"cat {FOLDER}/encryption.yaml")
    assert started(cluster) == before


KMS = (
    "systemd-run --unit=kms -p RuntimeDirectory=kms -p RuntimeDirectoryPreserve=yes"
    " /usr/local/bin/kms /run/kms/own.sock /etc/kms.key"
)


def run_kms(cluster: LabCluster) -> None:
    """Put the plugin of tests/e2e/kms on every host with an API server, with one key, and start it."""
    program = cluster.folder / "kms"
    build = {**os.environ, "GOFLAGS": "-mod=readonly", "CGO_ENABLED": "0", "GOWORK": "off"}
    subprocess.run(["go", "build", "-o", program, "."], cwd=Path(__file__).parent / "kms", env=build, check=True)
    for host in HOSTS:
        machines.put(cluster.lab.machine(host), program, "/usr/local/bin/kms")
        cluster.sh(
            host, "chmod 755 /usr/local/bin/kms; umask 077; printf 0123456789abcdef0123456789abcdef > /etc/kms.key"
        )
        cluster.sh(host, KMS)


@pytest.mark.long
def test_a_kms_encrypts_goes_away_and_comes_back(cluster: LabCluster) -> None:
    """Of two resources, of which one was encrypted before. While it is away everywhere no API server is ready, which is told
    of each with the cause, and nodes still reach one."""
    run_kms(cluster)
    cluster.kubectl("create", "secret", "generic", "sealed", "--from-literal=a=a")
    before = started(cluster)
    provider = {"kms": {"apiVersion": "v2", "name": "own", "endpoint": "unix:///run/kms/own.sock"}}
    settings(cluster, encryption={"resources": ["secrets", "configmaps"], "providers": [provider]})
    told = cluster.kprov("up", "--yes").text
    secrets, configmaps = stored(cluster, "secrets"), stored(cluster, "configmaps")
    assert set(secrets) == set(configmaps) == {"k8s:enc:kms"}
    assert f"{secrets['k8s:enc:kms']} secrets" in told
    assert "KmsPlugin" not in cluster.kprov("plan").text

    for host in HOSTS:
        cluster.sh(host, "systemctl kill --signal=KILL kms; sleep 1; systemctl reset-failed kms")
    until(
        lambda: cluster.kprov("status", status=1).text.count("NOT READY") >= len(HOSTS), seconds=60, what="it is told"
    )
    for command in ("status", "plan"):
        told = cluster.kprov(command, status=None).text
        for host in HOSTS:
            cause = f"{host}: the KMS own at unix:///run/kms/own.sock does not serve its API server: "
            assert re.search(f"{re.escape(cause)}.*dial unix /run/kms/own.sock: connect: connection refused", told), (
                told
            )
        assert "do: start its plugin on that host" in told
    for _ in range(8):  # a node that says nothing for 50 s is not Ready
        time.sleep(10)
        assert cluster.nodes() == dict.fromkeys(HOSTS, True)
    assert cluster.kubectl("get", "secret", "sealed", "-o", "jsonpath={.data.a}") == "YQ=="
    for host in HOSTS:
        cluster.sh(host, KMS)
    until(lambda: cluster.kprov("status", status=None).status == 0, seconds=60, what="all is well again")

    cluster.edit(lambda document: document["cluster"].pop("encryption"))
    cluster.kprov("up", "--yes")
    assert set(stored(cluster, "secrets")) == {"k8s:enc:secretbox"}
    assert set(stored(cluster, "configmaps")) == {"plain"}
    for host in HOSTS:
        cluster.sh(host, "systemctl stop kms")
    assert cluster.kubectl("get", "secret", "sealed", "-o", "jsonpath={.data.a}") == "YQ=="
    assert started(cluster) == before
