"""Passwords: taken by reference, never from the file, and never shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from inventory_text import cluster, loaded, mistakes, only, with_hosts

CANARY = "hunter2-canary"


def test_a_password_from_the_environment_is_a_secret() -> None:
    made = loaded(cluster("password: {env: PW}"), {"PW": CANARY})
    secret = made.cluster.hosts[0].connection.password
    assert secret is not None
    assert secret.reveal() == CANARY
    assert CANARY not in repr(made)


def test_a_password_from_a_file_ends_before_the_line_break(tmp_path: Path) -> None:
    file = tmp_path / "pw"
    file.touch(mode=0o600)
    file.write_text(f"{CANARY} \n")
    hosts = loaded(cluster("become_password: {file: pw}"), path=tmp_path / "i.yaml").cluster.hosts
    assert [host.connection.become_password and host.connection.become_password.reveal() for host in hosts] == [
        f"{CANARY} "
    ] * 2
    assert hosts[0].connection.password is None


def test_the_nearest_password_wins() -> None:
    text = with_hosts("w1: {address: 192.0.2.21, password: {env: OWN}}").replace(
        "name: test", "name: test\n  password: {env: ALL}"
    )
    found = [host.connection.password for host in loaded(text, {"ALL": "a", "OWN": "b"}).cluster.hosts]
    assert [secret and secret.reveal() for secret in found] == ["a", "b"]


@pytest.mark.parametrize(
    "text", [CANARY, f"'{CANARY}'", f"[{CANARY}]", "123456", f"-{CANARY}", f'"{CANARY}\\t"', "yes", f"!{CANARY} x"]
)
def test_a_password_in_the_file_is_refused_and_not_shown(text: str) -> None:
    found = mistakes(cluster(f"password: {text}"))
    assert {mistake.where for mistake in found} == {"i.yaml:3:13"}
    shown = "\n".join(map(str, found))
    assert CANARY not in shown
    assert "123456" not in shown


def test_the_refusal_says_what_to_write() -> None:
    mistake = only(cluster("become_password: hunter2"))
    assert mistake.where == "i.yaml:3:20"
    assert "may not stand in the inventory" in mistake.what
    assert "{env: NAME}" in mistake.todo


@pytest.mark.parametrize(
    ("reference", "what"),
    [
        ("{env: MISSING}", "MISSING is not set"),
        ("{env: EMPTY}", "EMPTY is not set or empty"),
        ("{}", "exactly one of"),
        ("{env: PW, file: pw}", "exactly one of"),
        ("{file: none}", "cannot be read: No such file"),
        ("{file: open}", "may be read by others"),
        ("{file: empty}", "does not hold a password"),
        ("{file: lines}", "does not hold a password"),
        ("{file: large}", "does not hold a password"),
        ("{file: latin}", "not UTF-8"),
    ],
)
def test_references_that_lead_nowhere(reference: str, what: str, tmp_path: Path) -> None:
    contents = {"empty": b"\n", "lines": b"a\nb\n", "large": b"a" * 5000, "latin": b"\xe4", "open": CANARY.encode()}
    for name, content in contents.items():
        (tmp_path / name).touch(mode=0o600)
        (tmp_path / name).write_bytes(content)
    (tmp_path / "open").chmod(0o640)
    text = with_hosts(f"w1: {{address: 192.0.2.21, password: {reference}}}")
    mistake = only(text, {"PW": CANARY, "EMPTY": ""}, tmp_path / "i.yaml")
    assert mistake.where.endswith("i.yaml:5:39")
    assert mistake.what.startswith("hosts.w1.password: ")
    assert what in mistake.what
    assert CANARY not in str(mistake)


def test_a_variable_name_that_is_none_is_not_shown() -> None:
    mistake = only(cluster(f"password: {{env: '{CANARY} x'}}"))
    assert mistake.where == "i.yaml:3:19"
    assert CANARY not in str(mistake)
