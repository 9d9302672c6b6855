"""SSH as people have it: where `ssh HOST true` works with a configuration, kprov works, or names what it does not support."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import host_of, ssh_transport
from ssh_server import SshServer, make_folder

from kprov.transport import SshTransport, Transport
from kprov.transport.openssh import OpenSshTransport
from kprov.transport.openssh_config import Files
from kprov.transport.paramiko_ssh import ParamikoTransport
from kprov.values.errors import TransportError
from kprov.values.model import Connection, Host

RELAY = """
import os, socket, sys, threading
with open(sys.argv[1], "a") as record:
    print(*sys.argv[2:], file=record)
peer = socket.create_connection((sys.argv[2], int(sys.argv[3])))
def back():
    while data := peer.recv(65536):
        os.write(1, data)
    os._exit(0)
threading.Thread(target=back, daemon=True).start()
while data := os.read(0, 65536):
    peer.sendall(data)
"""


@contextmanager
def running(extra: str = "") -> Iterator[SshServer]:
    """A further server, with settings of its own."""
    server = SshServer(make_folder(), extra=extra)
    server.start()
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(server.folder)


@pytest.fixture
def config(tmp_path: Path, server: SshServer) -> Callable[[str], Path]:
    """Writes an ssh_config that trusts the server's key; lines for every host come last."""

    def write(text: str) -> Path:
        path = tmp_path / "config"
        path.write_text(f"{text}\nHost *\n  UserKnownHostsFile {server.known_hosts}\n")
        return path

    return write


def bare(address: str, **changes: object) -> Host:
    """A host of which the inventory says the address alone, but for the changes."""
    return Host(name="one", groups=frozenset({"worker"}), connection=Connection(address=address, **changes))  # type: ignore[arg-type]


def works(transport: Transport, host: Host) -> None:
    session = transport.connect(host)
    assert session.execute("echo in", root=False).stdout == b"in\n"
    session.close()


def plain_ssh(config: Path, address: str) -> bool:
    done = subprocess.run(
        ["ssh", "-F", config, "-o", "BatchMode=yes", address, "true"], capture_output=True, check=False
    )
    return done.returncode == 0


def with_config(path: Path) -> Transport:
    return OpenSshTransport(Files(config=path))


def alias(server: SshServer, key: Path | None = None, name: str = "alias") -> str:
    return (
        f"Host {name}\n  HostName 127.0.0.1\n  Port {server.port}\n  User {server.user}\n"
        f"  IdentityFile {key or server.key}\n  IdentitiesOnly yes\n"
    )


def test_included_files_and_other_known_hosts_files(server: SshServer, config: Callable[[str], Path]) -> None:
    (server.folder / "included").write_text(alias(server))
    path = config(f"Include {server.folder}/incl*")
    assert plain_ssh(path, "alias")
    works(with_config(path), bare("alias"))
    with pytest.raises(TransportError) as caught:
        ParamikoTransport(ssh_config=path, known_hosts=(server.known_hosts,)).connect(bare("alias"))
    assert "include" in caught.value.needed
    assert "OpenSSH" in caught.value.todo


@pytest.fixture
def agent(server: SshServer, tmp_path: Path) -> Iterator[Path]:
    """An agent that holds the key; its socket."""
    path = tmp_path / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL)
    while not path.exists():
        assert process.poll() is None
    subprocess.run(["ssh-add", "-q", server.key], env={**os.environ, "SSH_AUTH_SOCK": str(path)}, check=True)
    yield path
    process.terminate()
    process.wait()


def test_a_key_in_an_agent_of_which_only_the_public_half_is_on_disk(
    server: SshServer, config: Callable[[str], Path], agent: Path, tmp_path: Path
) -> None:
    shutil.copy(server.folder / "id.pub", tmp_path / "id.pub")
    path = config(f"IdentityAgent {agent}\n{alias(server, tmp_path / 'id.pub')}")
    assert plain_ssh(path, "alias")
    works(with_config(path), bare("alias"))
    named = bare("127.0.0.1", port=server.port, user=server.user, key=tmp_path / "id")  # and no such file
    works(with_config(path), named)
    with pytest.raises(TransportError) as caught:
        ParamikoTransport(ssh_config=path, known_hosts=(server.known_hosts,)).connect(bare("alias"))
    assert "identityagent" in caught.value.needed


def test_the_inventorys_key_comes_before_the_many_of_an_agent(
    server: SshServer, config: Callable[[str], Path], agent: Path, tmp_path: Path
) -> None:
    environment = {**os.environ, "SSH_AUTH_SOCK": str(agent)}
    subprocess.run(["ssh-add", "-q", "-D"], env=environment, check=True)
    for number in range(7):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / f"k{number}"], check=True)
        subprocess.run(["ssh-add", "-q", tmp_path / f"k{number}"], env=environment, check=True)
    path = config(f"IdentityAgent {agent}")
    works(with_config(path), host_of(server))
    # Of the right one only the public half lies here, and the agent has it after all others.
    subprocess.run(["ssh-add", "-q", server.key], env=environment, check=True)
    shutil.copy(server.folder / "id.pub", tmp_path / "half.pub")
    works(with_config(path), host_of(server, key=tmp_path / "half"))
    subprocess.run(["ssh-add", "-q", "-d", server.key], env=environment, check=True)
    with pytest.raises(TransportError) as caught:
        with_config(path).connect(host_of(server, key=None))
    assert "too many keys" in caught.value.found


def test_an_agents_key_lets_in_where_the_inventorys_does_not(
    server: SshServer, config: Callable[[str], Path], agent: Path
) -> None:
    works(with_config(config(f"IdentityAgent {agent}")), host_of(server, key=server.other_key))


@pytest.fixture
def relay(tmp_path: Path) -> str:
    (tmp_path / "relay.py").write_text(RELAY)
    return f"{sys.executable} {tmp_path}/relay.py {tmp_path}/record"


def test_a_proxy_command_gets_the_inventorys_port_and_user(
    kind: str, server: SshServer, config: Callable[[str], Path], relay: str, tmp_path: Path
) -> None:
    path = config(f"Host 127.*\n  Port 1\n  User somebody\n  ProxyCommand {relay} %h %p %r")
    works(ssh_transport(kind, server.known_hosts, config=path), host_of(server))
    assert (tmp_path / "record").read_text() == f"127.0.0.1 {server.port} {server.user}\n"


def test_what_a_proxy_command_says_is_told(server: SshServer, config: Callable[[str], Path]) -> None:
    path = config("Host 127.*\n  ProxyCommand sh -c 'echo the tunnel is closed for maintenance >&2; exit 1'")
    with pytest.raises(TransportError) as caught:
        with_config(path).connect(host_of(server))
    assert "closed for maintenance" in str(caught.value)
    assert "a ProxyCommand" in caught.value.where


def test_a_jump_host_that_needs_a_jump_host(kind: str, server: SshServer, config: Callable[[str], Path]) -> None:
    with running() as outer, running() as inner:
        for bastion in (outer, inner):
            (bastion.folder / "authorized").write_text((server.folder / "id.pub").read_text())
        path = config(
            alias(inner, server.key, "inner") + "  ProxyJump outer\n" + alias(outer, server.key, "outer")
            + alias(server) + "  ProxyJump inner\n"
        )  # fmt: skip
        known = (server.known_hosts, outer.known_hosts, inner.known_hosts)
        for host in (bare("alias"), host_of(server, jump="inner"), host_of(server, jump="outer, inner")):
            before = outer.accepted(), inner.accepted()
            works(ssh_transport(kind, *known, config=path), host)
            assert (outer.accepted(), inner.accepted()) == (before[0] + 1, before[1] + 1)


def test_jump_hosts_in_a_circle(kind: str, server: SshServer, config: Callable[[str], Path]) -> None:
    path = config("Host *\n  ProxyJump bastion.invalid")
    with pytest.raises(TransportError, match="circle") as caught:
        ssh_transport(kind, server.known_hosts, config=path).connect(host_of(server))
    assert "ProxyJump none" in caught.value.todo
    path = config("Host a.invalid\n  ProxyJump b.invalid\nHost b.invalid\n  ProxyJump a.invalid")
    with pytest.raises(TransportError, match="circle") as caught:
        ssh_transport(kind, server.known_hosts, config=path).connect(bare("a.invalid"))
    assert "b.invalid → a.invalid → b.invalid" in caught.value.found


def test_a_bastion_that_forwards_nothing(kind: str, server: SshServer) -> None:
    with running("AllowTcpForwarding no\n") as bastion:
        (bastion.folder / "authorized").write_text((server.folder / "id.pub").read_text())
        known = (server.known_hosts, bastion.known_hosts)
        with pytest.raises(TransportError, match="forwards no connections") as caught:
            ssh_transport(kind, *known).connect(host_of(server, jump=f"{server.user}@127.0.0.1:{bastion.port}"))
        assert "AllowTcpForwarding" in caught.value.needed


def test_a_host_that_allows_one_session_on_a_connection(kind: str, server: SshServer) -> None:
    """The lock of a run is one, what it does another: OpenSSH gets a second connection, paramiko says what to change."""
    with running("MaxSessions 1\n") as strict:
        transport = ssh_transport(kind, strict.known_hosts)
        session = transport.connect(host_of(strict))
        held = session.hold("echo held; cat")
        assert held.first_line(20) == "held"
        if kind == "openssh":
            for _ in range(2):
                assert session.execute("echo meanwhile").stdout == b"meanwhile\n"
            assert transport.counters["one"].connections == 2
        else:
            with pytest.raises(TransportError, match="no further session") as caught:
                session.execute("true")
            assert "MaxSessions" in caught.value.todo
        assert held.close().status == 0
        session.close()


def test_a_host_that_allows_no_session(kind: str, server: SshServer) -> None:
    with running("MaxSessions 0\n") as strict:
        session = ssh_transport(kind, strict.known_hosts).connect(host_of(strict))
        with pytest.raises(TransportError, match="no further session") as caught:
            session.execute("true")
        assert "MaxSessions" in caught.value.needed
        session.close()


def test_work_on_a_second_connection_is_lost_with_the_first(server: SshServer) -> None:
    """The lock of the run lies on the first: nothing may go on without it."""
    with running("MaxSessions 1\n") as strict:
        session = ssh_transport("openssh", strict.known_hosts).connect(host_of(strict))
        held = session.hold("echo held; cat")
        held.first_line(20)
        first = [pid for pid in strict.children() if _is_sshd(pid)]

        def cut(_: bytes) -> None:
            for pid in first:
                os.kill(pid, signal.SIGKILL)

        with pytest.raises(TransportError, match="connection lost"):
            session.execute("echo x; sleep 1; kill -9 $$", on_output=cut)
        session.close()


def _is_sshd(pid: int) -> bool:
    return Path(f"/proc/{pid}/comm").read_text().startswith("sshd")


def test_host_certificates(server: SshServer, tmp_path: Path) -> None:
    authority = tmp_path / "ca"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", authority], check=True)
    folder = make_folder()
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "host"], check=True)
    sign = ["ssh-keygen", "-q", "-s", authority, "-I", "host", "-h", "-n", "127.0.0.1", folder / "host.pub"]
    subprocess.run(sign, check=True)
    signed = SshServer(folder, extra=f"HostCertificate {folder}/host-cert.pub\n")
    signed.start()
    try:
        known = tmp_path / "known"
        known.write_text(f"@cert-authority [127.0.0.1]:{signed.port} {(tmp_path / 'ca.pub').read_text()}")
        works(ssh_transport("openssh", known), host_of(signed))
        with pytest.raises(TransportError) as caught:
            ssh_transport("paramiko", known).connect(host_of(signed))
        assert "@cert-authority" in caught.value.needed
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "foreign"], check=True)
        known.write_text(f"@cert-authority [127.0.0.1]:{signed.port} {(tmp_path / 'foreign.pub').read_text()}")
        with pytest.raises(TransportError, match="host key is unknown"):
            ssh_transport("openssh", known).connect(host_of(signed))
    finally:
        signed.stop()
        shutil.rmtree(folder)


def test_a_revoked_key_is_refused(kind: str, server: SshServer, tmp_path: Path) -> None:
    known = tmp_path / "known"
    known.write_text(f"{server.known_hosts.read_text()}@revoked * {server.host_key}\n")
    with pytest.raises(TransportError, match="has changed") as caught:
        ssh_transport(kind, known).connect(host_of(server))
    assert "revoked" in caught.value.needed


def test_the_mistake_in_a_configuration_is_named(server: SshServer, config: Callable[[str], Path]) -> None:
    path = config("Host x\n  NoSuchKeyword yes")
    with pytest.raises(TransportError, match="configuration") as caught:
        with_config(path).connect(host_of(server))
    assert "line 2" in caught.value.found
    assert "nosuchkeyword" in caught.value.found.lower()


def test_nothing_of_a_configuration_loosens_what_kprov_holds_to(server: SshServer, tmp_path: Path) -> None:
    """Unknown keys stay refused, no agent is lent, nothing is run here, and nothing is asked or typed on the host."""
    path = tmp_path / "config"
    loose = (
        "Host *\n  StrictHostKeyChecking no\n  ForwardAgent yes\n  PermitLocalCommand yes\n"
        f"  LocalCommand touch {tmp_path}/local\n  RemoteCommand touch {tmp_path}/remote\n  RequestTTY force\n"
        f"  UserKnownHostsFile {tmp_path}/learnt\n  BatchMode no\n  LogLevel QUIET\n"
        f"  ControlPath {tmp_path}/theirs\n  ControlMaster auto\n  LocalForward 127.0.0.1:1 127.0.0.1:1\n"
    )
    path.write_text(loose)
    with pytest.raises(TransportError, match="host key is unknown"):
        with_config(path).connect(host_of(server))
    works(with_config(path), host_of(server, host_key=server.host_key))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["config"]


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """One that other users can enter; those of pytest are closed whenever another one begins."""
    with tempfile.TemporaryDirectory(prefix="kprov-open-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_a_user_id_without_an_account(server: SshServer, open_folder: Path) -> None:
    """As containers have: OpenSSH refuses to run, and everything needed is in the inventory."""
    if os.geteuid() != 0:
        pytest.skip("another user id needs root")
    key, known_hosts = open_folder / "key", open_folder / "known_hosts"
    shutil.copy(server.key, key)
    shutil.copyfile(server.known_hosts, known_hosts)
    os.chown(key, 54321, 54321)
    code = (
        "import os, sys, getpass, stringprep, encodings.idna; from pathlib import Path; "
        "from kprov.transport import SshTransport; "
        "import kprov.transport.paramiko_client; "  # before the folders of Python cannot be entered any more
        "from kprov.values.model import Connection, Host; "
        "address, port, user, key, known = sys.argv[1:]; os.setgid(54321); os.setuid(54321); "
        "host = Host(name='one', groups=frozenset(), connection=Connection(address=address, port=int(port), "
        "user=user or None, key=Path(key), become=False)); "
        "session = SshTransport(known_hosts=(Path(known),)).connect(host); "
        "print(session.execute('echo in').stdout); session.close()"
    )
    argv = [sys.executable, "-c", code, "127.0.0.1", str(server.port)]
    environment = {
        name: value for name, value in os.environ.items() if name not in ("LOGNAME", "USER", "LNAME", "USERNAME")
    }
    given = subprocess.run(
        [*argv, server.user, key, known_hosts], capture_output=True, text=True, check=False, env=environment
    )
    assert given.stdout == "b'in\\n'\n", given.stderr
    missing = subprocess.run(
        [*argv, "", key, known_hosts], capture_output=True, text=True, check=False, env=environment
    )
    assert "no user to connect as" in missing.stderr


def test_a_killed_operator_leaves_no_client(server: SshServer, tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; sys.path.insert(0, sys.argv[1]); from conftest import *; from ssh_server import SshServer; "
        "from pathlib import Path; from kprov.transport.openssh import OpenSshTransport; "
        "from kprov.transport.openssh_config import Files; from kprov.values.model import Connection; "
        "import kprov.transport.openssh_config as c; c.PERSIST_SECONDS = 5; "
        "c._ALWAYS = tuple((k, '5' if k == 'ControlPersist' else v) for k, v in c._ALWAYS); "
        "t = OpenSshTransport(Files(known_hosts=(Path(sys.argv[5]),))); "
        "s = t.connect(Host(name='one', groups=frozenset(), connection=Connection(address='127.0.0.1', "
        "port=int(sys.argv[2]), user=sys.argv[3], key=Path(sys.argv[4])))); "
        "h = s.hold('echo $$; exec cat'); print(h.first_line(20), flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    argv = [
        sys.executable,
        "-c",
        code,
        str(Path(__file__).parent),
        str(server.port),
        server.user,
        server.key,
        server.known_hosts,
    ]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    environment.pop("XDG_RUNTIME_DIR", None)
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == -signal.SIGKILL, done.stderr
    from test_session import runs, until

    assert until(lambda: not runs(done.stdout.strip()))
    assert until(lambda: not server.children(), 30)


def test_a_connection_that_the_user_holds_open(
    server: SshServer, config: Callable[[str], Path], tmp_path: Path
) -> None:
    """As where a code was typed: nothing that kprov could offer would let it in."""
    sockets = make_folder()  # its path is short
    path = config(f"ControlPath {sockets}/%p\n{alias(server, server.other_key)}")
    argv = ["ssh", "-F", path, "-i", server.key, "-o", "ControlMaster=yes", "-o", "ControlPersist=60", "-fN", "alias"]
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert plain_ssh(path, "alias")
        works(with_config(path), bare("alias"))
        with pytest.raises(TransportError, match="did not let"):
            with_config(path).connect(bare("alias", host_key=server.host_key))
        assert plain_ssh(path, "alias")  # it is still there
    finally:
        subprocess.run(["ssh", "-F", path, "-O", "exit", "alias"], check=False, capture_output=True)
        shutil.rmtree(sockets)
    with pytest.raises(TransportError, match="did not let"):
        with_config(path).connect(bare("alias"))


def test_which_client_is_used(server: SshServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def name() -> str:
        session = SshTransport(known_hosts=(server.known_hosts,)).connect(host_of(server))
        session.close()
        return type(session).__name__

    assert name() == "OpenSshSession"
    monkeypatch.setenv("KPROV_SSH_CLIENT", "paramiko")
    assert name() == "ParamikoSession"
    monkeypatch.setenv("KPROV_SSH_CLIENT", "putty")
    with pytest.raises(TransportError, match="SSH client"):
        name()
    monkeypatch.delenv("KPROV_SSH_CLIENT")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert name() == "ParamikoSession"
