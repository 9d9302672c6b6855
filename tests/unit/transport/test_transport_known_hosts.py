"""known_hosts as OpenSSH reads it, and why a connection could not be made."""

from __future__ import annotations

import base64
import errno
import hashlib
import hmac
import socket
from pathlib import Path

import paramiko
import pytest
from call_count import calls_of

from kprov.transport.known_hosts import HostKey, KnownHosts, host_name_of, parse_host_key
from kprov.transport.paramiko_explain import HostKeyRefused, explain, is_dropped
from kprov.transport.sentences import Target


def key(number: int, kind: str = "ssh-ed25519") -> HostKey:
    name = kind.encode()
    return HostKey(type=kind, blob=len(name).to_bytes(4, "big") + name + bytes([number]) * 36)


def known(*lines: str) -> KnownHosts:
    hosts = KnownHosts()
    hosts.add("\n".join(lines))
    return hosts


def hashed(name: str) -> str:
    salt = b"0123456789abcdef0123"
    digest = hmac.digest(salt, name.encode(), hashlib.sha1)
    return f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"


# What paramiko says when the connection ends, or time does, between the offer of a key and the answer.
UNJUDGED = (
    paramiko.AuthenticationException("Authentication failed: transport shut down or saw EOF"),
    paramiko.AuthenticationException("Authentication timeout."),
)


def test_plain_names_ports_and_hashes() -> None:
    hosts = known(
        "# comment", "", f"one,10.0.0.1 {key(1)} a comment", f"[one]:2222 {key(2)}", f"{hashed('two')} {key(3)}",
        f"one {key(4, 'ssh-rsa')}", "one ssh-ed25519 not!base64", "one",
    )  # fmt: skip
    assert hosts.keys("one") == (key(1), key(4, "ssh-rsa"))
    assert hosts.keys("10.0.0.1") == (key(1),)
    assert hosts.keys("[one]:2222") == (key(2),)
    assert hosts.keys("TWO") == (key(3),)
    assert hosts.keys("three") == ()


def test_patterns_and_revoked_keys() -> None:
    hosts = known(
        f"*.lab,!bad.lab {key(1)}", f"[10.0.0.?]:2200 {key(2)}", f"x {key(3)}", f"@revoked * {key(3)}",
        f"@cert-authority * {key(5)}",
    )  # fmt: skip
    assert hosts.keys("a.lab") == (key(1),)
    assert hosts.keys("bad.lab") == ()
    assert hosts.keys("[10.0.0.7]:2200") == (key(2),)
    assert hosts.keys("x") == ()
    assert hosts.is_revoked(key(3).blob)


def test_files_that_are_missing_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "known").write_text(f"one {key(1)}\n")
    assert KnownHosts.read((tmp_path / "none", tmp_path / "known")).keys("one") == (key(1),)


def test_a_name_among_thousands_is_found_as_quickly_as_among_few() -> None:
    few, many = (known(*(f"host{number} {key(number % 250)}" for number in range(count))) for count in (5, 5000))
    assert many.keys("host4999") == (key(4999 % 250),)
    assert calls_of(lambda: many.keys("host4999")) == calls_of(lambda: few.keys("host4"))


@pytest.mark.parametrize("text", ["", "ssh-ed25519", "ssh-ed25519 ???", f"ssh-rsa {str(key(1)).split()[1]}"])
def test_what_is_no_host_key(text: str) -> None:
    with pytest.raises(ValueError, match="key"):
        parse_host_key(text)


def test_key_text_and_name() -> None:
    assert parse_host_key(f"{key(7)} root@machine") == key(7)
    assert (host_name_of("h", 22), host_name_of("h", 2222)) == ("h", "[h]:2222")


TARGET = Target(name="n1", address="10.0.0.1", port=2222, user="ops", auth="key k")
BEHIND = Target(name="n1", address="10.0.0.1", port=22, user="ops", via="bastion")


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (socket.gaierror(-2, "Name or service not known"), "no DNS entry"),
        (
            paramiko.ssh_exception.NoValidConnectionsError(
                {("10.0.0.1", 22): ConnectionRefusedError(errno.ECONNREFUSED, "refused")}
            ),
            "connection refused",
        ),
        (TimeoutError("timed out"), "no answer"),
        (paramiko.SSHException("No existing session"), "no answer"),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), "cannot be reached"),
        (ConnectionResetError(errno.ECONNRESET, "reset"), "hung up"),
        (paramiko.SSHException("Error reading SSH protocol banner"), "hung up"),
        (EOFError(), "hung up"),
        (paramiko.AuthenticationException("Authentication failed."), "did not let user ops in"),
        (paramiko.SSHException("No authentication methods available"), "did not let user ops in"),
        *((error, "authentication as ops did not complete") for error in UNJUDGED),
        (paramiko.ssh_exception.IncompatiblePeer("no acceptable ciphers"), "no common SSH algorithm"),
        (paramiko.ChannelException(2, "Connect failed"), "jump host cannot reach"),
        (RuntimeError("something new"), "could not be made"),
    ],
)
def test_reasons(error: Exception, what: str) -> None:
    told = explain(error, TARGET)
    assert what in told.what
    assert told.where == "n1 (ops@10.0.0.1:2222)"
    assert told.found
    assert told.todo


def test_a_server_that_did_not_come_to_judge_is_asked_once_more_and_one_that_refused_is_not() -> None:
    assert all(map(is_dropped, UNJUDGED))
    assert not is_dropped(paramiko.AuthenticationException("Authentication failed."))


def test_unknown_key_behind_a_jump_host_is_accepted_through_it() -> None:
    told = explain(HostKeyRefused(key(1), (), pinned=False), BEHIND)
    assert "ssh -J bastion -p 22 ops@10.0.0.1 true" in told.todo
    assert "via bastion" in told.where


def test_ecdsa_key_is_named_as_the_tools_name_it() -> None:
    told = explain(HostKeyRefused(key(1, "ecdsa-sha2-nistp256"), (), pinned=False), TARGET)
    assert "ssh-keyscan -p 2222 -t ecdsa 10.0.0.1" in told.todo
    assert "ssh_host_ecdsa_key.pub" in told.todo


def test_revoked_key_is_refused_as_changed() -> None:
    told = explain(HostKeyRefused(key(1), (), pinned=False, revoked=True), TARGET)
    assert "changed" in told.what
    assert "revoked" in told.needed
