"""Asking etcdctl and kubectl on a host: arguments arrive as they are, what was said comes back, and what follows a failure
is not done. Both clients are scripts here."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import pytest
from apply_room import Room

from kprov.apply import wire
from kprov.apply.batch import Batch
from kprov.apply.scripts import APPLY_COMMAND
from kprov.apply.sending import send
from kprov.plan.conversation import Answer
from kprov.plan.heartbeat_conversations import later_than, micro_time
from kprov.transport import Result
from kprov.transport.fake import FakeTransport
from kprov.values.events import HostFailed
from kprov.values.model import Connection, Host

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a mount namespace with file systems of its own needs root")

HOST = Host(name="a", groups=frozenset({"etcd"}), connection=Connection(address="192.0.2.1"))


def sent(room: Room, batch: Batch) -> tuple[Sequence[HostFailed], dict[int, Answer]]:
    """What failed, and what was answered, as a run sees it."""

    def answer(_: Host, command: str, stdin: bytes) -> Result:
        assert command == APPLY_COMMAND
        done = room.sh(command, stdin)
        return Result(status=done.returncode, stdout=done.stdout, stderr=done.stderr)

    answers: dict[int, Answer] = {}
    session = FakeTransport(handler=answer).connect(HOST)
    failures = send(session, "etcd", batch, "g", lambda _: None, answered=answers.__setitem__)
    return failures, answers


def ask(batch: Batch, program: wire.Program, *asked: str, stdin: bytes = b"", **more: Any) -> None:
    payload = batch.attach(stdin) if stdin else ""
    batch.add("x", wire.Ask(program=program, asked=asked, stdin=payload, **more))


def folder(batch: Batch, path: str) -> None:
    batch.know(("directory", path), "keep")
    batch.add(path, wire.Directory(path=path, owner="root", group="root", mode="0755", content="keep"))


SHOW = """for word in "$@"; do printf '<%s>\\n' "$word"; done; cat; echo warned >&2"""


def test_words_arrive_as_they_are_and_nothing_of_them_is_run(room: Room) -> None:
    hostile = ("a b", "$(touch /srv/a/pasted)", "`id`", "*", "'\"", "-w", "ü")
    room.stub("/opt/kprov/bin/etcdctl", SHOW)
    batch = Batch()
    ask(batch, "etcdctl", "member", *hostile, stdin=b"one\ntwo")
    failures, answers = sent(room, batch)
    assert not failures
    assert answers[1].ok
    assert answers[1].words == "warned\n"
    *words, one, two = answers[1].text.split("\n")
    assert words[-len(hostile) - 1 :] == [f"<{word}>" for word in ("member", *hostile)]
    assert (one, two) == ("one", "two")
    assert {"<--cacert=/etc/etcd/pki/ca.crt>", "<-w>", "<json>"} <= set(words)
    assert room.text("ls /srv/a") == ""


def test_kubectl_gets_the_credential_and_long_answers_come_whole(room: Room) -> None:
    room.stub("/opt/kprov/bin/kubectl", """cat "$KUBECONFIG"; seq 1 200000; echo "$KUBECACHEDIR" >&2""")
    batch = Batch()
    batch.attach_as("kubeconfig", b"credential\n")
    ask(batch, "kubectl", "get", "pods")
    _, answers = sent(room, batch)
    assert answers[1].text.startswith("credential\n1\n")
    assert answers[1].text.endswith("\n200000\n")
    assert answers[1].words == "/run/kprov/cache\n"


def test_a_failure_is_answered_and_what_follows_it_is_not_done(room: Room) -> None:
    room.stub("/opt/kprov/bin/etcdctl", "echo partly; echo 'Error: no' >&2; exit 7")
    batch = Batch()
    folder(batch, "/srv/a/before")
    ask(batch, "etcdctl", "member", "list")
    ask(batch, "etcdctl", "member", "add")
    folder(batch, "/srv/a/after")
    failures, answers = sent(room, batch)
    assert not failures, "whoever asked decides"
    assert answers == {2: Answer(code=7, text="partly\n", words="Error: no\n")}
    assert room.text("ls /srv/a; cat /var/lib/kprov/generation") == "before\ng\n", "what was done is recorded"


COUNTED = """
    n=$(cat /srv/asked 2> /dev/null || echo 0)
    echo $((n + 1)) > /srv/asked
    [ $n -lt 2 ] || { echo '{}'; exit 0; }
    echo "Error: etcdserver: $(cat /srv/word)" >&2; exit 1
"""


@pytest.mark.parametrize(
    ("word", "seconds", "code", "times"),
    [("unhealthy cluster", 20, 0, 3), ("member not found", 20, 1, 1), ("unhealthy cluster", 0, 1, 1)],
)
def test_a_failure_that_passes_is_asked_again_until_time_is_up(
    room: Room, word: str, seconds: int, code: int, times: int
) -> None:
    room.stub("/opt/kprov/bin/etcdctl", COUNTED)
    room.text(f"echo {word} > /srv/word")
    batch = Batch()
    again = "etcdserver: no leader|etcdserver: unhealthy cluster"
    ask(batch, "etcdctl", "member", "remove", again=again, seconds=seconds)
    _, answers = sent(room, batch)
    assert (answers[1].code, int(room.text("cat /srv/asked"))) == (code, times)


DRAINS = """
    for node in "$@"; do :; done
    echo "$node" >> /srv/begun
    until [ "$(sort -u /srv/begun | wc -l)" = 2 ]; do sleep 0.05; done # only side by side will this end
    n=$(grep -c "^$node\\$" /srv/begun)
    echo "$* attempt $n"
    [ "$node" = w1 ] || [ "$n" -ge 2 ] || { echo "$node is stuck" >&2; exit 1; }
"""


def test_each_of_some_words_is_asked_side_by_side_and_only_those_that_fail_again(room: Room) -> None:
    room.stub("/opt/kprov/bin/kubectl", DRAINS)
    batch = Batch()
    ask(batch, "kubectl", "drain", "--timeout=10s", each=("w1", "w2"), again=".", seconds=30)
    _, answers = sent(room, batch)
    assert answers[1] == Answer(code=0, text="drain --timeout=10s w1 attempt 1\ndrain --timeout=10s w2 attempt 2\n")
    assert room.text("sort /srv/begun") == "w1\nw2\nw2\n"


def test_of_those_that_fail_to_the_end_the_words_are_told(room: Room) -> None:
    room.stub(
        "/opt/kprov/bin/kubectl",
        'for node in "$@"; do :; done; [ $node = w1 ] || { echo "$node is stuck" >&2; exit 3; }',
    )
    batch = Batch()
    ask(batch, "kubectl", "drain", each=("w1", "w2", "w3"), again=".", seconds=1)
    folder(batch, "/srv/a/after")
    _, answers = sent(room, batch)
    assert answers[1] == Answer(code=3, words="w2 is stuck\nw3 is stuck\n")
    assert room.text("ls /srv/a") == ""


def test_it_is_asked_until_the_answer_is_the_one_that_is_waited_for(room: Room) -> None:
    count = "n=$(cat /srv/asked 2> /dev/null || echo 0); echo $((n + 1)) > /srv/asked"
    room.stub("/opt/kprov/bin/kubectl", f"{count}; [ $n -ge 2 ] && echo True || echo False")
    batch = Batch()
    ask(batch, "kubectl", "get", until="^True", seconds=30)
    folder(batch, "/srv/a/after")
    _, answers = sent(room, batch)
    assert answers == {1: Answer(code=0, text="True\n")}
    assert room.text("cat /srv/asked; ls /srv/a") == "3\nafter\n"


def test_each_line_of_an_answer_is_what_is_waited_for(room: Room) -> None:
    """As heartbeats are: by an expression that grep and Python read alike."""
    since = micro_time(1796040005000000)
    count = "n=$(cat /srv/asked 2> /dev/null || echo 0); echo $((n + 1)) > /srv/asked"
    answers = "echo 'a  2026-11-30T12:00:06.000000Z'; [ $n = 0 ] || echo \"b  2026-11-30T12:00:05.00000$((n - 1))Z\""
    room.stub("/opt/kprov/bin/kubectl", f"{count}; {answers}")
    batch = Batch()
    ask(batch, "kubectl", "get", until=f"^(a|b) +{later_than(since)}", seconds=30)
    ask(batch, "kubectl", "get", until="^(a|b) +2027", seconds=1)
    _, given = sent(room, batch)
    assert given[1].text == "a  2026-11-30T12:00:06.000000Z\n", (
        "one line that matches is enough where it is the only one"
    )
    room.text("echo 1 > /srv/asked")
    batch = Batch()
    ask(batch, "kubectl", "get", until=f"^(a|b) +{later_than(since)}", seconds=30)
    _, given = sent(room, batch)
    assert given[1].text.endswith("b  2026-11-30T12:00:05.000001Z\n")
    assert room.text("cat /srv/asked") == "3\n"


def test_an_empty_answer_is_not_what_is_waited_for(room: Room) -> None:
    room.stub("/opt/kprov/bin/kubectl", "[ -e /srv/later ] && echo True || : > /srv/later")
    batch = Batch()
    ask(batch, "kubectl", "get", until="^True", seconds=30)
    _, answers = sent(room, batch)
    assert answers[1].text == "True\n"


def test_what_is_not_answered_in_time_ends_the_exec_as_it_is(room: Room) -> None:
    room.stub("/opt/kprov/bin/kubectl", "echo False")
    batch = Batch()
    ask(batch, "kubectl", "get", until="^True", seconds=1)
    folder(batch, "/srv/a/after")
    failures, answers = sent(room, batch)
    assert not failures
    assert answers == {1: Answer(code=0, text="False\n")}
    assert room.text("ls /srv/a") == ""


@pytest.mark.parametrize("flags", ["--initial-cluster=a=b --initial-cluster-state=new", ""])
def test_what_etcd_starts_with_is_a_file_for_root_alone(room: Room, flags: str) -> None:
    room.text("cp -a /etc /srv/etc && mount --bind /srv/etc /etc && mkdir -p /etc/etcd")
    batch = Batch()
    batch.know(("file", "/etc/etcd/join.env"))
    batch.add("flags", wire.EtcdFlags(flags=flags))
    assert room.apply(batch)[-1][0] == "done"
    assert room.text("cat /etc/etcd/join.env; stat -c %a /etc/etcd/join.env") == f"ETCD_JOIN={flags}\n600\n"


LISTS = """
    case "$*" in
    *"get --raw /api/v1/secrets?limit=500"*)
        printf '{"kind":"SecretList","apiVersion":"v1","metadata":{"resourceVersion":"9","continue":"tok"},"items":['
        printf '{"metadata":{"name":"a"},"data":{"continue":"c2VjcmV0"}}]}' ;;
    *"get --raw /apis/x/v1/things?limit=500"*)
        printf '{"apiVersion":"x/v1","items":[{"metadata":{"continue":"no"}}],'
        printf '"kind":"ThingList","metadata":{"continue":"end"}}' ;;
    *"get --raw /metrics"*) printf 'm_info{hash="a"} 1\\nother{hash="b"} 1\\n'; echo "$*" > /srv/server ;;
    *replace*) for file in "$@"; do :; done; cp "$file" /srv/page; stat -c %a "$file" > /srv/mode
        printf 'secret/a\\nsecret/b\\n'; echo 'Error from server (Conflict): c' >&2; exit 1 ;;
    esac
"""


def test_objects_are_written_again_and_nothing_of_them_leaves_the_host(room: Room) -> None:
    room.stub("/opt/kprov/bin/kubectl", LISTS)
    batch = Batch()
    batch.attach_as("kubeconfig", b"credential\n")
    ask(batch, "rewrite", "/api/v1/secrets?limit=500")
    _, answers = sent(room, batch)
    assert answers[1].ok
    assert answers[1].text == '{"resourceVersion":"9","continue":"tok"}\n2\n'
    assert answers[1].words == "Error from server (Conflict): c\n"
    assert "c2VjcmV0" in room.text("cat /srv/page")
    assert room.text("cat /srv/mode") == "600\n"
    assert room.text("find /run -name page") == ""


def test_a_list_of_custom_resources_says_of_itself_at_its_end(room: Room) -> None:
    room.stub("/opt/kprov/bin/kubectl", LISTS)
    batch = Batch()
    batch.attach_as("kubeconfig", b"credential\n")
    ask(batch, "rewrite", "/apis/x/v1/things?limit=500")
    _, answers = sent(room, batch)
    assert answers[1].text.splitlines()[0] == '{"continue":"end"}'


def test_of_an_api_servers_metrics_one_is_answered(room: Room) -> None:
    room.stub("/opt/kprov/bin/kubectl", LISTS)
    batch = Batch()
    batch.attach_as("kubeconfig", b"credential\n")
    ask(batch, "metrics", "https://192.0.2.7:6443", "m_info", until='hash="a"', seconds=5)
    _, answers = sent(room, batch)
    assert answers[1].text == 'm_info{hash="a"} 1\n'
    assert "--server=https://192.0.2.7:6443" in room.text("cat /srv/server")
