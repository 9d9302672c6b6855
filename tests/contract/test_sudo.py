"""Becoming root with the real sudo, as users that exist only in the server's namespace."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import host_of, ssh_transport
from ssh_server import PASSWORD, SshServer
from test_session import FIVE_MB, runs, until

from kprov.transport import Session, Transport
from kprov.transport.paramiko_ssh import ParamikoTransport
from kprov.values.errors import TransportError
from kprov.values.secret import Secret


@pytest.fixture
def transport(kind: str, user_server: SshServer) -> Transport:
    return ssh_transport(kind, user_server.known_hosts)


def connect(transport: Transport, server: SshServer, user: str, password: str | None = None) -> Session:
    return transport.connect(host_of(server, user=user, become_password=None if password is None else Secret(password)))


def refusal(session: Session) -> TransportError:
    with pytest.raises(TransportError) as caught:
        session.execute("id -u")
    session.close()
    return caught.value


@pytest.mark.parametrize(("user", "password"), [("free", None), ("asked", PASSWORD), ("free", PASSWORD)])
def test_root_in_one_exec(transport: Transport, user_server: SshServer, user: str, password: str | None) -> None:
    session = connect(transport, user_server, user, password)
    result = session.execute("id -u; cat; echo err >&2; exit 5", stdin=b"payload")
    assert (result.status, result.stdout, result.stderr) == (5, b"0\npayload", b"err\n")
    assert transport.counters["one"].execs == 1
    assert session.execute("id -un", root=False).stdout.decode().strip() == user
    assert session.execute("cat", stdin=FIVE_MB).stdout == FIVE_MB
    assert session.execute("kill -9 $$").status == -1
    session.close()


def test_wrong_password_is_one_attempt(transport: Transport, user_server: SshServer) -> None:
    error = refusal(connect(transport, user_server, "asked", "wrong-secret-word"))
    assert "refused the password" in error.what
    assert "wrong-secret-word" not in str(error)
    assert transport.counters["one"].execs == 1


def test_password_that_is_needed_and_missing(transport: Transport, user_server: SshServer) -> None:
    error = refusal(connect(transport, user_server, "asked"))
    assert "asks for a password" in error.what
    assert "become_password" in error.todo


@pytest.mark.parametrize("password", [None, PASSWORD])
def test_user_without_rights(transport: Transport, user_server: SshServer, password: str | None) -> None:
    error = refusal(connect(transport, user_server, "plain", password))
    assert error.what in ("the user may not use sudo", "sudo asks for a password")
    if password is not None:
        assert error.what == "the user may not use sudo"


def test_requiretty(transport: Transport, user_server: SshServer) -> None:
    assert "without a terminal" in refusal(connect(transport, user_server, "ttyonly")).what


def test_login_shell_that_runs_nothing(transport: Transport, user_server: SshServer) -> None:
    error = refusal(connect(transport, user_server, "nologin"))
    assert "login shell did not run" in error.what
    assert "not available" in error.log


def test_noise_of_login_scripts_is_not_output(transport: Transport, user_server: SshServer) -> None:
    session = connect(transport, user_server, "free")
    raw = ParamikoTransport(known_hosts=(user_server.known_hosts,)).connect(host_of(user_server, user="free"))
    noisy = raw.connection.create_session()
    noisy.exec_command("true")
    assert noisy.recv(1000) == b"noise of a login script\n"
    raw.close()
    result = session.execute("echo clean; echo tidy >&2")
    assert (result.stdout, result.stderr) == (b"clean\n", b"tidy\n")
    held = session.hold("echo held; cat")
    assert held.first_line(10) == "held"
    held.close()
    session.close()


def test_a_shell_in_a_command_reads_no_login_script(transport: Transport, user_server: SshServer) -> None:
    """As sshd started it, bash takes itself for the login shell: its noise would stand in what kprov reads."""
    session = connect(transport, user_server, "free")
    for root in (False, True):
        result = session.execute("bash -c 'echo clean'", root=root)
        assert (result.stdout, result.stderr) == (b"clean\n", b"")
    session.close()


def test_password_is_in_no_process_list(transport: Transport, user_server: SshServer) -> None:
    seen: list[Path] = []
    sudo: list[bytes] = []

    def look() -> Iterator[bytes]:
        for path in [*Path("/proc").glob("[0-9]*/cmdline"), *Path("/proc").glob("[0-9]*/environ")]:
            try:
                text = path.read_bytes()
            except OSError:
                continue
            if PASSWORD.encode() in text:
                seen.append(path)
            if path.name == "cmdline" and b"sudo\0-S" in text:
                sudo.append(text)
        yield b"looked"

    session = connect(transport, user_server, "asked", PASSWORD)
    assert session.execute("cat", stdin=look()).stdout == b"looked"
    assert sudo
    assert not seen
    assert PASSWORD not in repr(session.host)
    session.close()


def test_held_root_command_ends_with_the_connection(transport: Transport, user_server: SshServer) -> None:
    session = connect(transport, user_server, "asked", PASSWORD)
    held = session.hold("echo $$; exec cat")
    pid = held.first_line(20)
    assert runs(pid)
    user_server.cut()
    assert until(lambda: not runs(pid))
    session.close()


def test_timeout_ends_a_root_command_that_reads(transport: Transport, user_server: SshServer) -> None:
    session = connect(transport, user_server, "asked", PASSWORD)
    seen: list[bytes] = []
    with pytest.raises(TransportError, match="too long"):
        session.execute("echo $$; exec sleep 600", timeout=2, on_output=seen.append)
    pid = b"".join(seen).decode().strip()
    assert until(lambda: not runs(pid))
    session.close()
