"""Sessions of every transport, and the SSH servers behind them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from apply_room import room as room  # a fixture of all modules
from ssh_server import SshServer, make_folder

from kprov.transport import Count, LocalTransport, Result, Session, Transport
from kprov.transport.fake import FakeTransport
from kprov.transport.openssh import OpenSshTransport
from kprov.transport.openssh_config import Files
from kprov.transport.paramiko_ssh import ParamikoTransport
from kprov.values.model import Connection, Host


def host_of(server: SshServer, name: str = "one", **changes: object) -> Host:
    """The server as a host of an inventory."""
    connection = Connection(address="127.0.0.1", port=server.port, user=server.user, key=server.key)
    return Host(name=name, groups=frozenset({"worker"}), connection=replace(connection, **changes))  # type: ignore[arg-type]


def _start(users: bool) -> Iterator[SshServer]:
    server = SshServer(make_folder(), users=users)
    server.start()
    yield server
    server.stop()
    shutil.rmtree(server.folder)


@pytest.fixture(scope="session")
def server() -> Iterator[SshServer]:
    yield from _start(users=False)


@pytest.fixture(scope="session")
def user_server() -> Iterator[SshServer]:
    """A server that knows ssh_server.USERS. Needs root, for its namespace."""
    if os.geteuid() != 0:
        pytest.skip("users that exist only in a namespace need root")
    yield from _start(users=True)


def shell_handler(host: Host, command: str, stdin: bytes) -> Result:
    done = subprocess.run(["sh", "-c", command], input=stdin, capture_output=True, env={**os.environ, "LC_ALL": "C"})
    return Result(status=max(done.returncode, -1), stdout=done.stdout, stderr=done.stderr)


SSH = ("openssh", "paramiko")


def ssh_transport(kind: str, *known_hosts: Path, config: Path | None = None) -> Transport:
    """A transport of that client that trusts the keys in those files alone."""
    if kind == "openssh":
        return OpenSshTransport(Files(config=config, known_hosts=known_hosts))
    return ParamikoTransport(ssh_config=config, known_hosts=known_hosts)


def _transport(kind: str, server: SshServer) -> Transport:
    if kind in SSH:
        return ssh_transport(kind, server.known_hosts)
    return LocalTransport() if kind == "local" else FakeTransport(handler=shell_handler)


@pytest.fixture(params=[*SSH, "local", "fake"])
def transport(request: pytest.FixtureRequest, server: SshServer) -> Transport:
    return _transport(request.param, server)


@pytest.fixture
def session(transport: Transport, server: SshServer) -> Iterator[Session]:
    session = transport.connect(host_of(server))
    assert transport.counters["one"] == Count(connections=1)
    yield session
    session.close()


@pytest.fixture(params=[*SSH, "local"])
def real(request: pytest.FixtureRequest, server: SshServer) -> Iterator[Session]:
    """A session whose commands really run and can be stopped."""
    session = _transport(request.param, server).connect(host_of(server))
    yield session
    session.close()


@pytest.fixture(params=SSH)
def kind(request: pytest.FixtureRequest) -> str:
    """Which SSH client a test is about: it is run with each."""
    return str(request.param)


@pytest.fixture
def ssh(kind: str, server: SshServer) -> Transport:
    return ssh_transport(kind, server.known_hosts)
