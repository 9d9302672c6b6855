"""The line that names the cause is found among what packages, units and programs print."""

from __future__ import annotations

import pytest

from kprov.apply.cause import collapse, find_cause, find_unready

APT = [
    "Get:1 http://deb.example/debian bookworm InRelease [151 kB]",
    "Reading package lists...",
    "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 812 (unattended-upgr)",
]
UNIT = [
    "kubelet.service: Scheduled restart job, restart counter is at 7.",
    "Started kubelet.service - kubelet.",
    'E1130 14:00:00.000000     812 run.go:72] "command failed" err="could not restore state from checkpoint"',
    "kubelet.service: Main process exited, code=exited, status=1/FAILURE",
    "kubelet.service: Failed with result 'exit-code'.",
]


@pytest.mark.parametrize(
    ("lines", "cause"),
    [
        (APT, APT[-1]),
        (UNIT, UNIT[2]),
        (["Error from server (Forbidden): nodes is forbidden"], "Error from server (Forbidden): nodes is forbidden"),
        (["", "what it is", "more of it"], "what it is"),
        (["kubelet.service: Failed with result 'exit-code'."], ""),
        ([], ""),
    ],
)
def test_the_program_s_own_error_comes_before_what_systemd_says(lines: list[str], cause: str) -> None:
    assert find_cause(lines) == cause


def test_lines_that_repeat_are_shown_once_with_a_count() -> None:
    again = [f"2026-11-30T14:00:0{second} cannot connect to 10.0.0.1" for second in range(3)]
    assert collapse([*again, "gave up"]) == [f"{again[-1]} (3 times)", "gave up"]
    assert collapse(["a 1", "a 2"]) == ["a 1", "a 2"]


def test_checks_that_an_api_server_fails_are_the_cause_and_a_kms_has_a_remedy() -> None:
    head, tail = (
        "Error from server (InternalError): an error on the server (",
        ") has prevented the request from succeeding",
    )
    told = (
        head
        + r'"[+]ping ok\n[+]log ok\n[-]kms-providers failed: reason withheld\n[+]etcd ok\nreadyz check failed"'
        + tail
    )
    found, todo = find_unready(told)
    assert found == "it is not ready: kms-providers fails"
    assert todo.startswith("start the KMS plugin on that host")
    both = told.replace("[+]etcd ok", "[-]etcd failed: reason withheld")
    assert find_unready(both)[0] == "it is not ready: kms-providers, etcd fail"
    assert find_unready(both.replace("[-]kms-providers failed", "[+]kms-providers ok"))[1] == ""
    assert find_unready("Error from server (Forbidden)") == ("", "")
