"""What OpenSSH is asked for from inventory and configuration, and what its words mean. No client is started."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from kprov.transport.known_hosts import HostKey
from kprov.transport.openssh_client import _connection
from kprov.transport.openssh_config import Effective, Files, options, parse, quick_first, through
from kprov.transport.openssh_explain import KeyLocked, NotLetIn, explain, is_dropped, last
from kprov.transport.sentences import Target, key_locked
from kprov.values.errors import TransportError
from kprov.values.model import Connection

BLOB = b"\0\0\0\x0bssh-ed25519" + b"x" * 36
KEY = HostKey(type="ssh-ed25519", blob=BLOB)
PIN = f"ssh-ed25519 {base64.b64encode(BLOB).decode()}"
TARGET = Target(name="n1", address="10.0.0.1", port=2222, user="ops", auth="key k")
DUMP = (
    "user ops\nhostname 10.0.0.9\nport 2200\nidentityfile ~/.ssh/a\nidentityfile ~/.ssh/b\nidentityagent /run/a\n"
    "ciphers chacha20-poly1305@openssh.com,aes128-ctr,aes128-gcm@openssh.com\nproxyjump none\nproxycommand none\n"
)


def argv(to: Connection, found: Effective | None = None, **changes: object) -> list[str]:
    given: dict[str, object] = {"pinned": None, "proxy": None, "alone": True, **changes}
    files = Files(known_hosts=(Path("/k n/own"), Path("/other")))
    return options(to, files, found or parse(DUMP), control=Path("/run/c"), log=Path("/run/l"), **given)  # type: ignore[arg-type]


def value(words: list[str], keyword: str) -> str | None:
    """The first of a keyword counts, as for ssh."""
    return next((word.partition("=")[2] for word in words if word.startswith(f"{keyword}=")), None)


def test_the_inventorys_values_stand_on_the_command_line() -> None:
    words = argv(Connection(address="h", user="ops", port=2222, key=Path("/k/100%")))
    assert words[:3] == ["ssh", "-M", "-N"]
    assert words[-2:] == ["--", "h"]
    assert words[words.index("-l") + 1] == "ops"
    assert words[words.index("-p") + 1] == "2222"
    assert value(words, "IdentityFile") == '"/k/100%%"'
    assert value(words, "IdentitiesOnly") == "yes"
    assert value(words, "UserKnownHostsFile") == '"/k n/own" "/other"'


def test_what_the_inventory_leaves_out_is_left_to_the_configuration() -> None:
    words = argv(Connection(address="h"))
    assert not {"-l", "-p"} & set(words)
    assert value(words, "IdentitiesOnly") is value(words, "IdentityFile") is value(words, "ProxyJump") is None
    assert value(argv(Connection(address="h", key=Path("/k")), alone=False), "IdentitiesOnly") is None


@pytest.mark.parametrize(
    ("keyword", "needed"),
    [
        ("BatchMode", "yes"), ("StrictHostKeyChecking", "yes"), ("ForwardAgent", "no"), ("ClearAllForwardings", "yes"),
        ("PermitLocalCommand", "no"), ("RemoteCommand", "none"), ("RequestTTY", "no"), ("ControlMaster", "yes"),
        ("UpdateHostKeys", "no"), ("ControlPersist", "15"), ("LogLevel", "INFO"),
    ],
)  # fmt: skip
def test_what_no_configuration_may_change(keyword: str, needed: str) -> None:
    assert value(argv(Connection(address="h")), keyword) == needed


def test_a_pinned_key_is_the_only_one() -> None:
    words = argv(Connection(address="h", host_key=PIN), parse(DUMP + "knownhostscommand /x\n"), pinned=Path("/run/p"))
    assert value(words, "UserKnownHostsFile") == '"/run/p"'
    assert value(words, "GlobalKnownHostsFile") == "/dev/null"
    assert value(words, "HostKeyAlgorithms") == "ssh-ed25519"
    assert value(words, "KnownHostsCommand") == "none"
    older = argv(Connection(address="h", host_key=PIN), pinned=Path("/run/p"))
    assert value(older, "KnownHostsCommand") is None


def test_ways_to_a_host() -> None:
    assert value(argv(Connection(address="h"), proxy="ssh -W"), "ProxyCommand") == "ssh -W"
    assert value(argv(Connection(address="h", jump="none")), "ProxyJump") == "none"
    loud = parse("proxycommand nc %h %p\n")
    assert loud.command == "nc %h %p"
    assert "-v" in argv(Connection(address="h"), loud)
    assert "-v" not in argv(Connection(address="h"))
    assert through(Path("/run/a%b")).endswith("-W '[%h]:%p' -- jump-host.invalid")
    assert "/run/a%%b" in through(Path("/run/a%b"))


def test_the_configuration_as_openssh_tells_it() -> None:
    found = parse(DUMP)
    assert (found.user, found.port, found.jump, found.command) == ("ops", 2200, None, None)
    assert found.identities == ("~/.ssh/a", "~/.ssh/b")
    assert found.auth == "key ~/.ssh/a, key ~/.ssh/b, the SSH agent /run/a, no password"
    assert "no other key of the agent" in parse("identitiesonly yes\n").auth
    assert parse("proxyjump a@b:33,c\n").jump == "a@b:33,c"


def test_only_allowed_ciphers_are_put_first() -> None:
    assert quick_first("chacha20-poly1305@openssh.com,aes256-gcm@openssh.com") == (
        "aes256-gcm@openssh.com,chacha20-poly1305@openssh.com"
    )
    assert quick_first("aes128-ctr") is None
    assert quick_first("") is None


@pytest.mark.parametrize(
    ("hop", "user", "address", "port"),
    [
        ("b", None, "b", None),
        ("me@b:22", "me", "b", 22),
        ("me@corp@b", "me@corp", "b", None),
        ("[2001:db8::1]:2222", None, "2001:db8::1", 2222),
        ("2001:db8::1", None, "2001:db8::1", None),
    ],
)
def test_a_jump_host_is_read(hop: str, user: str | None, address: str, port: int | None) -> None:
    made = _connection(hop, "a", Path("/k"))
    assert (made.user, made.address, made.port, made.jump, made.key) == (user, address, port, "a", Path("/k"))


def told(log: str, *, pinned: bool = False, bastion: str = "", offered: HostKey | None = None) -> TransportError:
    return explain(log, TARGET, offered=offered, expected=(KEY,) if pinned else (), pinned=pinned, bastion=bastion)


CLOSED = "kex_exchange_identification: Connection closed by remote host\nConnection closed by UNKNOWN port 65535\n"
PROHIBITED = "channel 2: open failed: administratively prohibited: open failed\n"


@pytest.mark.parametrize(
    ("log", "what", "found"),
    [
        ("ssh: Could not resolve hostname h: Name or service not known\r\n", "no DNS entry", "Name or service"),
        ("ssh: connect to host h port 22: Connection refused\r\n", "connection refused", "nothing listens"),
        ("ssh: connect to host h port 22: Connection timed out\r\n", "no answer", "within 10 s"),
        ("Connection timed out during banner exchange\nConnection to h port 22 timed out\n", "no answer", "within"),
        ("ssh: connect to host h port 22: No route to host\r\n", "cannot be reached", "No route to host"),
        ("ssh: connect to host h port 22: Network is unreachable\r\n", "cannot be reached", "unreachable"),
        (CLOSED, "hung up", "closed by remote host"),
        (
            "ops@h: Permission denied (publickey,password).\r\n",
            "did not let user ops in",
            "accepts publickey, password",
        ),
        ("Received disconnect from h port 22:2: Too many authentication failures\n", "did not let", "too many keys"),
        (
            "Unable to negotiate with h port 22: no matching host key type found. Their offer: ssh-rsa\n",
            "no common SSH algorithm",
            "Their offer: ssh-rsa",
        ),
        ("Host key verification failed.\r\n", "host key is unknown", "no key is known"),
        (
            "@@@\nREMOTE HOST IDENTIFICATION HAS CHANGED!\nSHA256:abc.\nHost key verification failed.\n",
            "changed",
            "SHA256:abc",
        ),
        ("something new\nConnection closed by UNKNOWN port 65535\n", "could not be made", "something new"),
        ("", "could not be made", "no output"),
    ],
)
def test_reasons(log: str, what: str, found: str) -> None:
    error = told(log)
    assert what in error.what
    assert found in error.found
    assert error.where == "n1 (ops@10.0.0.1:2222)"
    assert error.todo


def test_a_refused_key_is_told_with_the_one_shown_and_the_one_expected() -> None:
    failed = "Host key verification failed.\n"
    unknown = told(failed, offered=KEY)
    assert KEY.fingerprint in unknown.found
    assert f'host_key: "{PIN}"' in unknown.todo
    changed = told(failed, pinned=True, offered=KEY)
    assert KEY.fingerprint in changed.needed
    assert "host_key in the inventory" in changed.needed
    revoked = told(f"WARNING: REVOKED HOST KEY DETECTED!\n{failed}", offered=KEY)
    assert "not revoked" in revoked.needed
    assert told(f"Certificate invalid: name is not a listed principal\n{failed}").found.startswith(
        "Certificate invalid"
    )


def test_the_jump_hosts_words_count_where_it_is_the_cause() -> None:
    assert "AllowTcpForwarding" in told(CLOSED, bastion=PROHIBITED).needed
    refused = told(CLOSED, bastion="channel 2: open failed: connect failed: Connection refused\n")
    assert ("jump host cannot reach" in refused.what, refused.found) == (True, "Connection refused")
    assert "unknown" in told("Host key verification failed.\n", bastion=PROHIBITED).what


def test_who_is_asked_once_more() -> None:
    assert is_dropped(CLOSED)
    assert is_dropped("Connection reset by 10.0.0.1 port 22\n")
    for judged in (
        "Permission denied (publickey).",
        "Too many authentication failures",
        "timed out during banner exchange",
    ):
        assert not is_dropped(f"{judged}\nConnection closed by 10.0.0.1 port 22\n")


def test_refusals_are_told_apart() -> None:
    assert isinstance(told("ops@h: Permission denied (publickey)."), NotLetIn)
    locked = KeyLocked.of(key_locked("n1", Path("/k")))
    assert isinstance(locked, NotLetIn)
    assert "ssh-add /k" in locked.todo


def test_what_a_host_prints_cannot_write_on_the_terminal() -> None:
    assert last("debug1: x\nharm\x1b[2J\n") == "harm?[2J"
