"""The program that enforces NetworkPolicies on nodes: what it keeps of the API's answers, and when it writes rules.

Who reaches whom by its rules is asked of a real kernel in tests/contract/test_policies.py.
"""

from __future__ import annotations

import ast
import json
import ssl
import sys
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from own_cas import company
from pki_cases import leaf
from policy_parts import FOLDER, labels, main, node, rules, table, watch

from kprov.pki.authority import CertificateAuthority
from kprov.roles.policies import PARTS

SETTINGS: dict[str, Any] = {"node": "w1", "own": "10.244.1.0/24", "cache": "", "bridge": "cni0"}
NOBODY: Mapping[str, Any] = {"port": 10250, "readers": []}
SETTINGS |= {
    "server": "https://127.0.0.1:1",
    "ca": "",
    "port": 0,
    "given": "/nowhere",
    "kubelets": NOBODY,
    "network": "/nowhere",
}


def pod_item(name: str = "p", **changes: Any) -> dict[str, Any]:
    spec = {"nodeName": "w1", "containers": [{"ports": changes.pop("ports", [])}], **changes.pop("spec", {})}
    status = {"phase": "Running", "podIPs": [{"ip": "10.244.1.5"}, {"ip": "fd00::5"}], **changes}
    return {"metadata": {"namespace": "a", "name": name, "labels": {"app": name}}, "spec": spec, "status": status}


def policy_item(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": "a", "name": "deny"}, "spec": {"podSelector": {}, **spec}}


# -- what is kept of objects


def test_a_pod_is_its_address_labels_and_named_ports() -> None:
    ports = [{"name": "web", "containerPort": 80}, {"containerPort": 81}]
    sidecar = {"restartPolicy": "Always", "ports": [{"name": "dns", "containerPort": 53, "protocol": "UDP"}]}
    once = {"ports": [{"name": "gone", "containerPort": 1}]}
    kept = watch.pod(pod_item(ports=ports, spec={"initContainers": [sidecar, once]}))
    assert kept == ("a", "p", "w1", "10.244.1.5", {"app": "p"}, (("web", "TCP", 80), ("dns", "UDP", 53)))


@pytest.mark.parametrize(
    "changes",
    [{"spec": {"hostNetwork": True}}, {"spec": {"nodeName": ""}}, {"phase": "Succeeded"}, {"phase": "Failed"}],
    ids=str,
)
def test_pods_without_an_address_of_their_own_are_not_kept(changes: dict[str, Any]) -> None:
    assert watch.pod(pod_item(**changes)) is None


@pytest.mark.parametrize(
    ("spec", "ways"),
    [
        ({}, ([], None)),
        ({"egress": [{}]}, ([], [{}])),
        ({"policyTypes": ["Egress"]}, (None, [])),
        ({"policyTypes": ["Ingress"], "ingress": [{}], "egress": [{}]}, ([{}], None)),
    ],
)
def test_a_policy_isolates_the_ways_it_names(spec: dict[str, Any], ways: tuple[Any, Any]) -> None:
    kept = watch.policy(policy_item(**spec))
    assert (kept.ingress, kept.egress) == ways


# -- what the API tells


class Api(BaseHTTPRequestHandler):
    """Scripted answers, one after another; what was asked is kept."""

    script: ClassVar[list[tuple[int, list[Any]]]] = []
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        status, documents = self.script.pop(0) if self.script else (500, [{"message": "the script is over"}])
        self.send_response(status)
        self.end_headers()
        for document in documents:
            self.wfile.write(json.dumps(document).encode() + b"\n")

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


def test_a_server_is_believed_by_a_ca_that_did_not_sign_itself(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    ca = company(now)
    pair = CertificateAuthority.load("kubernetes", ca.chain, ca.key_pem).issue(
        leaf(server=True, client=True, dns_names=(), ip_addresses=("127.0.0.1",)), now
    )
    (tmp_path / "ca").write_bytes(ca.pem)
    (tmp_path / "crt").write_bytes(pair.cert_pem)
    (tmp_path / "key").write_bytes(pair.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "crt", tmp_path / "key")
    server = HTTPServer(("127.0.0.1", 0), Api)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"https://127.0.0.1:{server.server_port}"
        connection = watch.Server(url, *(str(tmp_path / name) for name in ("ca", "crt", "key"))).connect()
        connection.connect()
        connection.close()
    finally:
        server.shutdown()
        server.server_close()


class Plain:
    def __init__(self, port: int) -> None:
        self.port = port

    def connect(self) -> Any:
        import http.client

        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)


@pytest.fixture
def api() -> Iterator[HTTPServer]:
    server = HTTPServer(("127.0.0.1", 0), Api)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Api.script, Api.asked = [], []
    yield server
    server.shutdown()
    server.server_close()


def page(*items: dict[str, Any], more: str = "") -> tuple[int, list[Any]]:
    return 200, [{"metadata": {"resourceVersion": "5", "continue": more}, "items": list(items)}]


def event(kind: str, item: dict[str, Any], version: str) -> dict[str, Any]:
    item = {**item, "metadata": {**item["metadata"], "resourceVersion": version}}
    return {"type": kind, "object": item}


def store(api: HTTPServer) -> tuple[Any, list[int]]:
    changes: list[int] = []
    return watch.Store(Plain(api.server_port), watch.PODS, watch.pod, lambda: changes.append(1)), changes


def test_a_list_is_read_page_by_page_and_then_what_changes(api: HTTPServer) -> None:
    kept, changes = store(api)
    Api.script = [
        page(pod_item("p"), more="m/1"),
        page(pod_item("q"), pod_item("host", spec={"hostNetwork": True})),
        (
            200,
            [
                event("MODIFIED", pod_item("p"), "6"),
                event("BOOKMARK", pod_item("x"), "7"),
                event("DELETED", pod_item("q"), "8"),
            ],
        ),
        (200, [event("ADDED", pod_item("r"), "9"), event("MODIFIED", pod_item("p", phase="Succeeded"), "10")]),
        (410, [{"message": "too old resource version"}]),
    ]
    with pytest.raises(watch.Stale, match="410 too old resource version"):
        kept._follow()
    assert set(kept.items()) == {("a", "r")}
    assert len(changes) == 4, "the list, and the three events that change something"
    assert [path.partition("?")[2].replace("limit=500&", "") for path in Api.asked[:2]] == ["continue=", "continue=m/1"]
    versions = [path.rpartition("resourceVersion=")[2] for path in Api.asked[2:]]
    assert versions == ["5", "8", "10"]
    assert kept.connected


def test_a_watch_that_ends_in_an_error_begins_with_a_list_again(api: HTTPServer) -> None:
    kept, changes = store(api)
    Api.script = [page(pod_item("p")), (200, [{"type": "ERROR", "object": {"message": "expired"}}])]
    with pytest.raises(watch.Stale, match="expired"):
        kept._follow()
    Api.script = [page(pod_item("p")), (500, [{}])]
    with pytest.raises(watch.Stale):
        kept._follow()
    assert len(changes) == 1, "the same list again changes nothing"


def test_a_refusal_is_told_once_in_the_servers_words(api: HTTPServer, capsys: pytest.CaptureFixture[str]) -> None:
    kept, _ = store(api)
    kept._tell("Stale: 403 pods is forbidden")
    kept._tell("Stale: 403 pods is forbidden")
    said = capsys.readouterr().err
    assert said == "/api/v1/pods cannot be read: Stale: 403 pods is forbidden; what was known stays\n"
    assert not kept.listed.is_set()


# -- what the node knows itself


def given_file(folder: Path, name: str, pod: str, address: str, link: str = "eth0") -> None:
    words = [["IgnoreUnknown", "1"], ["K8S_POD_NAMESPACE", "a"], ["K8S_POD_NAME", pod]]
    (folder / name).write_text(
        json.dumps({"ifName": link, "cniArgs": words, "result": {"ips": [{"address": f"{address}/24"}]}})
    )


def test_addresses_are_read_from_what_the_runtime_was_given(tmp_path: Path) -> None:
    given_file(tmp_path, "kprov-1-eth0", "p", "10.244.1.5")
    given_file(tmp_path, "loopback", "p", "127.0.0.1", link="lo")
    given_file(tmp_path, "v6", "p", "fd00::1")
    (tmp_path / "half").write_text('{"cniArgs": [["K8S_')
    (tmp_path / "other").write_text('{"kind": "of somebody else"}')
    given = node.Given(lambda: None, str(tmp_path))
    assert given.addresses() == {("a", "p"): "10.244.1.5"}
    given_file(tmp_path, "kprov-2-eth0", "q", "10.244.1.6")
    (tmp_path / "kprov-1-eth0").unlink()
    assert given.addresses() == {("a", "q"): "10.244.1.6"}
    assert node.Given(lambda: None, str(tmp_path / "none")).addresses() == {}


def test_what_the_runtime_gave_comes_before_what_the_api_tells() -> None:
    here = labels.Pod("a", "new", "w1", "", {})
    old = labels.Pod("a", "old", "w1", "10.244.1.5", {})  # its address is another's by now
    there = labels.Pod("a", "there", "w2", "10.244.1.5", {})
    waiting = labels.Pod("a", "waiting", "w1", "", {})
    found = node.joined("w1", [here, old, there, waiting], {("a", "new"): "10.244.1.5", ("a", "gone"): "10.244.1.9"})
    assert [(pod.name, pod.address) for pod in found] == [("new", "10.244.1.5"), ("there", "10.244.1.5")]


def test_the_nodes_dns_cache_is_reached_by_those_who_may_ask_cluster_dns() -> None:
    dns = labels.Pod("kube-system", "coredns", "w2", "10.244.2.9", {"k8s-app": "kube-dns"})
    other = labels.Pod("kube-system", "other", "w2", "10.244.2.8", {})
    own = labels.Pod("a", "p", "w1", "10.244.1.5", {})
    allowed = {"to": [{"namespaceSelector": {}, "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}]}
    policy = labels.Policy("a", "dns", {}, None, [allowed])
    spaces: Mapping[str, Any] = {"a": {}, "kube-system": {}}
    here = table.Node("w1", "10.244.1.0/24", "169.254.20.10")
    text = table.whole(here, rules.Rules(here).know([dns, other, own], spaces, [policy]))
    assert "elements = { 10.244.2.9, 169.254.20.10 }" in text
    others = labels.Policy(
        "a", "dns", {}, None, [{"to": [{"namespaceSelector": {}, "podSelector": {"matchLabels": {"a": "b"}}}]}]
    )
    text = table.whole(here, rules.Rules(here).know([dns, other._replace(labels={"a": "b"}), own], spaces, [others]))
    assert "169.254.20.10" not in text


# -- when rules are written


NONE = "table ip kprov-policies\ndelete table ip kprov-policies\n"


class Kernel:
    """In place of nft: what was loaded, and what it refuses."""

    def __init__(self) -> None:
        self.loaded: list[str] = []
        self.refuses = ""

    def load(self, text: str) -> None:
        if self.refuses:
            raise main.Refused(self.refuses)
        self.loaded.append(text)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Kernel:
    made = Kernel()
    monkeypatch.setattr(main, "_SIX", str(tmp_path / "none"))
    monkeypatch.setattr(main, "load", made.load)
    monkeypatch.setattr(main, "dropped", lambda: {"ingress": 3})
    monkeypatch.setattr(main, "MARK", str(tmp_path / "closed"))
    return made


@pytest.fixture
def engine(kernel: Kernel, tmp_path: Path) -> Any:
    made = main.Engine({**SETTINGS, "certificate": "", "key": ""})
    made.given = node.Given(lambda: None, str(tmp_path))
    made.pods.take("ADDED", pod_item())
    return made


def test_rules_are_written_when_they_change_and_only_then(engine: Any, kernel: Kernel) -> None:
    assert engine.trouble == "nothing was learned from the API server yet"
    engine.bring()
    assert (kernel.loaded, engine.trouble) == ([NONE], "")
    engine.policies.take("ADDED", policy_item())
    for _ in range(2):
        engine.bring()
    assert len(kernel.loaded) == 2
    assert "10.244.1.5 : jump ingress-" in kernel.loaded[1]
    assert Path(main.MARK).exists()
    engine.policies.take("DELETED", policy_item())
    engine.bring()
    assert kernel.loaded[2:] == [NONE]
    assert not Path(main.MARK).exists()


def test_rules_that_somebody_flushed_are_written_again(
    engine: Any, kernel: Kernel, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    there = [True]
    monkeypatch.setattr(main, "present", lambda _: there[0])
    engine.bring()
    there[0] = False
    engine.look()  # without a policy there is no table that could be gone
    assert capsys.readouterr().err == ""
    engine.policies.take("ADDED", policy_item())
    for now, times in ((True, 2), (False, 3)):
        there[0] = now
        engine.bring()
        engine.look()
        engine.bring()
        assert len(kernel.loaded) == times
    assert "something flushed the firewall" in capsys.readouterr().err


def test_changes_without_end_keep_nobody_from_looking(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main, "_LOOK", 0.1)
    monkeypatch.setattr(main, "_TOGETHER", 0.01)
    monkeypatch.setattr(engine, "look", lambda: sys.exit("looked"))
    monkeypatch.setattr(engine, "bring", engine._woken.set)  # each change brings the next one
    for thread in (engine.given, *engine.stores):
        monkeypatch.setattr(thread, "start", lambda: None)
    for store in engine.stores:
        store.listed.set()
    with pytest.raises(SystemExit, match="looked"):
        engine.run()


def test_what_nft_refuses_is_told_once_and_tried_again(
    engine: Any, kernel: Kernel, capsys: pytest.CaptureFixture[str]
) -> None:
    kernel.refuses = "Error: syntax error"
    engine.bring()
    engine.bring()
    assert engine.trouble == "Error: syntax error"
    assert capsys.readouterr().err.count("nft does not take the rules, and those of before stay") == 1
    kernel.refuses = ""
    engine.bring()
    assert (len(kernel.loaded), engine.trouble) == (1, "")


def test_only_what_changes_is_told_to_the_kernel_and_the_whole_where_it_holds_something_else(
    engine: Any, kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.policies.take("ADDED", policy_item())
    engine.bring()
    engine.pods.take("ADDED", pod_item("q", podIPs=[{"ip": "10.244.1.6"}]))
    engine.bring()
    assert "delete table" in kernel.loaded[0]
    assert "delete table" not in kernel.loaded[1]
    assert "add element ip kprov-policies known { 10.244.1.6 }" in kernel.loaded[1]
    assert "10.244.1.5" not in kernel.loaded[1]
    assert engine.metrics().count("applied_total 2") == 1

    def refuse(text: str) -> None:
        if "delete table" not in text:
            raise main.Refused("no such chain")
        kernel.loaded.append(text)

    monkeypatch.setattr(main, "load", refuse)
    engine.pods.take("DELETED", pod_item("q"))
    engine.bring()
    assert "delete table" in kernel.loaded[2]
    assert "10.244.1.6" not in kernel.loaded[2]
    assert engine.trouble == ""


def test_metrics_go_on_counting_where_a_new_table_begins_at_nothing(engine: Any) -> None:
    engine.bring()
    engine.policies.take("ADDED", policy_item())
    engine.bring()
    text = engine.metrics()
    assert 'kprov_policies_dropped_packets_total{reason="ingress"} 9' in text
    assert "kprov_policies_ready 1" in text
    assert "kprov_policies_policies 1" in text
    assert 'kprov_policies_connected{resource="pods"} 0' in text


@pytest.mark.parametrize(("mark", "there", "closes"), [(True, False, True), (True, True, False), (False, False, False)])
def test_a_node_that_boots_begins_closed_where_there_were_policies(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch, mark: bool, there: bool, closes: bool
) -> None:
    monkeypatch.setattr(main, "present", lambda name: there and name == table.TABLE)
    if mark:
        main._mark()
    main.close(SETTINGS)
    assert bool(kernel.loaded) == closes
    if closes:
        assert "set known { type ipv4_addr; elements = { 10.244.1.1 }; }" in kernel.loaded[0]


@pytest.mark.parametrize(
    ("jobs", "system", "goes"),
    [
        (f"1 {'kprov-policies.service'} stop running\n", "running\n", True),
        (f"1 {'kprov-policies.service'} restart running\n", "running\n", False),
        ("", "running\n", False),
        (f"1 {'kprov-policies.service'} stop running\n", "stopping\n", False),
    ],
)
def test_only_a_stop_that_was_asked_for_takes_the_rules_away(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch, jobs: str, system: str, goes: bool
) -> None:
    monkeypatch.setattr(main, "_said", lambda *words: jobs if "list-jobs" in words else system)
    main._mark()
    main.stop(SETTINGS)
    assert (kernel.loaded == [NONE + NONE.replace("policies", "kubelets")]) == goes
    assert Path(main.MARK).exists() != goes


def test_health_and_metrics_are_answered_on_loopback(engine: Any, kernel: Kernel) -> None:
    import urllib.error
    import urllib.request

    server = HTTPServer(("127.0.0.1", 0), main.answering(engine))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    with pytest.raises(urllib.error.HTTPError, match="503"):
        urllib.request.urlopen(f"{url}/healthz")  # noqa: S310 - loopback
    engine.bring()
    with urllib.request.urlopen(f"{url}/healthz") as answer:  # noqa: S310
        assert answer.read() == b"ok"
    with urllib.request.urlopen(f"{url}/metrics") as answer:  # noqa: S310
        assert b"# TYPE kprov_policies_ready gauge" in answer.read()
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"{url}/debug")  # noqa: S310
    server.shutdown()
    server.server_close()


# -- what the hosts' Python must take


@pytest.mark.parametrize("name", PARTS)
def test_each_part_is_read_by_the_oldest_python_that_distributions_have(name: str) -> None:
    ast.parse((FOLDER / name).read_text(), feature_version=(3, 6))


def test_every_part_is_sent() -> None:
    assert {path.name for path in FOLDER.glob("*.py")} == set(PARTS)
