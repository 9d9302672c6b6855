"""What each roll of the table does in a run: its batches, what a host is sent, what is asked around a batch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from observed import bare

from kprov.apply import wire
from kprov.apply.batch import Batch
from kprov.apply.conversing import Exchange
from kprov.apply.operations import Sources
from kprov.apply.rolls import Request, Run, rolling
from kprov.observe.observation import EtcdMember, EtcdView
from kprov.plan import stage_names
from kprov.plan.cluster import ClusterPlan
from kprov.plan.encryption_change import EncryptionChange
from kprov.plan.etcd import Membership
from kprov.plan.host import HostPlan, Restart
from kprov.plan.runtime_swap import Swap
from kprov.plan.stages import STAGES, Stage
from kprov.plan.upgrades import NodeUpgrades
from kprov.transport.fake import FakeTransport
from kprov.values.events import HostFailed
from kprov.values.model import Cluster, Connection, Host, NetworkSettings, UpgradeSettings
from kprov.values.resources import File, Unit
from kprov.values.runtimes import RUNTIMES

UNIT = Unit(name="x.service", content=b"")
DEPLOYMENT = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "dns", "namespace": "n"}}
CONFIG = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "n"}}


def stage(name: str) -> Stage:
    return next(stage for stage in STAGES if stage.name == name)


def restarting(name: str, of: str) -> HostPlan:
    restarts = (Restart(stage=of, unit=UNIT, reason="x", running=True),)
    return HostPlan(
        host=name, changes=(), restarts=restarts, stamps={UNIT.name: "s", "kubelet.service": "s"}, unstamps={}
    )


def run(of: str = "node", **changes: Any) -> Run:
    """Three hosts that are everything, each with a unit to restart in stage `of`."""
    names = ("a", "b", "c")
    hosts = tuple(
        Host(name=name, groups=frozenset({"control_plane", "etcd"}), connection=Connection(address=name))
        for name in names
    )
    plan = ClusterPlan(
        hosts={name: restarting(name, of) for name in names},
        membership=Membership(),
        peers=(),
        objects=(),
        objects_known=True,
        desired_objects=(),
        not_ready=(),
        upgrades=NodeUpgrades(),
    )
    fake = FakeTransport(handler=lambda *_: pytest.fail("a roll sends nothing"))
    return Run(
        generation="g",
        rewritten=lambda *_: None,
        cluster=Cluster(
            name="c", versions={"kubernetes": "1.37.2"}, hosts=hosts, upgrade=UpgradeSettings(max_unavailable=2)
        ),
        plan=replace(plan, **changes),
        observations={name: bare() for name in names},
        sessions={host.name: fake.connect(host) for host in hosts},
        sources=lambda _: Sources(issue=lambda _: (b"", b""), packed=lambda _: None, download=lambda _: None),  # type: ignore[arg-type, return-value]
        kubeconfig=lambda: b"credential",
        bundle={},
    )


def opening(work: Exchange[None]) -> Batch:
    """The first batch of what a host is sent, an empty one when it is sent nothing."""
    return next(work, Batch())


def asked(request: Request | None) -> list[str]:
    """The nodes whose objects the first exec asks for."""
    assert request is not None
    sent = [one.asked for one in opening(request.work).operations if isinstance(one, wire.Ask)]
    (nodes,) = (words for words in sent if words[1] == "nodes")
    return [word for word in nodes[2 : nodes.index("-o")] if not word.startswith("-")]


@pytest.mark.parametrize("one", STAGES, ids=lambda one: one.name)
def test_every_row_of_the_table_can_be_carried_out(one: Stage) -> None:
    found = run(one.name)
    for names in rolling(one).batches(found):
        assert opening(rolling(one).work(found, names[0])).operations


@pytest.mark.parametrize(
    ("name", "batches"),
    [
        (stage_names.RUNTIME, [["a"], ["b", "c"]]),
        (stage_names.HOST_LOGS, [["a"], ["b", "c"]]),
        (stage_names.METRICS, [["a"], ["b", "c"]]),
        (stage_names.BOTH_WAYS, [["a", "b", "c"]]),
        (stage_names.API_SERVER, [["a"], ["b"], ["c"]]),
        (stage_names.NODE, [["a"], ["b", "c"]]),
        (stage_names.ETCD, [["a"], ["b"], ["c"]]),
        (stage_names.CLEANUP, [["a", "b", "c"]]),
    ],
)
def test_hosts_that_serve_are_taken_as_their_row_says(name: str, batches: list[list[str]]) -> None:
    assert rolling(stage(name)).batches(run(name)) == batches
    assert rolling(stage(name)).before(run(name), ["a"]) is None
    assert rolling(stage(name)).after(run(name), ["a"]) is None
    assert list(rolling(stage(name)).ending(run(name))) == []


def first_words(work: Exchange[None]) -> str:
    return opening(work).operations[0].word


def test_a_server_of_the_api_is_stopped_only_after_the_others_were_asked() -> None:
    servers = {name: f"https://{name}:6443" for name in "abc"}
    found, roll = run(stage_names.API_SERVER, servers=servers), rolling(stage(stage_names.API_SERVER))
    sent = opening(roll.work(found, "a"))
    assert [one.asked[2] for one in sent.operations if isinstance(one, wire.Ask)] == [
        "--server=https://127.0.0.1:6443",
        "--server=https://b:6443",
    ]
    assert ("kubeconfig", b"credential") in sent.payload
    # The only one there is, and one that does not run, wait for nobody.
    assert first_words(roll.work(run(stage_names.API_SERVER, servers={"a": "https://a:6443"}), "a")) == "keep"
    idle = {
        name: replace(plan, restarts=tuple(replace(one, running=False) for one in plan.restarts))
        for name, plan in found.plan.hosts.items()
    }
    assert first_words(roll.work(run(stage_names.API_SERVER, servers=servers, hosts=idle), "a")) == "unstamp"


def test_members_that_leave_are_removed_last_by_one_that_answers() -> None:
    gone = EtcdMember(id="f", name="d", peer_urls=("https://192.0.2.9:2380",), learner=False)
    found = run(stage_names.ETCD, membership=Membership(remove=(gone,), live=("https://b:2379",)))
    found.observations = {**found.observations, "b": replace(bare(), etcd=EtcdView(has_data=True, members=(gone,)))}
    (request,) = rolling(stage(stage_names.ETCD)).ending(found)
    assert (request.what, request.host) == ("etcd", "b")
    (removal,) = opening(request.work).operations
    assert isinstance(removal, wire.Ask)
    assert removal.asked == ("--endpoints=https://b:2379", "member", "remove", "f")


SWAP = Swap(going=(RUNTIMES["crio"],), coming=RUNTIMES["containerd"])


def test_nodes_are_drained_before_and_opened_after_their_batch() -> None:
    found = run(stage_names.UPGRADE, upgrades=NodeUpgrades(drain=("a", "b"), reopen=("c",)))
    roll = rolling(stage(stage_names.UPGRADE))
    assert roll.batches(found) == [["c"], ["a"], ["b"]]
    before, after = roll.before(found, ["a", "b"]), roll.after(found, ["a", "b"])
    assert before is not None
    assert after is not None
    assert (before.what, before.host) == (stage_names.DRAIN, "a")
    assert asked(roll.before(found, ["a", "b"])) == ["a", "b"]
    assert (after.what, after.host) == (stage_names.UNCORDON, "a")
    assert asked(roll.after(found, ["a", "b"])) == ["a", "b"]
    assert all(("kubeconfig", b"credential") in opening(request.work).payload for request in (before, after))


def test_a_node_that_failed_stays_cordoned() -> None:
    found = run(stage_names.UPGRADE, upgrades=NodeUpgrades(drain=("a", "b")))
    found.failures.append(HostFailed(stage="upgrade", host="a", resource="", expected="", found="", log="", todo=""))
    roll = rolling(stage(stage_names.UPGRADE))
    assert asked(roll.after(found, ["a", "b"])) == ["b"]
    assert roll.after(found, ["a"]) is None


def test_a_node_that_was_left_cordoned_is_opened_and_neither_drained_nor_changed() -> None:
    found = run(stage_names.UPGRADE, upgrades=NodeUpgrades(reopen=("c",)))
    roll = rolling(stage(stage_names.UPGRADE))
    assert roll.before(found, ["c"]) is None
    assert opening(roll.work(found, "c")).operations == []


def test_a_node_whose_runtime_is_swapped_is_sent_the_swap() -> None:
    found = run(stage_names.UPGRADE, upgrades=NodeUpgrades(drain=("a",), swaps={"b": SWAP}))
    roll = rolling(stage(stage_names.UPGRADE))
    stopped = [one.unit for one in opening(roll.work(found, "b")).operations if isinstance(one, wire.Stop)]
    assert "kubelet.service" in stopped
    assert not [one for one in opening(roll.work(found, "a")).operations if isinstance(one, wire.Stop)]
    assert roll.before(found, ["b"]) is None


def test_only_on_a_network_of_the_users_own_may_a_node_stay_without_one() -> None:
    for mode, waits in (("none", 1), ("routed", 2)):
        found = run(
            stage_names.UPGRADE,
            upgrades=NodeUpgrades(drain=("a",)),
            not_ready=("a",),
            network=NetworkSettings(mode=mode),  # type: ignore[arg-type]
        )
        after = rolling(stage(stage_names.UPGRADE)).after(found, ["a"])
        assert after is not None
        waited = [one for one in opening(after.work).operations if isinstance(one, wire.Ask) and one.until]
        assert len(waited) == waits, "for its kubelet, and to be Ready"


@pytest.mark.parametrize(
    "name",
    [stage_names.OBJECTS, stage_names.NETWORK, stage_names.WORKLOADS, stage_names.ADDONS, stage_names.READY],
)
def test_without_work_on_objects_no_control_plane_is_asked(name: str) -> None:
    assert rolling(stage(name)).batches(run(name)) == []


def test_work_on_objects_is_for_the_control_plane_that_answered_and_brings_its_credential() -> None:
    found = run(stage_names.WORKLOADS, objects_known=False, desired_objects=(DEPLOYMENT, CONFIG))
    found.observations = {**found.observations, "b": replace(bare(), objects=())}
    for name in (stage_names.OBJECTS, stage_names.WORKLOADS):
        assert rolling(stage(name)).batches(found) == [["b"]]
        assert ("kubeconfig", b"credential") in opening(rolling(stage(name)).work(found, "b")).payload


def test_readiness_is_asked_when_something_changed_or_nodes_are_not_ready() -> None:
    roll = rolling(stage(stage_names.READY))
    changed = run()
    changed.changed = True
    assert roll.batches(changed) == [["a"]]
    assert roll.batches(run(not_ready=("b",))) == [["a"]]
    assert roll.batches(run()) == []


def test_an_add_on_that_nodes_need_ends_the_run_when_it_is_refused() -> None:
    assert [one.name for one in STAGES if one.ends_run] == [stage_names.NETWORK]


def rewriting() -> Run:
    file = File(path="/etc/kubernetes/encryption.yaml", content=b"x")
    change = EncryptionChange(reads=file, writes=replace(file, content=b"y"), resources=("secrets",), settled="settled")
    return run(stage_names.NEW_KEY, encryption=change)


def metrics_asked(batch: Batch) -> list[tuple[str, str]]:
    """Server and hash of each file that a server is asked about."""
    asks = [one for one in batch.operations if isinstance(one, wire.Ask) and one.program == "metrics"]
    return [(one.asked[0], one.until) for one in asks]


def test_no_server_writes_with_a_new_key_before_all_of_them_read_it() -> None:
    found = rewriting()
    request = rolling(stage(stage_names.NEW_KEY)).before(found, ["a"])
    assert request is not None
    assert found.plan.encryption is not None
    reads = f'hash="sha256:{found.plan.encryption.reads.sha256}"'
    assert [text for _, text in metrics_asked(opening(request.work))] == [reads] * 3
    assert rolling(stage(stage_names.NEW_KEY)).before(run(stage_names.NEW_KEY), ["a"]) is None


def test_objects_are_written_again_once_all_servers_write_with_the_new_key() -> None:
    found, roll = rewriting(), rolling(stage(stage_names.REWRITE))
    assert roll.batches(found) == [["a"]]
    assert found.plan.encryption is not None
    writes = f'hash="sha256:{found.plan.encryption.writes.sha256}"'
    assert [text for _, text in metrics_asked(opening(roll.work(found, "a")))] == [writes] * 3
    assert roll.batches(run()) == []
    assert list(roll.work(run(), "a")) == []
