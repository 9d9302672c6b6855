"""What probe.sh says of files a host could download: asked for real, with curl, with wget, and with neither."""

from __future__ import annotations

import gzip
import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from kprov.observe.probe import PROBE_COMMAND, probe_program

HOST_PATH = b"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEAD = "http://127.0.0.1:1"


class _Files(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: Any) -> None:
        return

    def do_HEAD(self) -> None:
        self.server.asked.append((self.client_address[1], self.path))  # type: ignore[attr-defined]
        moved = self.path == "/moved"
        self.send_response(302 if moved else 200 if self.path.startswith("/there") else 404)
        if moved:
            self.send_header("Location", "/there-too")
        self.send_header("Content-Length", "0")
        self.end_headers()


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Files)
    server.asked = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def programs(folder: Path, *without: str) -> Path:
    """A folder with every program of this machine but some."""
    folder.mkdir()
    for place in ("/usr/sbin", "/usr/bin"):
        for program in Path(place).iterdir():
            if program.name not in without and not (folder / program.name).is_symlink():
                (folder / program.name).symlink_to(program)
    return folder


def reach(path: Path, urls: list[str]) -> dict[str, str]:
    program = gzip.decompress(probe_program([("reach", url) for url in urls]))
    assert HOST_PATH in program
    packed = gzip.compress(program.replace(HOST_PATH, b"PATH=" + os.fsencode(path)))
    answer = subprocess.run(["sh", "-c", PROBE_COMMAND], input=packed, capture_output=True, check=True).stdout.decode()
    rows = [line.split("\t") for line in answer.splitlines()]
    return {row[1]: row[2] for row in rows if row[0] == "reach"}


def test_curl_asks_for_every_file_over_one_connection(server: Any, tmp_path: Path) -> None:
    base = f"http://127.0.0.1:{server.server_address[1]}"
    urls = [
        f"{base}/there",
        f"{base}/moved",
        f"{base}/not",
        f'{base}/a"b\\c',
        f"{base}/there/2",
        f"{DEAD}/x",
        f"{DEAD}/y",
    ]
    found = reach(programs(tmp_path / "bin"), urls)
    assert [found[url] for url in urls[:5]] == ["yes", "yes", "HTTP 404", "HTTP 404", "yes"]
    assert "refused" in found[f"{DEAD}/x"] or "connect" in found[f"{DEAD}/x"]
    assert found[f"{DEAD}/y"] == found[f"{DEAD}/x"]
    connections = {port for port, _ in server.asked}
    assert len(connections) == 2  # whether anything answers there; then all the files


def test_wget_does_where_there_is_no_curl(server: Any, tmp_path: Path) -> None:
    base = f"http://127.0.0.1:{server.server_address[1]}"
    found = reach(programs(tmp_path / "bin", "curl"), [f"{base}/there", f"{base}/not", f"{base}/moved", f"{DEAD}/x"])
    assert found[f"{base}/there"] == "yes"
    assert found[f"{base}/moved"] == "yes"
    assert found[f"{base}/not"] == "no answer"
    assert "refused" in found[f"{DEAD}/x"]


def test_without_either_the_reason_is_told(server: Any, tmp_path: Path) -> None:
    base = f"http://127.0.0.1:{server.server_address[1]}"
    found = reach(programs(tmp_path / "bin", "curl", "wget"), [f"{base}/there"])
    assert found == {f"{base}/there": "neither curl nor wget is installed"}
    assert server.asked == []


def test_names_are_resolved_as_the_programs_of_a_host_would() -> None:
    program = probe_program([("resolve", "localhost"), ("resolve", "no-such-name.invalid")])
    answer = subprocess.run(["sh", "-c", PROBE_COMMAND], input=program, capture_output=True, check=True).stdout.decode()
    rows = [line.split("\t") for line in answer.splitlines()]
    assert {row[1]: row[2] for row in rows if row[0] == "resolve"} == {
        "localhost": "127.0.0.1",
        "no-such-name.invalid": "",
    }


def test_a_host_without_gzip_says_so(tmp_path: Path) -> None:
    without = {"PATH": str(programs(tmp_path / "bin", "gzip"))}
    done = subprocess.run(
        ["sh", "-c", PROBE_COMMAND], input=probe_program(()), capture_output=True, check=False, env=without
    )
    assert (done.returncode, done.stderr) == (127, b"gzip: not found\n")
