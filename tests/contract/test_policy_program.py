"""The program that enforces NetworkPolicies as a process on a node, under traffic: started again, killed, halted, replaced.

The API server is one of the test's own; the kernel is real.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import policy_room
import pytest
from policy_room import ENGINE, NODES, OWN, PLACES, PODS, SPACES, heard, judged, within

from kprov.pki.authority import CertificateAuthority
from kprov.values.certificate import CertificateSpec

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("nft") is None, reason="namespaces and nft need root, and nft"
)

NODE, TARGET = NODES[0], PLACES["x"]
RUN = """
import runpy, sys
folder, own = sys.argv[1:3]
sys.path.insert(0, folder)
program = open(folder + "/__main__.py").read()
for name, file in (("SETTINGS", "settings.json"), ("MARK", "mark")):
    start = program.index(name + ' = "')
    program = program[:start] + f'{name} = "{own}/{file}"' + program[program.index("\\n", start):]
sys.argv = ["policies", "keep"]
exec(compile(program, "policies", "exec"), {"__name__": "__main__", "__doc__": ""})
"""


class Api(BaseHTTPRequestHandler):
    """What there is, at once; then what is put into `news`, while somebody listens."""

    policies: ClassVar[list[dict[str, Any]]] = []
    protocol_version = "HTTP/1.1"
    version: ClassVar[int] = 1

    def do_GET(self) -> None:
        path, _, question = self.path.partition("?")
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        if "watch=1" not in question:
            listed = {"metadata": {"resourceVersion": str(Api.version)}, "items": self.items(path)}
            self.wfile.write(json.dumps(listed).encode())
            self.close_connection = True
            return
        seen = int(question.rpartition("resourceVersion=")[2])
        while Api.version == seen:
            time.sleep(0.02)
        gone = {"type": "ERROR", "object": {"message": "too old"}}
        self.wfile.write(json.dumps(gone).encode() + b"\n")
        self.close_connection = True

    def items(self, path: str) -> list[dict[str, Any]]:
        if path.endswith("/pods"):
            return [
                {
                    "metadata": {"namespace": pod.space, "name": pod.name, "labels": {"app": pod.name}},
                    "spec": {"nodeName": pod.node, "containers": [{}]},
                    "status": {"phase": "Running", "podIPs": [{"ip": pod.address}]},
                }
                for pod in PODS
            ]
        if path.endswith("/namespaces"):
            return [{"metadata": {"name": name, "labels": dict(own)}} for name, own in SPACES.items()]
        return self.policies

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


def say(*rows: dict[str, Any]) -> None:
    Api.policies = [{"metadata": {"namespace": "a", "name": f"p{n}"}, "spec": spec} for n, spec in enumerate(rows)]
    Api.version += 1


class Program:
    """The program on the first node, and what becomes of it."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.parts = folder, folder / "parts"
        shutil.copytree(ENGINE, self.parts, ignore=shutil.ignore_patterns("__pycache__"))
        pair = {"ca": f"{folder}/ca.crt", "certificate": f"{folder}/own.crt", "key": f"{folder}/own.key"}
        settings: dict[str, Any] = {
            "node": NODE.name,
            "own": OWN[NODE.name],
            "cache": "",
            "bridge": "cni0",
            "port": 10271,
            **pair,
        }
        settings["given"] = f"{folder}/given"
        settings["kubelets"] = {
            "port": 81,
            "readers": [{"namespace": "a", "labels": {"app": "y"}}],
        }
        settings["network"] = f"{folder}/network.conf"
        hosts = [*(each.address for each in NODES), "10.244.1.1", "10.244.2.1"]
        (folder / "network.conf").write_text("".join(f"host {each}\n" for each in hosts))
        (folder / "settings.json").write_text(json.dumps({**settings, "server": f"https://127.0.0.1:{port}"}))
        (folder / "given").mkdir()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        inside = ["ip", "netns", "exec", NODE.namespace, sys.executable, "-B", "-c", RUN, self.parts, self.folder]
        self.process = subprocess.Popen(inside)
        deadline = time.monotonic() + 60
        while not self.well():
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def well(self) -> bool:
        asked = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:10271/healthz', timeout=2).status)"
        command = ["ip", "netns", "exec", NODE.namespace, sys.executable, "-I", "-c", asked]
        return subprocess.run(command, capture_output=True).returncode == 0

    def end(self, number: int = 15) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait()
        self.process = None

    def again(self) -> None:
        self.end()
        time.sleep(0.3)
        self.start()

    def killed(self) -> None:
        self.end(9)
        time.sleep(0.5)
        self.start()

    def halted(self) -> None:
        assert self.process is not None
        self.process.send_signal(19)
        time.sleep(1)
        self.process.send_signal(18)

    def replaced(self) -> None:
        """By another one, as an upgrade does: its files first, then the process."""
        with (self.parts / "ranges.py").open("a") as part:
            part.write("# newer\n")
        self.again()


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    folder = tmp_path_factory.mktemp("program")
    authority = CertificateAuthority.generate("kubernetes", "ecdsa-p256", 30, datetime.now(UTC))
    (folder / "ca.crt").write_bytes(authority.cert_pem)
    spec = CertificateSpec(
        name="own", authority="kubernetes", common_name="own", ip_addresses=("127.0.0.1",), server=True
    )
    leaf = authority.issue(replace(spec, client=True), datetime.now(UTC))
    (folder / "own.crt").write_bytes(leaf.cert_pem)
    (folder / "own.key").write_bytes(leaf.key_pem)
    with policy_room.room():
        listening = policy_room.socket_in(NODE, socket.SOCK_STREAM)
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "own.crt", folder / "own.key")
        server = ThreadingHTTPServer(("127.0.0.1", 0), Api, bind_and_activate=False)
        server.socket.close()
        server.socket = context.wrap_socket(listening, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        made = Program(folder, server.socket.getsockname()[1])
        try:
            yield made
        finally:
            made.end()
            server.shutdown()


@pytest.fixture(scope="module")
def kept(program: Program) -> Program:
    """Pod x is reached by y alone."""
    x, y = ({"podSelector": {"matchLabels": {"app": name}}} for name in "xy")
    say({**x, "ingress": [{"from": [y]}]})
    program.start()
    return program


@pytest.mark.parametrize("event", ["again", "killed", "halted", "replaced"])
def test_what_may_pass_passes_and_nothing_else_whatever_becomes_of_the_program(kept: Program, event: str) -> None:
    sent, found = heard(getattr(kept, event))
    assert sent > 100
    assert found == {"y": sent}


def test_pods_that_read_kubelets_reach_them_and_no_others(kept: Program) -> None:
    """Port 81 stands for that of kubelets. With and without a policy, and of another node its own kernel decides."""
    own, there = (
        ["y>n1:81", "y>10.244.1.1:81", "y>n2:81", "y>10.244.2.1:81"],
        ["w>n1:81", "z>n2:81", "v>w:81", "n2>n1:81"],
    )
    strangers = [words.replace("y>", "v>") for words in own]
    assert judged([*own, *there, "v>n1:8080"], strangers) == {
        **dict.fromkeys([*own, *there, "v>n1:8080"], True),
        **dict.fromkeys(strangers, False),
    }
    within(NODE, "nft", "delete", "table", "ip", "kprov-kubelets")
    assert "kubelets" not in within(NODE, "nft", "list", "tables", "ip")
    kept.again()  # what begins again begins closed, and knows them a moment later
    assert judged(own, strangers) == {**dict.fromkeys(own, True), **dict.fromkeys(strangers, False)}


def test_a_policy_that_comes_while_the_program_is_away_holds_when_it_is_back(kept: Program) -> None:
    kept.end(9)
    say({"podSelector": {}, "policyTypes": ["Ingress"]})
    sent, found = heard(lambda: time.sleep(0.3))
    assert found == {"y": sent}, "the rules of before"
    kept.start()
    assert heard(lambda: time.sleep(0.3))[1] == {}
    say()
    deadline = time.monotonic() + 20
    while "kprov-policies" in within(NODE, "nft", "list", "tables"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert heard(lambda: time.sleep(0.3))[1].keys() == {"y", "w"}
