"""When a node's runtime is swapped, in which order, what of it waits, and how an unfinished swap is seen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from observed import FACTS
from sent import heads

from kprov.apply import wire
from kprov.apply.operations import Sources
from kprov.apply.runtime_swap import swap_batch
from kprov.observe.observation import Observation, Record
from kprov.plan.host import Change, HostPlan, Restart
from kprov.plan.runtime_swap import Swap, swaps
from kprov.plan.upgrades import NodeUpgrades, decide, deferred
from kprov.values.model import Cluster, Connection, Host, UpgradeSettings
from kprov.values.resources import Artifact, Binary, File, Image, Key, Unit
from kprov.values.runtimes import RUNTIMES, Runtime, stored_in

OTHER = Runtime(
    name="other",
    title="other",
    units=("other-store.service", "other.service"),
    cri="/run/other/cri.sock",
    store="/run/other/containerd.sock",
    programs=("other", "runc"),
    drained_for=("other",),
    folders=("/etc/other", "/var/lib/other"),
    run=("/run/other",),
    scheme="other",
    components=("containerd",),
)
SOURCES = Sources(issue=lambda _: (b"", b""), packed=lambda _: (Path("pause.tar"), "raw"), download=lambda _: None)
PAUSE = Artifact(name="image-pause", version="1", arch="amd64", sha256="0" * 64, size=1, local="", reference="p:1")
OLD: tuple[Key, ...] = (
    ("directory", "/etc/containerd"),
    ("directory", "/etc/containerd/certs.d"),
    ("directory", "/var/lib/containerd"),
    ("binary", "/opt/kprov/bin/containerd"),
    ("file", "/etc/containerd/config.toml"),
    ("file", "/etc/systemd/system/containerd.service"),
    ("unit", "containerd.service"),
    ("image", "p:1"),
)


@pytest.fixture(autouse=True)
def _two_runtimes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RUNTIMES, "other", OTHER)


def cluster(nodes: int = 2, **upgrade: bool) -> Cluster:
    hosts = tuple(
        Host(name=f"w{n}", groups=frozenset({"worker"}), connection=Connection(address="192.0.2.1"), runtime="other")
        for n in range(1, nodes + 1)
    )
    settings = UpgradeSettings(**upgrade)  # type: ignore[arg-type]
    return Cluster(name="c", versions={"kubernetes": "1.37.2"}, hosts=hosts, upgrade=settings)


def deletion(key: Key) -> Change:
    return Change(stage="cleanup", key=key, action="delete", reasons=("the inventory no longer asks for it",))


def creation(resource: Binary | File | Image | Unit, stage: str) -> Change:
    return Change(stage=stage, key=resource.key, action="create", reasons=("it is not there",), resource=resource)


def plan(*deleted: Key, host: str = "w1") -> HostPlan:
    unit = Unit(name="other.service", content=b"", reads=frozenset({"/etc/other/config"}))
    kubelet = Unit(name="kubelet.service", content=b"")
    return HostPlan(
        host=host,
        changes=(
            creation(File(path="/etc/other/config", content=b""), "runtime"),
            creation(File(path="/etc/kprov/network.conf", content=b""), "runtime"),
            creation(Image(reference="p:1", artifact=PAUSE, store=OTHER.store), "runtime"),
            creation(File(path="/var/lib/kubelet/config.yaml", content=b""), "node"),
            *map(deletion, deleted),
        ),
        restarts=(
            Restart(stage="runtime", unit=unit, reason="it is new", running=False),
            Restart(stage="node", unit=kubelet, reason="its unit file changes", running=True),
        ),
        stamps={"other.service": "1", "kubelet.service": "2"},
        unstamps={},
    )


def observation(*keys: Key) -> Observation:
    records = {key: Record(kind=key[0], name=key[1], value="purge", stat="-", before="absent") for key in keys}
    return Observation(facts=FACTS, records=records, versions={"kubelet": "1.37.2"})


def decided(own: HostPlan, of: Cluster) -> NodeUpgrades:
    return decide(of, {"w1": own}, {"w1": observation()}, ())


def test_what_belongs_to_a_runtime() -> None:
    containerd = RUNTIMES["containerd"]
    assert all(containerd.owns(key) for key in OLD)
    assert not any(OTHER.owns(key) for key in OLD)
    assert not containerd.owns(("file", "/etc/containerd-other/config.toml"))
    assert not containerd.owns(("image", f"p:1 {OTHER.store}"))
    assert not containerd.owns(("package", "haproxy"))
    assert (stored_in("p:1"), stored_in("p:1 /run/x.sock")) == ("/run/containerd/containerd.sock", "/run/x.sock")


def test_another_runtime_drains_the_node_where_pods_have_somewhere_to_go() -> None:
    swap = {"w1": Swap(going=(RUNTIMES["containerd"],), coming=OTHER)}
    assert decided(plan(*OLD), cluster()) == NodeUpgrades(drain=("w1",), swaps=swap)
    assert decided(plan(*OLD), cluster(drain=False)) == NodeUpgrades(swaps=swap)
    assert decided(plan(*OLD), cluster(nodes=1)) == NodeUpgrades(swaps=swap)
    assert decided(plan(), cluster()) == NodeUpgrades()
    assert swaps(cluster(), {"w1": plan(("binary", "/opt/kprov/bin/runc"))}) == {}, "a program of both tells nothing"


@pytest.mark.parametrize("left", [key for key in OLD if key[0] != "binary"])
def test_whatever_is_left_of_the_old_one_is_an_unfinished_swap(left: Key) -> None:
    assert set(decided(plan(left), cluster()).swaps) == {"w1"}


def test_nodes_that_are_not_drained_are_swapped_one_after_the_other_too() -> None:
    swap = Swap(going=(RUNTIMES["containerd"],), coming=OTHER)
    upgrades = NodeUpgrades(drain=("b",), swaps={"a": swap, "b": swap, "c": swap}, reopen=("a", "x"))
    assert upgrades.rounds(1) == [["x"], ["b"], ["a"], ["c"]]
    assert set(upgrades.of({"c"}).swaps) == {"c"}


def test_both_runtimes_and_the_node_wait_and_the_network_does_not() -> None:
    own = plan(*OLD, ("package", "haproxy"))
    moved = deferred(own, decided(own, cluster()))
    staying = {change.key for change in moved.changes if change.stage != "upgrade"}
    assert staying == {("file", "/etc/kprov/network.conf"), ("package", "haproxy")}
    assert {restart.stage for restart in moved.restarts} == {"upgrade"}


def test_the_old_one_is_gone_before_the_new_one_comes_and_kubelet_is_last() -> None:
    own = plan(*OLD)
    upgrades = decided(own, cluster())
    batch = swap_batch(deferred(own, upgrades), "upgrade", upgrades.swaps["w1"], observation(*OLD), SOURCES)
    words = heads(batch.operations)
    socket = "/run/containerd/containerd.sock"
    assert words[:3] == [("alone", socket), ("stop", "kubelet.service"), ("sandboxes", socket)]
    order = [
        ("stop", "containerd.service"),
        ("run", "0000/content"),
        ("clear", "/run/containerd"),
        ("remove_unit", "containerd.service"),
        ("remove_image", "p:1"),
        ("remove", "file"),
        ("remove", "binary"),
        ("remove_directory", "/var/lib/containerd"),
        ("remove_directory", "/etc/containerd/certs.d"),
        ("remove_directory", "/etc/containerd"),
        ("checkpoint",),
    ]
    places = [words.index(entry) for entry in order]
    assert places == sorted(places)
    after = words[places[-1] + 1 :]
    started = after.index(("restart", "other.service"))
    assert started < after.index(("image", f"p:1 {OTHER.store}")) < after.index(("restart", "kubelet.service"))
    assert not any(word[0].startswith("remove") for word in after)


def test_what_the_old_one_has_in_the_firewall_goes_after_it_has_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RUNTIMES, "containerd", replace(RUNTIMES["containerd"], tables=(("ip", "its-ports"),)))
    swap = Swap(going=(RUNTIMES["containerd"],), coming=OTHER)
    operations = swap_batch(plan(*OLD), "runtime", swap, observation(*OLD), SOURCES).operations
    stopped, dropped = wire.Stop(unit="containerd.service"), wire.DropTable(family="ip", name="its-ports")
    assert operations.index(stopped) < operations.index(dropped)


def test_a_runtime_whose_unit_is_not_recorded_is_never_spoken_to() -> None:
    """Its socket, and what lies below /run, may be somebody else's."""
    left = [key for key in OLD if key[0] != "unit"]
    swap = Swap(going=(RUNTIMES["containerd"],), coming=OTHER)
    batch = swap_batch(plan(*left), "upgrade", swap, observation(*left), SOURCES)
    words = {operation.word for operation in batch.operations}
    assert not words & {"sandboxes", "unmount", "clear", "remove_unit"}
    assert {"remove", "remove_directory"} <= words, "what is recorded goes"


def test_a_foreign_unit_whose_name_the_old_one_had_taken_runs_again() -> None:
    seen = observation(*OLD)
    key = ("unit", "containerd.service")
    taken = {**seen.records, key: replace(seen.records[key], before="present enabled active")}
    swap = Swap(going=(RUNTIMES["containerd"],), coming=OTHER)
    batch = swap_batch(plan(*OLD), "upgrade", swap, replace(seen, records=taken), SOURCES)
    words = [operation.word for operation in batch.operations]
    assert words.index("remove") < words.index("reload_units") < words.index("give_back_unit")


def test_a_kubelet_that_needs_no_change_is_started_again() -> None:
    own = replace(plan(("directory", "/var/lib/containerd")), changes=(), restarts=())
    swap = Swap(going=(RUNTIMES["containerd"],), coming=OTHER)
    operations = swap_batch(own, "upgrade", swap, observation(), SOURCES).operations
    assert operations[0] == wire.Stop(unit="kubelet.service")
    assert [operation.word for operation in operations[-5:]] == ["restart", "steady", "gate", "started", "stamp"]
    assert operations[-1] == wire.Stamp(unit="kubelet.service", value="2")
