"""The line a login shell is given, and what is made of its refusals."""

from __future__ import annotations

import shlex
import subprocess

import pytest

from kprov.transport.shell import AfterMark, not_started, printable, wrap
from kprov.values.secret import Secret


def test_root_needs_no_sudo() -> None:
    wrapped = wrap("id -u", sudo=False)
    assert "sudo" not in wrapped.line
    assert wrapped.prompt is None
    assert wrap("id -u", sudo=False).mark != wrapped.mark


def test_sudo_without_password_never_prompts() -> None:
    assert shlex.split(wrap("id -u", sudo=True).line)[:6] == ["exec", "env", "LC_ALL=C", "sudo", "-n", "--"]


def test_password_is_not_in_the_line() -> None:
    wrapped = wrap("id -u", sudo=True, password=Secret("tell nobody"))
    assert "tell nobody" not in wrapped.line
    assert "tell nobody" not in repr(wrapped)
    assert wrapped.prompt is not None
    assert shlex.split(wrapped.line)[3:8] == ["sudo", "-S", "-k", "-p", wrapped.prompt.decode()]


def test_wrapped_line_runs_marks_then_the_command() -> None:
    wrapped = wrap('printf \'%s|\' "$LC_ALL" "it\'s"; exit 9', sudo=False, timeout=20)
    done = subprocess.run(["sh", "-c", wrapped.line], capture_output=True, env={"PATH": "/usr/bin:/bin"})
    assert done.returncode == 9
    assert done.stdout == wrapped.mark + b"C|it's|"
    assert done.stderr == wrapped.mark


def test_the_host_ends_a_command_too() -> None:
    assert " timeout -k 5 4 sh -c " in wrap("x", sudo=True, timeout=2.5).line
    assert "timeout" not in wrap("x", sudo=True).line


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
def test_mark_is_found_however_it_is_split(size: int) -> None:
    after = AfterMark(b"MARK")
    data = b"motd\nMAMARKMARK out"
    got = b"".join(after.feed(data[start : start + size]) for start in range(0, len(data), size))
    assert (after.seen, after.before, got) == (True, b"motd\nMA", b"MARK out")


def test_noise_is_bounded() -> None:
    after = AfterMark(b"MARK")
    for _ in range(100):
        assert after.feed(bytes(10_000)) == b""
    assert len(after.before) == 64 * 1024
    assert after.feed(b"MARKx") == b"x"


@pytest.mark.parametrize(
    ("said", "what"),
    [
        ("sudo: a password is required", "sudo asks for a password"),
        ("Sorry, try again.\nsudo: 1 incorrect password attempt", "sudo refused the password"),
        ("sudo: sorry, you must have a tty to run sudo", "sudo refuses to run without a terminal"),
        ("bob is not in the sudoers file.  This incident will be reported.", "the user may not use sudo"),
        ("Sorry, user bob is not allowed to execute '/bin/sh' as root on h.", "the user may not use sudo"),
        ("Sorry, user bob may not run sudo on h.", "the user may not use sudo"),
        ("env: 'sudo': No such file or directory", "sudo is not installed"),
        ("sudo: Account or password is expired, reset your password", "the account or its password has expired"),
        ("This account is currently not available.", "the login shell did not run the command"),
    ],
)
def test_refusals(said: str, what: str) -> None:
    error = not_started("h1 (bob@h1:22)", said.encode(), 1, sudo=True)
    assert error.what == what
    assert error.where == "h1 (bob@h1:22)"
    assert error.todo
    assert said.splitlines()[-1] in error.log


def test_refusal_without_sudo_is_the_shells() -> None:
    assert not_started("h", b"incorrect password", 1, sudo=False).what == "the login shell did not run the command"


def test_hostile_output_is_defused() -> None:
    text = printable(b"\x1b[2J\x1b]0;title\x07red\xff\r\n" + b"x" * 1000 + b"\n\x00end\n", lines=2)
    assert text == "x" * 300 + "\n?end"
    assert "\x1b" not in printable(b"\x1b[31mred")
