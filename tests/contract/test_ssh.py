"""What is SSH's own: host keys, logins, jump hosts, lost connections, socket options. Against real servers."""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import host_of, ssh_transport
from ssh_server import PASSWORD, SshServer, make_folder
from test_session import runs, until

from kprov.transport import SshTransport, Transport, connect_many, sentences
from kprov.transport.paramiko_ssh import ParamikoTransport
from kprov.values.errors import TransportError
from kprov.values.secret import Secret


def refused(transport: Transport, server: SshServer, **changes: object) -> TransportError:
    with pytest.raises(TransportError) as caught:
        transport.connect(host_of(server, **changes))
    assert transport.counters["one"].connections == 0
    assert "one (" in caught.value.where
    assert str(changes.get("port", server.port)) in caught.value.where
    return caught.value


@contextmanager
def listener(answer: Callable[[socket.socket], None]) -> Iterator[tuple[int, list[float]]]:
    """A TCP server that is no sshd: its port, and when it was called."""
    calls: list[float] = []

    def serve() -> None:
        while True:
            try:
                peer, _ = sock.accept()
            except OSError:
                return
            calls.append(time.monotonic())
            answer(peer)

    sock = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield int(sock.getsockname()[1]), calls
    sock.shutdown(socket.SHUT_RDWR)
    sock.close()
    thread.join(5)


def test_unknown_host_key_is_refused_with_the_way_to_accept_it(kind: str, server: SshServer, tmp_path: Path) -> None:
    error = refused(ssh_transport(kind, tmp_path / "none"), server)
    printed = subprocess.run(
        ["ssh-keygen", "-lf", server.folder / "host.pub"], capture_output=True, check=True, text=True
    ).stdout
    assert "unknown" in error.what
    assert printed.split()[1] in error.found
    assert f'host_key: "{server.host_key}"' in error.todo
    command = re.search(r"ssh-keyscan [^;]*", error.todo)
    assert command
    accepted = tmp_path / "accepted"
    line = command[0].replace("~/.ssh/known_hosts", str(accepted))
    subprocess.run(["sh", "-c", line], check=True, capture_output=True)
    ssh_transport(kind, accepted).connect(host_of(server)).close()


def test_changed_host_key_is_refused(kind: str, server: SshServer, tmp_path: Path) -> None:
    known = tmp_path / "known"
    other = " ".join((server.folder / "other.pub").read_text().split()[:2])
    known.write_text(f"[127.0.0.1]:{server.port} {other}\n")
    error = refused(ssh_transport(kind, known), server)
    assert "changed" in error.what
    assert f"ssh-keygen -R '[127.0.0.1]:{server.port}'" in error.todo


def test_pinned_key_wins_over_known_hosts(kind: str, server: SshServer, ssh: Transport, tmp_path: Path) -> None:
    other = " ".join((server.folder / "other.pub").read_text().split()[:2])
    known = tmp_path / "known"
    known.write_text(f"[127.0.0.1]:{server.port} {other}\n")
    ssh_transport(kind, known).connect(host_of(server, host_key=server.host_key)).close()
    error = refused(ssh, server, host_key=other)
    assert "changed" in error.what
    assert "host_key in the inventory" in error.needed


def test_only_the_pinned_type_is_negotiated(server: SshServer, ssh: Transport, tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-f", tmp_path / "ecdsa"], check=True)
    error = refused(ssh, server, host_key=(tmp_path / "ecdsa.pub").read_text())
    assert "pinned type" in error.what


def test_mangled_pin_is_named(server: SshServer, ssh: Transport) -> None:
    with pytest.raises(TransportError, match="not a host key"):
        ssh.connect(host_of(server, host_key="ssh-ed25519 AAAA"))


def test_hashed_and_rsa_known_hosts(kind: str, server: SshServer, tmp_path: Path) -> None:
    known = tmp_path / "known"
    subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-N", "", "-f", tmp_path / "rsa"], check=True)
    known.write_text(f"[127.0.0.1]:{server.port} {server.host_key}\n")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", known], check=True, capture_output=True)
    assert known.read_text().startswith("|1|")
    ssh_transport(kind, known).connect(host_of(server)).close()
    rsa = SshServer(make_folder())
    shutil.copy(tmp_path / "rsa", rsa.folder / "host")
    shutil.copy(tmp_path / "rsa.pub", rsa.folder / "host.pub")
    rsa.start()
    try:
        ssh_transport(kind, rsa.known_hosts).connect(host_of(rsa)).close()
        ssh_transport(kind).connect(host_of(rsa, host_key=rsa.host_key)).close()
    finally:
        rsa.stop()
        shutil.rmtree(rsa.folder)


def test_wrong_key_names_what_was_tried(server: SshServer, ssh: Transport) -> None:
    error = refused(ssh, server, key=server.other_key)
    assert server.user in error.what
    assert str(server.other_key) in error.found
    assert "agent" in error.found
    assert "no password" in error.found
    barred = refused(ssh, server, key=None, password=Secret("no such login"))
    assert "the host accepts publickey" in barred.found
    assert "no such login" not in str(barred)


def test_missing_and_encrypted_keys(server: SshServer, ssh: Transport, tmp_path: Path) -> None:
    assert "cannot be read" in refused(ssh, server, key=tmp_path / "none").what
    key = tmp_path / "locked"
    shutil.copy(server.key, key)
    subprocess.run(["ssh-keygen", "-q", "-p", "-P", "", "-N", "open sesame", "-f", key], check=True)
    assert "encrypted" in refused(ssh, server, key=key).what
    asked: list[Path] = []

    def ask(path: Path) -> Secret:
        asked.append(path)
        return Secret("open sesame")

    unlocked = SshTransport(known_hosts=(server.known_hosts,), ask_passphrase=ask)
    for _ in range(2):
        unlocked.connect(host_of(server, key=key)).close()
    assert asked == [key]
    wrong = SshTransport(known_hosts=(server.known_hosts,), ask_passphrase=lambda _: Secret("open barley"))
    error = refused(wrong, server, key=key)
    assert "does not open" in error.what
    assert "barley" not in str(error)


def test_refused_port(ssh: Transport, server: SshServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    assert "refused" in refused(ssh, server, port=port).what


def test_unknown_name(ssh: Transport, server: SshServer) -> None:
    error = refused(ssh, server, address="no-such-host.invalid")
    assert "DNS" in error.what


def test_silent_port(ssh: Transport, server: SshServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sentences, "CONNECT_SECONDS", 1)
    kept: list[socket.socket] = []
    with listener(kept.append) as (port, calls):
        error = refused(ssh, server, port=port)
    assert "no answer" in error.what
    assert len(calls) == 1


def test_hang_up_before_the_banner_is_tried_once_more(ssh: Transport, server: SshServer) -> None:
    with listener(socket.socket.close) as (port, calls):
        error = refused(ssh, server, port=port)
    assert "hung up" in error.what
    assert len(calls) == 2


def test_one_hang_up_is_survived(kind: str, server: SshServer) -> None:
    hung_up = threading.Event()

    def answer(peer: socket.socket) -> None:
        if not hung_up.is_set():
            hung_up.set()
            peer.close()
            return
        behind = socket.create_connection(("127.0.0.1", server.port))
        for source, sink in ((peer, behind), (behind, peer)):
            threading.Thread(target=_copy, args=(source, sink), daemon=True).start()

    with listener(answer) as (port, calls):
        session = ssh_transport(kind).connect(host_of(server, port=port, host_key=server.host_key))
        assert session.execute("echo in").stdout == b"in\n"
        session.close()
    assert len(calls) == 2


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):  # the server is cut off while something is on its way
        while data := source.recv(65536):
            sink.sendall(data)
    sink.close()


def test_connection_killed_in_the_middle(ssh: Transport, server: SshServer) -> None:
    session = ssh.connect(host_of(server))
    with pytest.raises(TransportError, match="connection lost") as caught:
        session.execute(
            "echo almost there >&2; sleep 0.5; echo half an answer; exec sleep 600", on_output=lambda _: server.cut()
        )
    assert caught.value.log.strip() == "almost there"  # what it said to people
    assert re.search(r"after \d+\.\d s", caught.value.found)
    with pytest.raises(TransportError, match="connection lost"):
        session.execute("true")
    session.close()


def test_connection_killed_while_much_is_sent(ssh: Transport, server: SshServer) -> None:
    def pieces() -> Iterator[bytes]:
        for number in range(1000):
            if number == 20:
                server.cut()
            yield bytes(1 << 20)

    session = ssh.connect(host_of(server))
    with pytest.raises(TransportError, match="connection lost"):
        session.execute("cat >/dev/null", stdin=pieces())
    session.close()


def test_held_command_ends_with_the_connection(ssh: Transport, server: SshServer) -> None:
    session = ssh.connect(host_of(server))
    held = session.hold("echo $$; exec cat")
    pid = held.first_line(10)
    assert runs(pid)
    server.cut()
    assert until(lambda: not runs(pid))
    assert until(lambda: not held.alive)
    with pytest.raises(TransportError, match="connection lost"):
        held.close()
    session.close()


def test_socket_options_and_cipher_of_paramiko(server: SshServer) -> None:
    session = ParamikoTransport(known_hosts=(server.known_hosts,)).connect(host_of(server))
    transport = session.connection.transport
    assert transport.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert transport.sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert transport.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 20_000
    assert "gcm" in transport.local_cipher
    assert not session.connection.forward_agent
    session.close()


def test_no_stall_of_an_exec(ssh: Transport, server: SshServer) -> None:
    """Nagle or a delayed acknowledgement would add 40 ms to each, on the fastest of them too."""
    session = ssh.connect(host_of(server))
    took = []
    for _ in range(15):
        began = time.perf_counter()
        session.execute("true")
        took.append(time.perf_counter() - began)
    session.close()
    assert min(took) < 0.030


def test_ssh_config_is_honoured(kind: str, server: SshServer, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(
        f"Host alias\n  HostName 127.0.0.1\n  Port {server.port}\n  User {server.user}\n  ForwardAgent yes\n"
        f"  IdentityFile {tmp_path}/none\n  IdentityFile {server.key}\n  IdentitiesOnly yes\n"
        "  StrictHostKeyChecking no\n"
    )
    transport = ssh_transport(kind, server.known_hosts, config=config)
    session = transport.connect(host_of(server, address="alias", port=None, user=None, key=None))
    assert session.execute("echo in").stdout == b"in\n"
    assert session.execute("echo $SSH_AUTH_SOCK").stdout == b"\n"
    session.close()
    strict = ssh_transport(kind, config=config)
    with pytest.raises(TransportError, match="unknown"):
        strict.connect(host_of(server, address="alias", port=None, user=None, key=None))


def test_hosts_behind_a_jump_host_share_its_connection(kind: str, server: SshServer) -> None:
    bastion = SshServer(make_folder(), extra="MaxStartups 2:100:2\n")
    bastion.start()
    try:
        (bastion.folder / "authorized").write_text((server.folder / "id.pub").read_text())
        known = (server.known_hosts, bastion.known_hosts)
        transport = ssh_transport(kind, *known)
        jump = f"{server.user}@127.0.0.1:{bastion.port}"
        hosts = [host_of(server, f"h{number}", jump=jump) for number in range(12)]
        sessions = connect_many(transport, hosts, forks=12)
        assert list(sessions) == [host.name for host in hosts]
        for session in sessions.values():
            assert not isinstance(session, TransportError), str(session)
            assert session.execute("echo in").stdout == b"in\n"
            session.close()
        assert bastion.accepted() == 1
        assert until(lambda: not bastion.children())
        with pytest.raises(TransportError) as caught:
            ssh_transport(kind, server.known_hosts).connect(hosts[0])
        error = caught.value
        assert "unknown" in error.what
        assert "jump host" in error.where
        assert str(bastion.port) in error.where
        unreachable = refused(transport, server, jump=jump, port=1)
        assert "jump host cannot reach" in unreachable.what
    finally:
        bastion.stop()
        shutil.rmtree(bastion.folder)


def test_one_bad_host_does_not_stop_the_others(ssh: Transport, server: SshServer) -> None:
    hosts = [host_of(server, "good"), host_of(server, "bad", key=server.other_key)]
    sessions = connect_many(ssh, hosts)
    assert isinstance(sessions["bad"], TransportError)
    assert not isinstance(sessions["good"], TransportError)
    sessions["good"].close()


def test_importing_the_package_loads_no_ssh_library() -> None:
    code = "import sys, kprov.transport; print(sorted({'paramiko', 'fabric', 'invoke'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_password_login(user_server: SshServer) -> None:
    transport = SshTransport(known_hosts=(user_server.known_hosts,))
    good = host_of(user_server, user="plain", key=None, password=Secret(PASSWORD), become=False)
    session = transport.connect(good)
    assert session.execute("id -un").stdout == b"plain\n"
    session.close()
    transport = SshTransport(known_hosts=(user_server.known_hosts,))
    error = refused(transport, user_server, user="plain", key=None, password=Secret("wrong-secret-word"))
    assert "the password" in error.found
    assert "wrong-secret-word" not in str(error)
