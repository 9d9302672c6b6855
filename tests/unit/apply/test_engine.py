"""The engine over a fake transport: batches, failures, answers, and how many execs a run costs."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from observed import bare
from sent import answer_line, cluster_says, received, words

from kprov.addon.desired import AddonObjects
from kprov.apply import wire
from kprov.apply.batch import Batch
from kprov.apply.engine import Engine
from kprov.apply.operations import Sources
from kprov.apply.right_of_way import RightOfWay
from kprov.apply.sending import send
from kprov.objects.objects import ObjectChange, identity
from kprov.observe.observation import EtcdMember
from kprov.observe.surroundings import Surroundings
from kprov.plan.cluster import ClusterPlan
from kprov.plan.conversation import Answer
from kprov.plan.etcd import Membership, Peer
from kprov.plan.host import Change, HostPlan, Restart
from kprov.plan.rolls import Canary, Parallel, Serial, host_batches
from kprov.plan.stages import STAGES
from kprov.plan.upgrades import NodeUpgrades
from kprov.transport.base import Result
from kprov.transport.fake import FakeTransport
from kprov.values.addon import Addon, Description
from kprov.values.errors import TransportError
from kprov.values.events import Event, HostEnded, HostFailed, HostStarted, OperationDone, StageStarted
from kprov.values.model import Cluster, Connection, Host, NetworkSettings, UpgradeSettings
from kprov.values.resources import File, Unit

NO_UPGRADES = NodeUpgrades()
NO_MEMBERSHIP = Membership()


def host(name: str) -> Host:
    return Host(name=name, groups=frozenset({"control_plane", "etcd"}), connection=Connection(address=name))


def plan(name: str, *, running: bool = False, stage: str = "api-server", files: int = 1) -> HostPlan:
    changes = tuple(
        Change(
            stage=stage,
            key=("file", f"/etc/x/{number}"),
            action="create",
            reasons=("it is not there",),
            resource=File(path=f"/etc/x/{number}", content=b"x" * number),
        )
        for number in range(files)
    )
    unit = Unit(name="x.service", content=b"")
    restarts = (Restart(stage=stage, unit=unit, reason="it is new", running=running),)
    return HostPlan(host=name, changes=changes, restarts=restarts, stamps={"x.service": "s"}, unstamps={})


def test_hosts_that_serve_go_one_by_one_after_those_that_do_not() -> None:
    plans = {"a": plan("a", running=True), "b": plan("b"), "c": plan("c", running=True), "d": plan("d")}
    assert host_batches(Serial(), "api-server", plans) == [["b", "d"], ["a"], ["c"]]


def test_a_canary_goes_before_the_rest() -> None:
    plans = {name: plan(name, running=True) for name in "abc"}
    assert host_batches(Canary(), "api-server", plans) == [["a"], ["b", "c"]]
    assert host_batches(Canary(), "api-server", {name: plan(name) for name in "ab"}) == [["a", "b"]]


def test_parallel_stages_are_one_batch_and_idle_hosts_are_in_none() -> None:
    plans = {"a": plan("a"), "b": plan("b", stage="node")}
    assert host_batches(Parallel(), "api-server", plans) == [["a"]]
    assert host_batches(Parallel(), "api-server", {}) == []


def obeying(_: Host, __: str, stdin: bytes) -> Result:
    said = ""
    for number, operation in enumerate(received(stdin), start=1):
        said += answer_line(number, cluster_says(operation)) if isinstance(operation, wire.Ask) else ""
        said += f"ok\t{number}\tLQ==\n"
    said += "done\t0\tLQ==\n"
    return Result(status=0, stdout=said.encode(), stderr=b"")


def failing(at: int) -> Callable[[Host, str, bytes], Result]:
    def answer(_: Host, __: str, ___: bytes) -> Result:
        log = base64.b64encode(b"first line\nsecond \x1b[2Jline").decode()
        return Result(status=1, stdout=f"ok\t1\tLQ==\nfail\t{at}\t{log}\n".encode(), stderr=b"")

    return answer


def batch() -> Batch:
    made = Batch()
    made.add("file /a", wire.Mode(path="/a", owner="root", group="root", mode="0644"))
    made.add("unit x.service: http 80 /ok", wire.Gate(unit="x.service", kind="http", seconds=60, argument="80 /ok"))
    return made


def sent(handler: Callable[[Host, str, bytes], Result], **transport: object) -> tuple[HostFailed | None, list[Event]]:
    """What failed, if anything did, and what was told."""
    heard: list[Event] = []
    fake = FakeTransport(handler=handler, **transport)  # type: ignore[arg-type]
    failures = send(fake.connect(host("a")), "api-server", batch(), "g", heard.append)
    assert len(failures) <= 1
    return next(iter(failures), None), heard


def test_every_operation_is_told_as_it_is_done() -> None:
    failure, heard = sent(obeying)
    assert failure is None
    assert [event.title for event in heard if isinstance(event, OperationDone)] == ["file /a", batch().steps[1].title]


def test_a_failure_names_resource_expectation_finding_and_log() -> None:
    failure, _ = sent(failing(2))
    assert failure is not None
    assert failure.resource == "unit x.service: http 80 /ok"
    assert failure.expected == "http 80 /ok within 60 s"
    assert failure.found == "first line"
    assert "\x1b" not in failure.log
    assert failure.todo


def test_an_api_server_that_waits_for_its_kms_is_told_with_the_remedy() -> None:
    log = 'Error from server (InternalError): ("[+]ping ok\\n[-]kms-providers failed: reason withheld\\n")'
    said = f"ok\t1\nfail\t2\t{base64.b64encode(log.encode()).decode()}\n".encode()
    failure, _ = sent(lambda *_: Result(status=1, stdout=said, stderr=b""))
    assert failure is not None
    assert failure.found == "it is not ready: kms-providers fails"
    assert failure.todo.startswith("start the KMS plugin on that host")


def test_of_a_unit_that_does_not_stay_up_its_own_last_words_come_first() -> None:
    """Its journal may hold older lines that read more like an error."""
    log = "why: it ended 5 times within 9 s\nE1130 18:03:42.555269 9069 x.go:72] of an hour ago"
    asked = Batch()
    asked.add("unit x.service: stays up", wire.Steady(unit="x.service", seconds=60))
    said = f"fail\t1\t{base64.b64encode(log.encode()).decode()}\n".encode()
    fake = FakeTransport(handler=lambda *_: Result(status=1, stdout=said, stderr=b""))
    (failure,) = send(fake.connect(host("a")), "api-server", asked, "g", lambda _: None)
    assert failure.found == "why: it ended 5 times within 9 s"


def test_a_shell_that_ends_early_and_a_full_disk_are_told() -> None:
    failure, _ = sent(lambda *_: Result(status=72, stdout=b"", stderr=b"tar: no space left"))
    assert failure is not None
    assert "no space left" in failure.log
    assert "df -h" in failure.todo


def test_a_lost_connection_says_how_to_go_on() -> None:
    failure, _ = sent(obeying, drop_before={"a": 1})
    assert failure is not None
    assert "again" in failure.todo


def test_what_the_connection_knows_to_do_is_told_and_not_to_run_it_again() -> None:
    def refused(*_: object) -> Result:
        raise TransportError("no further session", found="refused", needed="MaxSessions 10", todo="raise MaxSessions")

    failure, _ = sent(refused)
    assert failure is not None
    assert (failure.expected, failure.todo) == ("MaxSessions 10", "raise MaxSessions")
    assert failure.found == "no further session: refused"


def engine(
    plans: dict[str, HostPlan],
    fake: FakeTransport,
    heard: list[Event],
    upgrades: NodeUpgrades = NO_UPGRADES,
    membership: Membership = NO_MEMBERSHIP,
) -> Engine:
    cluster = Cluster(name="c", versions={"kubernetes": "1.37.2"}, hosts=tuple(map(host, plans)))
    whole = ClusterPlan(
        hosts=plans,
        membership=membership,
        peers=(),
        objects=(),
        objects_known=True,
        desired_objects=(),
        not_ready=(),
        upgrades=upgrades,
    )
    return Engine(
        rewritten=lambda *_: None,
        cluster=cluster,
        plan=whole,
        observations={name: bare() for name in plans},
        sessions={name: fake.connect(host(name)) for name in plans},
        sources=lambda _: Sources(issue=lambda _: (b"", b""), packed=lambda _: None, download=lambda _: None),  # type: ignore[arg-type, return-value]
        kubeconfig=lambda: b"",
        bundle={},
        generation="g",
        emit=heard.append,
    )


def test_a_host_that_fails_stops_the_next_batch_but_not_its_own() -> None:
    def answer(asked: Host, command: str, stdin: bytes) -> Result:
        return failing(1)(asked, command, stdin) if asked.name == "a" else obeying(asked, command, stdin)

    heard: list[Event] = []
    plans = {"a": plan("a"), "b": plan("b"), "c": plan("c", running=True)}
    running = engine(plans, FakeTransport(handler=answer), heard)
    running.run()
    assert [failure.host for failure in running.failures] == ["a"]
    assert {event.host for event in heard if isinstance(event, HostEnded)} == {"b"}
    assert [event.stage for event in heard if isinstance(event, StageStarted)] == ["api-server"]


@pytest.mark.parametrize("files", [1, 200])
def test_a_stage_costs_one_exec_a_host_however_many_files_change(files: int) -> None:
    fake = FakeTransport(handler=obeying)
    plans = {name: plan(name, files=files) for name in "ab"}
    engine(plans, fake, []).run()
    # One for the stage, and one in the end whether what was started stays up; the first control plane is asked by that
    # exec for "ready", and writes down in another one that all was seen well.
    assert [fake.counters[name].execs for name in "ab"] == [3, 2]
    assert [fake.counters[name].connections for name in "ab"] == [1, 1]


def founding(*, fails: tuple[str, str] = ("", "")) -> tuple[Engine, list[Event]]:
    """A first run of a control plane and a worker. fails: the host and the stage in which it does."""

    def answer(asked: Host, command: str, stdin: bytes) -> Result:
        paths = [one.path for one in received(stdin) if isinstance(one, wire.File)]
        broken = asked.name == fails[0] and any(path.startswith(f"/etc/{fails[1]}/") for path in paths)
        return failing(1)(asked, command, stdin) if broken else obeying(asked, command, stdin)

    def step(stage: str, unit: str) -> tuple[Change, Restart]:
        file = File(path=f"/etc/{stage}/x", content=b"x")
        change = Change(stage=stage, key=file.key, action="create", reasons=("it is not there",), resource=file)
        return change, Restart(stage=stage, unit=Unit(name=unit, content=b""), reason="it is new", running=False)

    def whole(name: str, **units: str) -> HostPlan:
        steps = [step(stage.replace("_", "-"), unit) for stage, unit in units.items()]
        changes, restarts = zip(*steps, strict=True)
        stamps = {restart.unit.name: "s" for restart in restarts}
        return HostPlan(host=name, changes=changes, restarts=restarts, stamps=stamps, unstamps={})

    node = {"runtime": "containerd.service", "node": "kubelet.service"}
    heard: list[Event] = []
    cp = whole("cp", host="x.service", api_server="kube-apiserver.service", **node)
    plans = {"cp": cp, "w": whole("w", **node)}
    return engine(plans, FakeTransport(handler=answer), heard), heard


def test_a_worker_that_serves_nothing_does_not_wait_for_the_control_plane() -> None:
    running, heard = founding()
    running.run()
    assert not running.failures
    begun = [(event.stage, event.host) for event in heard if isinstance(event, HostStarted)]
    assert begun.pop(0) == ("host", "cp")
    assert sorted(begun[:2]) == [("api-server", "cp"), ("runtime", "w")], "side by side"
    assert begun.count(("runtime", "w")) == 1
    assert ("runtime", "cp") not in begun, "it is a part of the API server's exec"


class Ordered(RightOfWay):
    """Writes down which paths went first, and which gave way."""

    def __init__(self) -> None:
        super().__init__()
        self.first: set[str] = set()
        self.later: set[str] = set()

    def go_first(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        return self._written(pieces, self.first)

    def give_way(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        return self._written(pieces, self.later)

    def _written(self, pieces: Iterator[bytes], paths: set[str]) -> Iterator[bytes]:
        whole = list(pieces)
        paths |= {one.path for one in received(b"".join(whole)) if isinstance(one, wire.File)}
        return iter(whole)


def test_what_the_run_waits_for_is_sent_before_what_began_ahead_and_what_comes_beside() -> None:
    running, _ = founding()
    way = running._way = Ordered()
    running.run()
    assert not running.failures
    assert way.first == {"/etc/host/x", "/etc/api-server/x", "/etc/node/x"}
    assert way.later == {"/etc/runtime/x"}, "of the worker, and of the control plane beside its API server"


def test_what_began_ahead_is_told_when_the_run_ends_before_its_turn() -> None:
    running, heard = founding(fails=("cp", "api-server"))
    running.run()
    assert [(failure.stage, failure.host) for failure in running.failures] == [("api-server", "cp")]
    assert ("runtime", "w") in told(heard), "it is finished"
    assert {stage for stage, _ in told(heard)} == {"host", "runtime"}


def test_nothing_is_begun_ahead_when_the_stage_that_it_needs_failed() -> None:
    running, heard = founding(fails=("cp", "host"))
    running.run()
    assert [(failure.stage, failure.host) for failure in running.failures] == [("host", "cp")]
    assert {event.stage for event in heard if isinstance(event, HostStarted)} == {"host"}


def test_what_fails_ahead_ends_the_run_where_the_stage_has_its_turn() -> None:
    running, heard = founding(fails=("w", "runtime"))
    running.run()
    assert [(failure.stage, failure.host) for failure in running.failures] == [("runtime", "w")]
    assert ("api-server", "cp") in told(heard)
    assert "node" not in {stage for stage, _ in told(heard)}


def test_both_failures_are_told_when_the_run_breaks_off_elsewhere() -> None:
    def answer(asked: Host, command: str, stdin: bytes) -> Result:
        first = any(one.path == "/etc/host/x" for one in received(stdin) if isinstance(one, wire.File))
        return obeying(asked, command, stdin) if first else failing(1)(asked, command, stdin)

    running, _ = founding()
    running.sessions = {name: FakeTransport(handler=answer).connect(host(name)) for name in running.plan.hosts}
    running.run()
    assert {(one.stage, one.host) for one in running.failures} == {("api-server", "cp"), ("runtime", "w")}


def refusing(_: Host, __: str, stdin: bytes) -> Result:
    """Refuses every add-on."""
    said = ""
    for number, one in enumerate(received(stdin), start=1):
        if isinstance(one, wire.Ask):
            theirs = one.asked[0] == "apply" and "--force-conflicts" not in one.asked
            said += answer_line(number, Answer(code=1, words="no") if theirs else Answer(code=0))
        said += f"ok\t{number}\t-\n"
    return Result(status=0, stdout=f"{said}done\t0\tLQ==\n".encode(), stderr=b"")


@pytest.mark.parametrize(("mode", "stages"), [("flannel", ["network"]), ("routed", ["addons", "ready"])])
def test_an_add_on_that_fails_ends_the_run_only_when_it_is_the_pod_network(mode: Any, stages: list[str]) -> None:
    item = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "n"}}
    description = Description(name="flannel", folder=Path("/addons"), summary="", namespace="n")
    addon = AddonObjects(addon=Addon(description=description, version="", parameters={}, images=()), objects=(item,))
    heard: list[Event] = []
    running = engine({"a": HostPlan(host="a", changes=(), restarts=(), stamps={}, unstamps={})},
                     FakeTransport(handler=refusing), heard)  # fmt: skip
    changes = (ObjectChange(identity=identity(item), action="create", reason="x"),)
    running.plan = replace(running.plan, addons=(addon,), objects=changes, network=NetworkSettings(mode=mode))
    running.run()
    assert [event.stage for event in heard if isinstance(event, StageStarted)] == [
        "objects",
        *stages,
    ]  # the list, first
    assert [failure.fatal for failure in running.failures] == [mode == "flannel"]


def test_a_plan_with_nothing_in_it_sends_nothing() -> None:
    fake = FakeTransport(handler=obeying)
    empty = HostPlan(host="a", changes=(), restarts=(), stamps={}, unstamps={})
    running = engine({"a": empty}, fake, [])
    running.run()
    assert fake.counters["a"].execs == 0
    assert not running.changed


def test_the_table_of_contents_has_each_stage_once() -> None:
    names = [stage.name for stage in STAGES]
    assert len(names) == len(set(names))
    assert names.index("etcd") < names.index("api-server") < names.index("objects") < names.index("node")


def nodes(*names: str) -> dict[str, HostPlan]:
    return {name: plan(name, running=True, stage="upgrade") for name in names}


def told(heard: list[Event]) -> list[tuple[str, str]]:
    return [(event.stage, event.host) for event in heard if isinstance(event, HostEnded)]


def test_each_node_is_emptied_changed_and_opened_before_the_next() -> None:
    heard: list[Event] = []
    running = engine(nodes("a", "b"), FakeTransport(handler=obeying), heard, NodeUpgrades(drain=("a", "b")))
    running.run()
    assert [stage for stage, _ in itertools.groupby(told(heard))][:6] == [
        *(("drain", "a"), ("upgrade", "a"), ("uncordon", "a")),
        *(("drain", "a"), ("upgrade", "b"), ("uncordon", "a")),
    ]


def test_a_drain_that_fails_changes_no_node_and_ends_the_run() -> None:
    heard: list[Event] = []
    running = engine(nodes("a", "b"), FakeTransport(handler=failing(2)), heard, NodeUpgrades(drain=("a", "b")))
    running.run()
    assert [(failure.stage, failure.resource) for failure in running.failures] == [("drain", "pods on a")]
    assert told(heard) == []


def test_a_drain_that_is_refused_before_a_node_is_cordoned_changes_nothing() -> None:
    bare_pod = {"metadata": {"name": "p", "namespace": "n"}, "status": {"phase": "Running"}}

    def answer(_: Host, __: str, stdin: bytes) -> Result:
        said = ""
        for number, operation in enumerate(received(stdin), start=1):
            assert isinstance(operation, wire.Ask)
            pods = Answer(code=0, text=json.dumps({"kind": "List", "items": [bare_pod]}))
            said += answer_line(number, pods if operation.asked[1] == "pods" else cluster_says(operation))
        return Result(status=0, stdout=f"{said}done\t0\tLQ==\n".encode(), stderr=b"")

    heard: list[Event] = []
    running = engine(nodes("a", "b"), FakeTransport(handler=answer), heard, NodeUpgrades(drain=("a", "b")))
    running.run()
    assert "pods that nothing would make again: n/p" in running.failures[0].found
    assert not running.changed
    assert [event.changes for event in heard if isinstance(event, HostStarted)] == [False]


def test_a_drain_that_time_ends_changes_no_node_and_ends_the_run() -> None:
    def answer(_: Host, __: str, stdin: bytes) -> Result:
        said = ""
        for number, operation in enumerate(received(stdin), start=1):
            assert isinstance(operation, wire.Ask), "no node is changed"
            stuck = operation.asked[0] == "drain"
            said += answer_line(number, Answer(code=1, words="no") if stuck else cluster_says(operation))
            if stuck:
                break
        return Result(status=0, stdout=f"{said}done\t0\tLQ==\n".encode(), stderr=b"")

    running = engine(nodes("a", "b"), FakeTransport(handler=answer), [], NodeUpgrades(drain=("a", "b")))
    running.run()
    (failure,) = running.failures
    assert (failure.stage, failure.fatal) == ("drain", True)
    assert "cannot drain a within" in failure.found


def test_a_node_that_fails_stays_cordoned_and_the_others_of_its_round_are_opened() -> None:
    def answer(asked: Host, command: str, stdin: bytes) -> Result:
        sent = received(stdin)
        opened.extend(one.asked[2] for one in sent if isinstance(one, wire.Ask) and "null" in one.asked[-2])
        broken = asked.name == "b" and not isinstance(sent[0], wire.Ask)
        return failing(1)(asked, command, stdin) if broken else obeying(asked, command, stdin)

    opened: list[str] = []
    upgrades = NodeUpgrades(drain=("a", "b", "c", "d"))
    running = engine(nodes("a", "b", "c", "d"), FakeTransport(handler=answer), [], upgrades)
    running.cluster = replace(running.cluster, upgrade=UpgradeSettings(max_unavailable=2))
    running.run()
    assert [failure.host for failure in running.failures] == ["b"]
    assert opened == ["a", "c"]


def test_a_node_left_cordoned_with_nothing_to_do_is_only_opened() -> None:
    heard: list[Event] = []
    empty = HostPlan(host="a", changes=(), restarts=(), stamps={}, unstamps={})
    running = engine({"a": empty}, FakeTransport(handler=obeying), heard, NodeUpgrades(reopen=("a",)))
    assert not running.plan.empty
    running.run()
    assert told(heard)[0] == ("uncordon", "a")


GONE = EtcdMember(id="8e9e05c52164694d", name="old", peer_urls=("https://10.0.0.9:2380",), learner=False)


PEERS = tuple(
    Peer(name=name, peer_url=f"https://{name}:2380", client_url=f"https://{name}:2379") for name in ("a", "b", "c")
)
LISTED = [
    {"ID": 10, "name": "a", "peerURLs": ["https://a:2380"]},
    {"ID": 11, "name": "b", "peerURLs": ["https://b:2380"]},
]
TAKEN_IN = [*LISTED, {"ID": 12, "peerURLs": ["https://c:2380"], "isLearner": True}]
HEALTHY = [{"endpoint": f"https://{name}:2379", "health": True} for name in "abc"]


def etcd_execs(
    plans: dict[str, HostPlan], membership: Membership, *script: Answer, peers: tuple[Peer, ...] = PEERS
) -> tuple[list[tuple[str, list[str]]], list[HostFailed]]:
    """Host and operations of every exec of the stage, in order, and what failed; each ask takes an answer of the script."""
    execs: list[tuple[str, list[str]]] = []
    rest = list(script)

    def answer(_: Host, __: str, stdin: bytes) -> Result:
        said, sent = "", received(stdin)
        for number, operation in enumerate(sent, start=1):
            given = rest.pop(0) if isinstance(operation, wire.Ask) else None
            said += answer_line(number, given) if given is not None else ""
            if given is not None and not given.ok:
                break
            said += f"ok\t{number}\tLQ==\n"
        execs.append((_.name, words(sent)))
        return Result(status=0, stdout=f"{said}done\t0\tLQ==\n".encode(), stderr=b"")

    running = engine(plans, FakeTransport(handler=answer), [], membership=membership)
    running.plan = replace(running.plan, peers=peers)
    running.run()
    assert not rest
    return execs, running.failures


def said(**rows: object) -> Answer:
    return Answer(code=0, text=json.dumps(rows))


def newcomer() -> dict[str, HostPlan]:
    return {"c": plan("c", stage="etcd")}


def test_a_newcomer_is_taken_in_started_promoted_and_settled_in_four_execs() -> None:
    execs, failures = etcd_execs(
        newcomer(),
        Membership(join=("c",), live=("https://a:2379",)),
        *(said(members=LISTED), said(members=TAKEN_IN), said(members=[])),
    )
    assert failures == []
    assert [name for name, _ in execs[:4]] == ["c"] * 4
    assert execs[0][1] == ["unstamp", "file", "ask"]
    assert execs[1][1] == ["ask"]
    assert execs[2][1] == ["etcd_flags", "reload_units", "restart", "ask"]
    assert execs[3][1] == ["steady", "etcd_flags", "stamp"], "its stamp only once it votes and is healthy"


def test_data_of_another_cluster_is_set_aside_before_its_host_is_taken_in_and_none_else() -> None:
    script = (said(members=LISTED), said(members=TAKEN_IN), said(members=[]))
    for stale, first in (((), ["unstamp", "file", "ask"]), (("c",), ["unstamp", "file", "set_data_aside", "ask"])):
        membership = Membership(join=("c",), live=("https://a:2379",), stale=stale)
        execs, failures = etcd_execs(newcomer(), membership, *script)
        assert failures == []
        assert execs[0] == ("c", first)


def test_a_member_whose_joining_was_cut_off_forgets_the_flags_of_its_first_start() -> None:
    for settle, sent in ((("c",), ["etcd_flags"]), ((), [])):
        none = {"c": replace(plan("c", stage="etcd"), changes=(), restarts=())}
        execs, failures = etcd_execs(none, Membership(settle=settle))
        assert failures == []
        assert [words for _, words in execs if "etcd_flags" in words] == ([sent] if sent else [])


def test_a_newcomer_that_is_known_and_votes_is_not_asked_about_again() -> None:
    voter = {"ID": 12, "name": "c", "peerURLs": ["https://c:2380"]}
    execs, failures = etcd_execs(
        newcomer(), Membership(join=("c",), live=("https://a:2379",)), said(members=[*LISTED, voter])
    )
    assert failures == []
    assert [sent for name, sent in execs if name == "c"][1] == ["etcd_flags", "reload_units", "restart"]


def test_a_newcomer_that_is_refused_is_not_started_and_one_that_is_not_promoted_not_settled() -> None:
    no = Answer(code=1, words="Error: etcdserver: too many learner members in cluster")
    membership = Membership(join=("c",), live=("https://a:2379",))
    execs, failures = etcd_execs(newcomer(), membership, said(members=LISTED), no)
    assert "restart" not in [word for _, sent in execs for word in sent]
    (failure,) = failures
    assert (failure.stage, failure.host, failure.resource) == ("etcd", "c", "etcd member c")
    assert failure.found == "etcd took no new member c: etcdserver: too many learner members in cluster"
    assert failure.fatal
    execs, failures = etcd_execs(newcomer(), membership, said(members=LISTED), said(members=TAKEN_IN), no)
    assert "stamp" not in [word for _, sent in execs for word in sent]
    assert "did not become a voter" in failures[0].found


def test_founders_start_together_in_one_exec_each() -> None:
    plans = {name: plan(name, stage="etcd") for name in "abc"}
    execs, failures = etcd_execs(plans, Membership(bootstrap=("a", "b", "c")))
    assert failures == []
    assert sorted(name for name, sent in execs if "etcd_flags" in sent) == ["a", "b", "c"]
    first = execs[0][1]
    assert first == ["unstamp", "file", "etcd_flags", "reload_units", "restart", "etcd_flags", "stamp"]
    assert sorted(name for name, sent in execs if "steady" in sent) == ["a", "b", "c"], "once each, in the end"


def test_a_member_restarts_when_the_others_keep_the_quorum_with_all_that_it_is_sent() -> None:
    plans = {"a": plan("a", running=True, stage="etcd")}
    execs, failures = etcd_execs(plans, Membership(), Answer(code=0, text=json.dumps(HEALTHY[1:])))
    assert failures == []
    assert execs[0][1] == ["ask"]
    assert {"file", "restart", "stamp"} <= set(execs[1][1])
    lone, _ = etcd_execs(plans, Membership(), peers=PEERS[:1])
    assert "ask" not in lone[0][1]


def test_a_member_does_not_restart_without_the_quorum() -> None:
    plans = {"a": plan("a", running=True, stage="etcd")}
    ill = [{"endpoint": "https://b:2379", "health": False, "error": "context deadline exceeded"}, HEALTHY[2]]
    execs, failures = etcd_execs(plans, Membership(), Answer(code=1, text=json.dumps(ill)))
    assert [sent for _, sent in execs] == [["ask"]]
    assert "etcd would lose its quorum" in failures[0].found


def test_a_member_that_an_earlier_run_did_not_settle_is_settled_though_nothing_else_is_to_be_done() -> None:
    idle = replace(plan("a", stage="etcd"), changes=(), restarts=())
    execs, _ = etcd_execs({"a": idle}, Membership(settle=("a",)))
    assert execs[0] == ("a", ["etcd_flags"])


def test_a_host_that_says_nothing_of_an_answer_ends_the_run() -> None:
    def mute(_: Host, __: str, stdin: bytes) -> Result:
        said = "".join(f"ok\t{number}\t-\n" for number in range(1, len(received(stdin)) + 1))
        return Result(status=0, stdout=f"{said}done\t0\t-\n".encode(), stderr=b"")

    running = engine(newcomer(), FakeTransport(handler=mute), [], membership=Membership(join=("c",), live=("x",)))
    running.plan = replace(running.plan, peers=PEERS)
    running.run()
    assert "did not say what it was answered" in running.failures[0].found


def test_a_member_leaves_once_and_last_also_when_its_messenger_has_work_of_its_own() -> None:
    plans = {name: plan(name, running=True, stage="etcd") for name in "ab"}
    membership = Membership(remove=(GONE,), live=("https://a:2379",))
    healthy = [Answer(code=0, text=json.dumps([HEALTHY[place]])) for place in (1, 0)]
    execs, failures = etcd_execs(plans, membership, *healthy, said(members=[]), peers=PEERS[:2])
    assert failures == []
    assert [name for name, _ in execs][:5] == ["a", "a", "b", "b", "a"]
    assert execs[4][1] == ["ask"]


def test_a_member_leaves_where_nothing_else_is_to_be_done() -> None:
    idle = replace(plan("a"), changes=(), restarts=())
    execs, failures = etcd_execs({"a": idle}, Membership(remove=(GONE,)), said(members=[]))
    assert execs[0] == ("a", ["ask"])
    assert failures == []


def kubelets(*names: str) -> dict[str, HostPlan]:
    unit = Unit(name="kubelet.service", content=b"", heartbeat=True)
    return {
        name: HostPlan(
            host=name,
            changes=(),
            restarts=(Restart(stage="node", unit=unit, reason="x", running=True),),
            stamps={unit.name: "s"},
            unstamps={},
        )
        for name in names
    }


def starting(asked: Host, _: str, stdin: bytes) -> Result:
    """Tells when kubelet started, and that no heartbeat came after."""
    said = {"started": ("told", "1796046080123456")}
    lines = []
    for number, operation in enumerate(received(stdin), start=1):
        if isinstance(operation, wire.Ask):
            lines += [answer_line(number, cluster_says(operation)).rstrip("\n")]
        word, text = said.get(operation.word, ("ok", "-"))
        lines += [f"{word}\t{number}\t{base64.b64encode(text.encode()).decode()}"]
        if word == "told":
            lines += [f"ok\t{number}\t-"]
    return Result(status=0, stdout="\n".join([*lines, "done\t0\t-", ""]).encode(), stderr=b"")


def test_the_canary_has_a_heartbeat_newer_than_its_start_before_the_others_are_touched() -> None:
    heard: list[Event] = []
    running = engine(kubelets("a", "b", "c"), FakeTransport(handler=starting), heard)
    running.run()
    assert [row for row in told(heard) if row[0] == "node"] == [("node", "a")]
    assert [(failure.stage, failure.resource, failure.found) for failure in running.failures] == [
        (
            "heartbeats",
            "heartbeats of a",
            "a kubelet was started, and the cluster does not hear of it: "
            "a: started 2026-11-30T13:41:20.123456Z, last heartbeat never",
        )
    ]
    assert "heartbeat" in running.failures[0].expected


def test_a_canary_that_reaches_nobody_takes_its_change_back_and_is_asked_again() -> None:
    """One exec for going back and asking its units; a heartbeat is asked for, and where there is none, waited for."""
    came_back = False

    def answer(asked: Host, _: str, stdin: bytes) -> Result:
        nonlocal came_back
        lines, said = [], ""
        for number, one in enumerate(received(stdin), start=1):
            if isinstance(one, wire.Ask):
                renewed = "a  2026-11-30T13:41:20.123457Z\n" if came_back else ""
                said += answer_line(number, Answer(code=0, text=renewed))
            if isinstance(one, wire.GoBack):
                came_back = True
                lines += [("told", number, "files 1\nunit kubelet.service well")]
            elif isinstance(one, wire.Started):
                lines += [("told", number, "1796046080123456")]
            lines += [("ok", number, "-")]
        sent.append((asked.name, words(received(stdin))))
        rows = [f"{word}\t{number}\t{base64.b64encode(text.encode()).decode()}" for word, number, text in lines]
        return Result(
            status=0, stdout="\n".join([f"{said}{rows[0]}", *rows[1:], "done\t0\t-", ""]).encode(), stderr=b""
        )

    sent: list[tuple[str, list[str]]] = []
    running = engine(kubelets("a", "b", "c"), FakeTransport(handler=answer), [])
    running.run()
    assert [(host, names[-1]) for host, names in sent] == [
        ("a", "stamp"), ("a", "ask"), ("a", "ask"), ("a", "started"), ("a", "ask"),
    ]  # fmt: skip
    (failure,) = running.failures
    assert (
        failure.now
        == "a: 1 previous file put back; kubelet.service runs again as before, and answered; its heartbeat came"
    )


def test_a_node_that_is_new_is_not_sent_back() -> None:
    plans = {
        name: replace(plan, restarts=tuple(replace(restart, running=False) for restart in plan.restarts))
        for name, plan in kubelets("a").items()
    }
    heard: list[Event] = []
    engine(plans, FakeTransport(handler=starting), heard).run()
    assert [event.operations for event in heard if isinstance(event, HostStarted)] == [5, 1, 1]


def test_heartbeats_are_asked_after_each_batch_of_restarted_kubelets_also_of_drained_ones() -> None:
    def answer(asked: Host, command: str, stdin: bytes) -> Result:
        leases = [number for number, one in enumerate(received(stdin), start=1)
                  if isinstance(one, wire.Ask) and "leases" in one.asked]  # fmt: skip
        result = starting(asked, command, stdin)
        if not leases:
            return result
        sent.append(asked.name)
        renewed = "".join(f"{name}  2026-11-30T13:41:20.123457Z\n" for name in "abc")
        said = answer_line(leases[0], Answer(code=0, text=renewed))
        return replace(result, stdout=said.encode() + f"ok\t{leases[0]}\t-\ndone\t0\t-\n".encode())

    sent: list[str] = []
    engine(kubelets("a", "b", "c"), FakeTransport(handler=answer), []).run()
    assert len(sent) == 2  # of the canary, then of the rest
    sent.clear()
    plans = {
        name: replace(plan, restarts=tuple(replace(restart, stage="upgrade") for restart in plan.restarts))
        for name, plan in kubelets("a").items()
    }
    engine(plans, FakeTransport(handler=answer), [], NodeUpgrades(drain=("a",))).run()
    assert len(sent) == 1


BLOCKED = (
    'Error from server (InternalError): Internal error occurred: failed calling webhook "gate.example":'
    " failed to call webhook: no endpoints available"
)


@pytest.mark.parametrize("known", [True, False], ids=["a living cluster", "a first run"])
def test_objects_that_are_refused_do_not_stop_nodes_from_being_repaired(*, known: bool) -> None:
    """What comes after the nodes is left for the run in which the objects are taken."""

    def answer(asked: Host, command: str, stdin: bytes) -> Result:
        lines = []
        for number, one in enumerate(received(stdin), start=1):
            if isinstance(one, wire.Ask):
                refuses = one.asked[0] == "apply"
                lines += [answer_line(number, Answer(code=int(refuses), words=BLOCKED if refuses else "")).rstrip("\n")]
                if refuses:
                    break
            lines += [f"ok\t{number}\t-"]
        return Result(status=0, stdout="\n".join([*lines, "done\t0\t-", ""]).encode(), stderr=b"")

    heard: list[Event] = []
    plans = {name: replace(plan(name, running=True, stage="node")) for name in "ab"}
    running = engine(plans, FakeTransport(handler=answer), heard)
    item = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}}
    change = ObjectChange(identity=identity(item), action="update", reason="x")
    running.plan = replace(running.plan, objects=(change,), objects_known=known, desired_objects=(item,))
    running.run()
    began = [event.stage for event in heard if isinstance(event, StageStarted)]
    assert began == (["objects", "node"] if known else ["objects"])
    (failure,) = running.failures
    assert "the webhook gate.example was asked first and does not answer" in failure.found
    assert "| grep gate.example" in failure.todo


UNREADY = (
    "b: Ready is Unknown (NodeStatusUnknown): Kubelet stopped posting node status.\ngone: there is no Node of that name"
)


def unready(asked: Host, _: str, stdin: bytes) -> Result:
    lines = []
    for number, one in enumerate(received(stdin), start=1):
        if isinstance(one, wire.NodesReady):
            lines += [(word, number, UNREADY) for word in ("told", "fail")]
        elif isinstance(one, wire.UnitLog):
            lines += [("told", number, f"failed\nlast line of {one.unit} on {asked.name}\n"), ("ok", number, "")]
        else:
            lines += [("ok", number, "")]
    text = [f"{word}\t{number}\t{base64.b64encode(text.encode()).decode()}" for word, number, text in lines]
    return Result(status=0, stdout="\n".join([*text, "done\t0\t-", ""]).encode(), stderr=b"")


def test_only_nodes_that_are_not_ready_are_named_with_condition_message_and_last_lines() -> None:
    running = engine({"a": plan("a"), "b": plan("b")}, FakeTransport(handler=unready), [])
    nodes = tuple(replace(one, groups=frozenset({"worker", "control_plane"})) for one in running.cluster.hosts)
    running.cluster = replace(running.cluster, hosts=nodes)
    running.run()
    (failure,) = running.failures
    assert (failure.resource, failure.found) == ("nodes Ready", UNREADY.splitlines()[0])
    assert failure.log.splitlines() == [
        *UNREADY.splitlines(),
        "b, kubelet.service: failed",
        "b, kubelet.service: last line of kubelet.service on b",
    ]
    assert "a:" not in failure.log


@pytest.mark.parametrize(("alarm", "disarmed"), [("ALARM NOSPACE", ["a"]), ("", []), ("RAFT NO LEADER", [])])
def test_the_alarm_of_a_full_store_is_cleared_once_all_members_were_restarted(alarm: str, disarmed: list[str]) -> None:
    def answer(asked: Host, command: str, stdin: bytes) -> Result:
        for one in received(stdin):
            if isinstance(one, wire.Restart) or (isinstance(one, wire.Ask) and one.asked[-2:] == ("alarm", "disarm")):
                sent.append((asked.name, one.word))
        return obeying(asked, command, stdin)

    sent: list[tuple[str, str]] = []
    plans = {name: plan(name, running=True, stage="etcd") for name in "ab"}
    running = engine(plans, FakeTransport(handler=answer), [])
    full = replace(bare(), surroundings=Surroundings(etcd=alarm))
    running.observations = {"a": bare(), "b": full}
    running.run()
    assert [name for name, word in sent if word == "ask"] == disarmed
    assert [word for _, word in sent[:2]] == ["restart", "restart"]


def test_an_alarm_is_left_alone_where_no_member_is_changed() -> None:
    """Whether there is room is not known: it would come back with the next write."""
    running = engine({"a": replace(plan("a"), restarts=(), changes=())}, FakeTransport(handler=obeying), [])
    running.observations = {"a": replace(bare(), surroundings=Surroundings(etcd="ALARM NOSPACE"))}
    running.run()
    assert running.touched == set()
