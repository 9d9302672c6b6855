"""What is sent to a host that leaves: of kprov's own alone, in an order that a run cut off in between can go on from."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace

import pytest
from observed import bare, record
from pki_cases import host
from sent import heads

from kprov.apply import wire
from kprov.apply.batch import Batch
from kprov.apply.down import _stop_order, farewell_work, host_batch, take_down, tenants_batch
from kprov.apply.scripts import APPLY_COMMAND
from kprov.observe.gather import Fleet
from kprov.plan.farewell import Farewell
from kprov.report.hub import Hub
from kprov.report.redact import Redactor
from kprov.transport.base import Result
from kprov.transport.fake import FakeTransport
from kprov.values.components import COMPONENTS
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
