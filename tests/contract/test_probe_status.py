"""What probe.sh answers to `kprov status`: each kind of health question asked of stub programs, and who is asked at all."""

from __future__ import annotations

from dataclasses import replace

import pytest
from apply_room import Room

from kprov.observe.probe import PROBE_COMMAND, Question, probe_program
from kprov.values.components import COMPONENTS

UNITS = "/etc/systemd/system"
# Says of `broken` what it is asked for, in words and as an exit code.
REFUSES = 'echo "$0 $*" >> /srv/asked; case "$*" in *@broken@*) exit 22 ;; esac'


def put(room: Room, *units: str) -> None:
    there = " ".join(f"{UNITS}/{unit}.service" for unit in units)
    assert room.sh(f"mount -t tmpfs tmpfs {UNITS} && touch {there} && mkdir -p /opt/kprov/bin").returncode == 0
    room.stub(
        "systemctl",
        'case "$1" in show) echo 0 ;; *) echo "systemctl $*" >> /srv/asked; [ "$3" != gone.service ] ;; esac',
    )


def ask(room: Room, queries: list[tuple[str, ...]]) -> list[list[str]]:
    done = room.sh(PROBE_COMMAND, probe_program(queries))
    assert done.returncode == 0, done.stderr
    rows = [line.split("\t") for line in done.stdout.decode().splitlines()]
    return [row for row in rows if row[0] in ("health", "version")]


QUESTIONS = {
    "http": ("http", "{} /readyz", "curl -fs -o /dev/null --max-time 2 http://127.0.0.1:{}/readyz"),
    "api": ("api", "/readyz-{}", "get --raw /readyz-{}"),
    "socket": (
        "socket",
        "/run/{}.sock http://docker/_ping",
        "curl -fsS -o /dev/null --max-time 5 --unix-socket /run/{}.sock http://docker/_ping",
    ),
    "command": ("command", "ctr version {}", "ctr version {}"),
}


@pytest.mark.parametrize("kind", QUESTIONS)
@pytest.mark.parametrize("what", ["1234", "broken"])
def test_health_is_asked_as_the_record_says(room: Room, kind: str, what: str) -> None:
    put(room, "one")
    for program in ("curl", "/opt/kprov/bin/kubectl", "/opt/kprov/bin/ctr"):
        room.stub(program, REFUSES.replace("@broken@", "broken"))
    name, argument, asked = QUESTIONS[kind]
    answer = ask(room, [("status", "one", "-", name, argument.format(what))])
    assert answer == [["health", "one", "failing" if what == "broken" else "ok"]]
    assert asked.format(what) in room.text("cat /srv/asked")


@pytest.mark.parametrize(("state", "health"), [("ok", "ok"), ("error", "failing")])
def test_a_containerd_is_well_when_it_serves_cri(room: Room, state: str, health: str) -> None:
    put(room, "one")
    room.stub("/opt/kprov/bin/ctr", f"echo 'io.containerd.grpc.v1  cri  -  {state}  '")
    assert ask(room, [("status", "one", "-", "cri", "/run/x.sock")]) == [["health", "one", health]]


def test_units_of_no_record_are_asked_of_systemd_and_those_that_are_not_there_of_nobody(room: Room) -> None:
    put(room, "one", "gone", "old")
    assert (
        room.sh("mkdir -p /var/lib/kprov && cat > /var/lib/kprov/ledger", b"unit\told.service\t-\t-\t-\n").returncode
        == 0
    )
    queries = [("status", name, "-", "active", "-") for name in ("one", "gone", "absent")]
    assert ask(room, queries) == [["health", "one", "ok"], ["health", "gone", "failing"], ["health", "old", "ok"]]


@pytest.mark.parametrize("well", [True, False])
def test_an_api_server_is_asked_about_its_kms_and_what_it_says_comes_back(room: Room, well: bool) -> None:
    room.stub("systemctl", '[ "$1" = is-active ]')
    says = "ok" if well else 'Error from server (InternalError): ("kms-provider-0: away") has prevented the request'
    room.stub(
        "/opt/kprov/bin/kubectl",
        f"cat $2 >> /srv/asked; echo \"$*\" >> /srv/asked; echo '{says}' >&2; {str(well).lower()}",
    )
    seen = room.observe(Question(kubeconfig=b"the credential\n", kms=True, facts=False))
    assert seen.kms == ("" if well else f"{says}\n")
    asked = room.text("cat /srv/asked")
    assert asked.startswith("the credential\n--kubeconfig ")
    assert asked.endswith("get --raw /readyz/kms-providers\n")
    assert room.observe(Question(kubeconfig=b"x", facts=False)).kms == ""
    room.stub("systemctl", "false")
    assert room.observe(Question(kubeconfig=b"x", kms=True, facts=False)).kms == ""
    assert room.text("cat /srv/asked") == asked


def test_policies_of_users_are_counted_by_namespace_and_those_of_add_ons_are_not(room: Room) -> None:
    room.stub("systemctl", '[ "$1" = is-active ]')
    listed = """case "$*" in
    *networkpolicies*-l*managed-by!=kprov*) printf 'shop\\nshop\\nweb\\n' ;;
    *networkpolicies*) printf 'monitoring\\n' ;;
    *configmap*) ;;
    *) echo '{"items": []}' ;;
    esac"""
    room.stub("/opt/kprov/bin/kubectl", listed)
    seen = room.observe(Question(kubeconfig=b"x", selector="a=b", kinds="node", facts=False))
    assert seen.policies == {"shop": 2, "web": 1}


def test_a_version_is_asked_of_the_program_under_the_name_of_its_unit(room: Room) -> None:
    put(room, "dockerd-containerd")
    room.stub("/opt/kprov/bin/containerd", 'echo "containerd $1 2.3.7"; echo more')
    query = ("status", "dockerd-containerd", "containerd", "active", "-")
    assert ask(room, [query])[0] == ["version", "dockerd-containerd", "containerd --version 2.3.7"]


def test_a_run_asks_for_no_component() -> None:
    """What `kprov status` costs is nothing that a run pays for."""
    asked = {query[0] for query in Question().queries()}
    assert "status" not in asked
    told = [query for query in Question(status=True).queries() if query[0] == "status"]
    assert [query[1] for query in told] == [component.name for component in COMPONENTS]


KUBECTL = """
case "$*" in
*' get configmap '*) ;;
*networkpolicies*) ;;
*'run kprov-probe '*'--dry-run=server'*) echo asked >> /srv/runs; cat /srv/answer >&2; exit 1 ;;
*) echo '{"items": []}' ;;
esac
"""
DEAD = 'Error from server (InternalError): Internal error occurred: failed calling webhook "gate.example.org": no endpoints'
DENIED = "Error from server (Forbidden): admission webhook denied the request: no label"


@pytest.mark.parametrize(("answer", "told"), [(DEAD, DEAD), (DENIED, "")])
def test_an_api_server_is_asked_whether_it_would_make_a_pod(room: Room, answer: str, told: str) -> None:
    put(room, "kube-apiserver")
    room.stub("/opt/kprov/bin/kubectl", KUBECTL)
    room.sh("cat > /srv/answer", answer.encode())
    question = Question(kubeconfig=b"x", selector="a=b", kinds="pods", facts=False)
    assert room.observe(question).webhook_error == ""  # a run does not ask
    assert room.sh("ls /srv/runs").returncode != 0
    seen = room.observe(replace(question, status=True))
    assert seen.objects == ()
    assert seen.webhook_error == told
