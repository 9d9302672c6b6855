"""What is sent to a host that leaves: of kprov's own alone, in an order that a run cut off in between can go on from."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from observed import bare, record
from pki_cases import host
from sent import cluster_says, heads, received

from kprov.apply import wire
from kprov.apply.batch import Batch
from kprov.apply.conversing import run
from kprov.apply.down import _stop_order, farewell_work, host_batch, take_down, tenants_batch
from kprov.apply.scripts import APPLY_COMMAND
from kprov.observe.gather import Fleet
from kprov.plan.conversation import Answer
from kprov.plan.farewell import Farewell
from kprov.report.hub import Hub
from kprov.report.redact import Redactor
from kprov.transport.base import Result
from kprov.transport.fake import FakeTransport
from kprov.values.components import COMPONENTS
from kprov.values.events import Event, HostFailed, OperationDone, StageStarted
from kprov.values.model import Host
from kprov.values.resources import Key
from kprov.values.runtimes import RUNTIMES

_PROGRAMS = {program for runtime in RUNTIMES.values() for program in runtime.programs}
# Whatever may be recorded of any runtime without one of its units ever having been started by kprov.
_UNSTARTED: list[Key] = [
    *(("binary", f"/opt/kprov/bin/{program}") for program in sorted(_PROGRAMS)),
    *(("directory", folder) for runtime in RUNTIMES.values() for folder in runtime.folders),
    *(("file", f"/etc/systemd/system/{unit}") for runtime in RUNTIMES.values() for unit in runtime.units),
    ("directory", "/opt/kprov/bin"),
    ("unit", "kubelet.service"),
]


def batch(*keys: Key) -> Batch:
    return host_batch(replace(bare(), records=dict(record(*key) for key in keys)))


_REACHING = ("sandboxes", "unmount", "clear", "stop", "remove_unit")


def spoken_to(sent: Batch) -> set[tuple[object, ...]]:
    """Operations that reach beyond what is recorded by name: sockets, mounts, folders of /run."""
    return {head for head in heads(sent.operations) if head[0] in _REACHING}


def test_nothing_is_sent_where_nothing_is_recorded() -> None:
    assert not batch().operations


@pytest.mark.parametrize("name", RUNTIMES)
def test_only_a_runtime_whose_unit_kprov_recorded_is_spoken_to(name: str) -> None:
    """Docker beside kprov's containerd uses programs of the same names; its socket, data and mounts are its own."""
    own = RUNTIMES[name]
    units: list[Key] = [("unit", unit) for unit in own.units]
    sent = spoken_to(batch(*_UNSTARTED, *units))
    assert sent == {
        ("sandboxes", own.store),
        ("unmount", "/var/lib/kubelet"),
        *(("unmount", path) for path in own.mounted),
        *(("clear", path) for path in own.run),
        *(("stop", unit) for unit in own.units),
        *(("remove_unit", unit) for unit in own.units),
        ("remove_unit", "kubelet.service"),
    }


@pytest.mark.parametrize("name", RUNTIMES)
def test_tables_of_a_runtime_that_kprov_ran_go(name: str) -> None:
    units: list[Key] = [("unit", unit) for unit in RUNTIMES[name].units]
    dropped = [operation for operation in batch(*units).operations if isinstance(operation, wire.DropTable)]
    tables = {(table.family, table.name) for table in dropped}
    assert tables == set(RUNTIMES[name].tables)
    assert RUNTIMES["crio"].tables == (("ip", "crio-hostports"), ("ip6", "crio-hostports"))


def test_programs_files_and_folders_of_a_runtime_do_not_make_it_kprovs() -> None:
    assert spoken_to(batch(*_UNSTARTED)) == {("unmount", "/var/lib/kubelet"), ("remove_unit", "kubelet.service")}


def test_no_unit_name_stands_for_two_runtimes() -> None:
    units = [unit for runtime in RUNTIMES.values() for unit in runtime.units]
    assert len(units) == len(set(units))


def test_a_runtime_is_forgotten_after_all_that_is_known_by_it_is_gone() -> None:
    sent = heads(batch(("unit", "containerd.service"), ("image", "p:1")).operations)
    order = [
        ("sandboxes", "/run/containerd/containerd.sock"),
        ("unmount", "/run/containerd"),
        ("remove_image", "p:1"),
        ("stop", "containerd.service"),
        ("clear", "/run/containerd"),
        ("remove_unit", "containerd.service"),
    ]
    places = [sent.index(entry) for entry in order]
    assert places == sorted(places)


def test_a_foreign_unit_of_the_same_name_comes_back_when_its_file_has_and_systemd_knows() -> None:
    path = "/etc/systemd/system/containerd.service"
    records = [
        record("unit", "containerd.service", before="present enabled active"),
        record("unit", "kubelet.service"),
        record("unit", "old.service", before="enabled"),  # an older kprov's word, which says too little
        record("file", path, before="saved"),
    ]
    sent = heads(host_batch(replace(bare(), records=dict(records))).operations)
    given = [operation for operation in sent if operation[0] == "give_back_unit"]
    assert given == [("give_back_unit", "containerd.service")]
    order = [("remove", "file"), ("reload_units", ()), *given, ("state_gone",)]
    assert [sent.index(entry) for entry in order] == sorted(sent.index(entry) for entry in order)


def test_all_that_is_recorded_goes_in_reverse_order_and_folders_from_within() -> None:
    keys: list[Key] = [
        *(("directory", "/srv"), ("directory", "/srv/a"), ("package", "p"), ("user", "u"), ("sysctl", "s")),
        *(("file", "/srv/a/1"), ("file", "/srv/a/2"), ("binary", "/srv/b"), ("module", "m"), ("swap", "off")),
        *(("image", "i:1"), ("image", "i:2"), ("unit", "containerd.service"), ("unit", "kubelet.service")),
        *(("unit", "a.service"), ("unit", "b.service")),
    ]
    sent = [" ".join(map(str, head)) for head in heads(batch(*keys).operations)]
    runtime = RUNTIMES["containerd"]
    assert sent == [
        "remove_unit kubelet.service",
        f"sandboxes {runtime.store}",
        "unmount /var/lib/kubelet",
        *(f"unmount {path}" for path in runtime.mounted),
        *("remove_image i:2", "remove_image i:1"),
        *("remove_unit b.service", "remove_unit a.service", "stop containerd.service"),
        "run 0000/content",
        *(f"clear {path}" for path in runtime.run),
        "remove_unit containerd.service",
        *("remove file", "remove file", "remove binary", "remove_package p", "remove_user u", "remove_sysctl s"),
        *("remove_module m", "remove_swapoff absent", "remove_directory /srv/a", "remove_directory /srv"),
        *("reload_units ()", "state_gone"),
    ]
    removed = [one.path for one in batch(*keys).operations if isinstance(one, wire.Remove)]
    assert removed == ["/srv/a/2", "/srv/a/1", "/srv/b"]


# Of a host whose node an earlier run deleted already.
FAREWELL = Farewell(host="w1", peer="cp1", node="", member="1a", endpoints=("https://10.0.0.12:2379",))


def down(answer: Callable[[str], list[str]], unit: str = "kubelet.service") -> Hub:
    """Takes w1 down, whose member cp1 removes first; the hosts answer so."""

    def handler(one: Host, command: str, _stdin: bytes) -> Result:
        assert command == APPLY_COMMAND
        return Result(status=0, stdout="".join(f"{line}\n" for line in answer(one.name)).encode(), stderr=b"")

    transport, hub = FakeTransport(handler=handler), Hub([], Redactor())
    seen = replace(bare(), records=dict([record("unit", unit)]))
    take_down(
        Fleet(sessions={name: transport.connect(host(name)) for name in ("cp1", "w1")}, observations={"w1": seen}),
        hub.emit,
        names=["w1"],
        farewells=[FAREWELL],
        kubeconfig=lambda: b"credential",
        generation="g",
        forks=2,
    )
    return hub


def test_a_farewell_that_broke_off_is_no_run_that_touched_nothing_and_leaves_the_host_alone() -> None:
    heard: list[str] = []

    def answer(name: str) -> list[str]:
        heard.append(name)
        return [f"fail\t1\t{base64.b64encode(b'cannot remove etcd member').decode()}"]

    hub = down(answer)
    assert [failure.host for failure in hub.tally.failures] == ["cp1"]
    assert hub.tally.touched, "the exit code says so"
    assert heard == ["cp1"], "nothing was sent to the host that is still a part of the cluster"


def talked(
    farewell: Farewell, warn: Callable[[str], None] = pytest.fail, says: Callable[[wire.Ask], Answer] = cluster_says
) -> list[Batch]:
    """What is sent in the way of a node that leaves, of one without pods where nothing else is said."""
    sent: list[Batch] = []

    def carry(one: Batch, answers: dict[int, Answer]) -> tuple[HostFailed, ...]:
        sent.append(one)
        asked = {number: step.operation for number, step in enumerate(one.steps, start=1)}
        answers.update({number: says(ask) for number, ask in asked.items() if isinstance(ask, wire.Ask)})
        return ()

    assert run(farewell_work(farewell, b"credential", warn), carry, lambda _: None, stage="x", host="cp1") == []
    return sent


def test_a_node_without_a_member_is_drained_and_then_deleted() -> None:
    sent = talked(replace(FAREWELL, node="w1", member=""))
    asked = [" ".join(one.asked) for batch in sent for one in batch.operations if isinstance(one, wire.Ask)]
    assert any("unschedulable" in words or words.startswith("cordon") or "patch" in words for words in asked)
    assert heads(sent[-1].operations) == [("delete_object", "node")]
    (deleted,) = sent[-1].operations
    assert deleted == wire.DeleteObject(kind="node", name="w1")
    assert all("kubeconfig" in dict(batch.payload) for batch in sent), "each exec has the credential"


def test_a_pod_that_nothing_makes_again_goes_with_its_node_and_is_named() -> None:
    """Its node is closed before it is evicted, so that nothing new comes there meanwhile."""
    bare_pod = {"kind": "Pod", "metadata": {"namespace": "shop", "name": "once"}, "status": {"phase": "Running"}}

    def says(asked: wire.Ask) -> Answer:
        if asked.asked[:2] == ("get", "pods"):
            return Answer(code=0, text=json.dumps({"kind": "List", "items": [bare_pod]}))
        if asked.asked[:2] == ("get", "nodes"):
            return Answer(code=0, text=json.dumps({"kind": "List", "items": [{"metadata": {"name": "w1"}}]}))
        return cluster_says(asked)

    heard: list[str] = []
    sent = talked(replace(FAREWELL, node="w1", member=""), heard.append, says)
    assert heard == ["pods of w1 are gone for good, as no controller makes them again: shop/once"]
    verbs = [one.asked[0] for batch in sent for one in batch.operations if isinstance(one, wire.Ask)]
    assert verbs == ["get", "get", "patch", "drain"]


def test_a_farewell_sends_only_what_is_there_to_be_removed() -> None:
    (sent,) = [next(farewell_work(FAREWELL, b"credential", pytest.fail))]
    assert heads(sent.operations)[0][0] == "ask"
    assert "delete_object" not in [head[0] for head in heads(sent.operations)]
    assert list(farewell_work(replace(FAREWELL, member=""), b"credential", pytest.fail)) == []


@pytest.mark.parametrize("name", RUNTIMES)
def test_each_runtime_of_kprovs_is_asked_for_what_others_have_in_it(name: str) -> None:
    own = RUNTIMES[name]
    seen = replace(bare(), records=dict(record("unit", unit) for unit in own.units))
    assert heads(tenants_batch(seen).operations) == [("alone", own.store)]
    assert not tenants_batch(bare()).operations


def many(
    failing: str = "", *, farewells: tuple[Farewell, ...] = (), unit: str = "kubelet.service", key: bool = True
) -> tuple[list[Event], list[str], tuple[HostFailed, ...]]:
    """Takes three hosts down, of which cp3 has nothing of kprov's: events, hosts that were sent something, failures."""
    heard: list[Event] = []
    asked: list[str] = []

    def handler(one: Host, _command: str, stdin: bytes) -> Result:
        asked.append(one.name)
        lines = [f"done\t{number}\t-" for number, _ in enumerate(received(stdin), start=1)]
        if one.name == failing:
            lines = [f"fail\t1\t{base64.b64encode(b'it does not go').decode()}"]
        return Result(status=0, stdout="".join(f"{line}\n" for line in (*lines, "end\t0\t-")).encode(), stderr=b"")

    transport, names = FakeTransport(handler=handler), ["cp1", "cp2", "cp3"]
    full = replace(bare(), records=dict([record("unit", unit)]))
    failures = take_down(
        Fleet(
            sessions={name: transport.connect(host(name)) for name in names},
            observations={"cp1": full, "cp2": full, "cp3": bare()},
        ),
        heard.append,
        names=names,
        farewells=farewells,
        kubeconfig=(lambda: b"credential") if key else None,
        generation="g",
        forks=1,
    )
    return heard, asked, failures


def kinds(heard: list[Event]) -> list[str]:
    return [type(event).__name__ for event in heard if not isinstance(event, OperationDone)]


def test_a_host_that_fails_stops_no_other_and_is_told_once() -> None:
    heard, asked, failures = many("cp1")
    assert asked == ["cp1", "cp2"]
    assert [failure.host for failure in failures] == ["cp1"]
    assert kinds(heard) == [
        *("StageStarted", "HostStarted", "HostFailed", "HostStarted", "HostEnded", "StageEnded"),
    ]
    begun = next(event for event in heard if isinstance(event, StageStarted))
    assert begun.hosts == ("cp1", "cp2"), "the third has nothing of kprov's"


def test_of_hosts_without_anything_of_kprovs_nothing_is_told() -> None:
    transport = FakeTransport(handler=lambda *_: pytest.fail("nothing is sent"))
    heard: list[Event] = []
    fleet = Fleet(sessions={"cp1": transport.connect(host("cp1"))}, observations={"cp1": bare()})
    given = {"names": ["cp1"], "farewells": (), "kubeconfig": None, "generation": "g", "forks": 1}
    assert take_down(fleet, heard.append, **given) == ()  # type: ignore[arg-type]
    assert heard == []


def test_a_farewell_is_told_as_a_stage_and_left_out_without_a_credential() -> None:
    farewell = replace(FAREWELL, peer="cp2", member="")
    heard, asked, failures = many(farewells=(replace(farewell, node=""),))
    assert failures == ()
    assert kinds(heard)[:2] == ["StageStarted", "StageEnded"]
    assert [event.stage for event in heard if isinstance(event, StageStarted)] == ["farewell", "down"]
    heard, asked, failures = many(farewells=(replace(farewell, node="w1"),), key=False)
    assert [event.stage for event in heard if isinstance(event, StageStarted)] == ["down"]
    assert asked == ["cp1", "cp2"]
    assert failures == ()


def test_containers_of_others_end_a_run_before_anything_is_changed() -> None:
    heard: list[str] = []

    def answer(name: str) -> list[str]:
        heard.append(name)
        return [f"fail\t1\t{base64.b64encode(b'moby: 2 containers').decode()}"]

    hub = down(answer, unit="containerd.service")
    assert heard == ["w1"], "not even the node was drained"
    assert not hub.tally.touched, "the exit code says so"
    assert hub.tally.failures[0].found == "moby: 2 containers"


def test_units_stop_before_what_they_feed_on() -> None:
    """Pods would start again under a kubelet that runs, and what a runtime asks is not gone before it."""
    order = _stop_order([component.unit for component in COMPONENTS])
    assert sorted(order) == sorted(component.unit for component in COMPONENTS)
    for first, then in (
        ("kubelet", "kube-proxy"),
        ("kube-proxy", "kprov-metrics-proxy"),
        ("kprov-metrics-proxy", "containerd"),
        ("cri-dockerd", "dockerd"),
        ("dockerd", "dockerd-containerd"),
        ("containerd", "kprov-network"),
        ("kprov-network", "kube-scheduler"),
        ("kube-api-proxy", "kube-scheduler"),
        ("kube-scheduler", "kube-apiserver"),
        ("kube-controller-manager", "kube-apiserver"),
        ("kube-apiserver", "etcd"),
    ):
        assert order.index(f"{first}.service") < order.index(f"{then}.service"), (first, then)
    assert _stop_order(["old.service", "older.service", "etcd.service", "kubelet.service"]) == [
        *("kubelet.service", "older.service", "old.service", "etcd.service")
    ]


def test_what_starts_pods_is_gone_before_pods_are_and_nothing_else() -> None:
    sent = [str(head) for head in heads(batch(*(("unit", one.unit) for one in COMPONENTS)).operations)]
    pods = next(number for number, head in enumerate(sent) if "sandboxes" in head)
    gone = {
        one.name for one in COMPONENTS if any("remove_unit" in head and f"'{one.unit}'" in head for head in sent[:pods])
    }
    assert gone == {"kubelet", "kprov-service-rules", "kube-proxy"}
