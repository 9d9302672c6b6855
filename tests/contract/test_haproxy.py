"""haproxy with kprov's configurations before a CA that is below a company's root. Left out where haproxy is not there."""

from __future__ import annotations

import http.client
import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from own_cas import Made, make
from pki_cases import leaf

from kprov.pki.authority import CertificateAuthority
from kprov.pki.chain import common_names
from kprov.roles.templating import render

pytestmark = pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not there")

NOW = datetime.now(UTC)
ROOT = make("Example Root", NOW, days=7300)
OURS, PAYROLL = (make(name, NOW, ROOT, path_length=0) for name in ('It\'s "prod" at $HOME', "Payroll"))
PATIENCE = 30.0  # seconds


def put(folder: Path, name: str, ca: Made, **changes: Any) -> Path:
    """A leaf with its key in one file."""
    spec = leaf(**{"server": False, "client": True, "dns_names": (), "ip_addresses": (), **changes})
    pair = CertificateAuthority.load("kubernetes", ca.chain, ca.key_pem).issue(spec, NOW)
    (folder / name).write_bytes(pair.cert_pem + pair.key_pem)
    return folder / name


def asked(port: int, path: str, client: Path | None = None) -> int:
    """HTTP's code; 0 where nobody answers."""
    context = ssl.create_default_context(cadata=OURS.chain.decode())
    if client is not None:
        context.load_cert_chain(client)
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


def until(check: Callable[[], bool]) -> bool:
    ends = time.monotonic() + PATIENCE
    while not (well := check()) and time.monotonic() < ends:
        time.sleep(0.2)
    return well


@contextmanager
def running(folder: Path, config: bytes) -> Iterator[Path]:
    """haproxy with this configuration; yields its log."""
    (folder / "cfg").write_bytes(config)
    log = folder / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(["haproxy", "-f", folder / "cfg"], stdout=file, stderr=subprocess.STDOUT)
    try:
        yield log
    finally:
        process.kill()
        process.wait()


def free_port() -> int:
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        return server.server_port


class Ready(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def api(tmp_path: Path) -> Iterator[int]:
    """What stands for an API server: its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    names = ("kubernetes", "localhost")
    context.load_cert_chain(put(tmp_path, "api", OURS, server=True, dns_names=names, ip_addresses=("127.0.0.1",)))
    server = HTTPServer(("127.0.0.1", 0), Ready)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def to_api(folder: Path, port: int, api: int, ca: bytes) -> bytes:
    (folder / "ca").write_bytes(ca)
    servers = {"a": f"127.0.0.1:{api}"}
    return render(None, "api_proxy/haproxy.cfg.j2", port=port, ca=str(folder / "ca"), servers=servers)


def test_api_servers_are_believed_by_the_chain(tmp_path: Path, api: int) -> None:
    port = free_port()
    with running(tmp_path, to_api(tmp_path, port, api, OURS.chain)):
        assert until(lambda: asked(port, "/readyz") == 200)


def test_without_its_root_they_are_not(tmp_path: Path, api: int) -> None:
    """So that what hosts are given is there for a reason."""
    port = free_port()
    with running(tmp_path, to_api(tmp_path, port, api, OURS.pem)) as log:
        assert until(lambda: "SSL handshake failure" in log.read_text())
        assert asked(port, "/readyz") == 0


def test_metrics_are_for_the_cluster_s_own_scraper_alone(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "ca").write_bytes(OURS.chain)
    (tmp_path / "ends").write_text("kprov 1\n")
    served = put(tmp_path, "served", OURS, server=True, dns_names=("localhost",), ip_addresses=("127.0.0.1",))
    config = render(
        None,
        "metrics_proxy/haproxy.cfg.j2",
        address="127.0.0.1",
        port=port,
        certificate=str(served),
        ca=str(tmp_path / "ca"),
        issuers=common_names(OURS.pem),
        scraper="scraper",
        listeners=(),
        ends=str(tmp_path / "ends"),
    ).replace(b"unless certificates || \n", b"unless certificates\n")  # a host has at least one component
    ours = put(tmp_path, "ours", OURS, common_name="scraper")
    with running(tmp_path, config):
        assert until(lambda: asked(port, "/certificates/metrics", ours) == 200)
        for ca, name in ((OURS, "other"), (PAYROLL, "scraper"), (ROOT, "scraper")):
            client = put(tmp_path, "client", ca, common_name=name)
            assert asked(port, "/certificates/metrics", client) == 403
        assert asked(port, "/certificates/metrics") == 0
