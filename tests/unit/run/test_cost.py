"""What whole runs cost in execs, with no add-on, one, many and all: `up` on hosts that do all they are told."""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from inventory_text import loaded
from obedient import Machine, Obedient

from kprov.addon.describe import shelf
from kprov.apply.scripts import APPLY_COMMAND
from kprov.artifacts.progress import Silent
from kprov.artifacts.provide import named
from kprov.observe.probe import PROBE_COMMAND
from kprov.plan import cluster as cluster_plan
from kprov.run.up import apply, prepare
from kprov.run.workspace import Workspace
from kprov.state.store import Store
from kprov.transport.fake import FakeTransport
from kprov.values.context import Context
from kprov.values.errors import PreflightError
from kprov.values.events import Event, HostStarted
from kprov.values.model import Cluster
from kprov.values.resources import Artifact, Resource

HOSTS = ("cp1", "w1", "w2")
OWN = Path(__file__).parents[2] / "e2e" / "own_addons"
# Every add-on of kprov's that a cluster may have beside the others: not a second network, nor a cloud's.
SHIPPED = tuple(
    name for name in shelf(None) if not name.startswith("cloud-") and name not in ("calico", "cilium", "flannel")
)
ON_HOSTS = {"logging", "monitoring"}  # with units of their own on every host
CHOICES: Mapping[str, tuple[str, ...]] = {
    "none": (),
    "one": ("metrics-server",),
    "many": (*(name for name in SHIPPED if name not in ON_HOSTS), "hello", "plain", "front", "large"),
    "all": (*SHIPPED, "hello", "plain", "front", "large"),
}
LARGE = 200  # objects of one add-on


@dataclass(frozen=True, kw_only=True)
class Run:
    """One `up` that ended well. execs, probes: by host; applied: execs that changed something, of all hosts by stage."""

    execs: Mapping[str, int]
    probes: Mapping[str, int]
    applied: Mapping[str, int]
    objects: int  # in the cluster afterwards


@dataclass(frozen=True, kw_only=True)
class Site:
    """An inventory, its keys and its hosts."""

    folder: Path
    hosts: Obedient

    def up(self, addons: Iterable[str], transport: FakeTransport | None = None) -> Run:
        heard: list[Event] = []
        transport = transport or FakeTransport(handler=self.hosts.answer)
        cluster = self._cluster(addons)
        workspace = Workspace(
            cluster=cluster,
            store=Store.open(self.folder / "state", cluster.name),
            transport=transport,
            cache=self.folder,
            lock_file=None,
            emit=heard.append,
            progress=Silent(),
        )
        with prepare(workspace, draft=False) as prepared:
            outcome = apply(workspace, prepared)
        assert outcome.failures == ()
        stages = Counter(event.stage for event in heard if isinstance(event, HostStarted))
        commands = Counter(call.command for call in transport.calls)
        assert commands[APPLY_COMMAND] == stages.total()
        return Run(
            execs={name: transport.counters[name].execs for name in HOSTS},
            probes=Counter(call.host for call in transport.calls if call.command == PROBE_COMMAND),
            applied=stages,
            objects=len(self.hosts.objects),
        )

    def _cluster(self, addons: Iterable[str]) -> Cluster:
        hosts = {name: {"address": f"192.0.2.{number}", "groups": ["worker"]} for number, name in enumerate(HOSTS, 11)}
        hosts["cp1"]["groups"] = ["control_plane"]
        switched = {"metrics-server": False, **dict.fromkeys(addons, True)}
        text = yaml.safe_dump({"cluster": {"name": "cost", "addons": switched}, "hosts": hosts})
        return loaded(text, path=self.folder / "inventory.yaml").cluster


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What every program and image consists of: only their names, versions and sums count here."""
    path = tmp_path_factory.mktemp("content") / "content"
    path.write_bytes(b"x")

    versions: dict[str, str] = {}  # by the sum of a program, as the operator's cache knows them

    def provide(cluster: Cluster, archs: Iterable[str], *_: Any, **__: Any) -> dict[tuple[str, str], Artifact]:
        found = {}
        for key, one in named(cluster, archs).items():
            sha256 = hashlib.sha256((one.reference or one.name).encode()).hexdigest()
            found[key] = replace(one, sha256=sha256, size=1, local=str(path))
            versions[found[key].sha256] = one.version
        return found

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("kprov.run.up.provide", provide)
        patched.setattr("kprov.run.up.packed", lambda _artifact, *, compress: (path, "raw"))
        patched.setattr("kprov.run.up.cached", lambda _: versions)
        yield path


def _made(folder: Path) -> Site:
    shutil.copytree(OWN, folder / "addons")
    large = folder / "addons" / "large"
    large.mkdir()
    items = [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"large-{number}", "namespace": "default"}}
        for number in range(LARGE)
    ]
    (large / "all.yaml").write_text(yaml.safe_dump_all(items))
    return Site(folder=folder, hosts=Obedient())


@pytest.fixture(scope="module")
def runs(content: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, tuple[Run, Run]]:
    """Choice of add-ons → the first `up`, from bare hosts, and the second."""
    found = {}
    for choice, addons in CHOICES.items():
        site = _made(tmp_path_factory.mktemp(choice))
        found[choice] = site.up(addons), site.up(addons)
    return found


def test_all_that_can_be_together_is_on(runs: Mapping[str, tuple[Run, Run]]) -> None:
    assert set(SHIPPED) >= {"metrics-server", "monitoring", "logging", "storage", "node-local-dns", "headlamp"}
    counted = [runs[choice][0].objects for choice in CHOICES]
    assert counted == sorted(counted)
    assert counted[-1] > counted[0] + LARGE + 70


@pytest.mark.parametrize("choice", CHOICES)
def test_a_second_run_is_one_exec_a_host_and_writes_nothing(runs: Mapping[str, tuple[Run, Run]], choice: str) -> None:
    """However many add-ons are on and however many objects they have."""
    _, second = runs[choice]
    assert second.execs == second.probes == dict.fromkeys(HOSTS, 1)
    assert second.applied == {}


@pytest.mark.parametrize(
    ("said", "named"),
    [
        ("holds\t/var/lib/containerd\tyes", "LeftOver"),
        (
            "unit\tkubelet.service\tactive enabled no loaded",
            "ForeignUnit",
        ),
        ("symlink\t/var/lib/kubelet\t/data/kubelet", "SymbolicLink"),
    ],
)
def test_what_is_not_kprovs_ends_a_run_before_anything_is_sent(
    content: Path, tmp_path: Path, said: str, named: str
) -> None:
    site = _made(tmp_path / "site")
    site.hosts.machines["w2"] = Machine(number=9, says=(said,))
    transport = FakeTransport(handler=site.hosts.answer)
    with pytest.raises(PreflightError, match=named):
        site.up((), transport)
    assert {call.command for call in transport.calls} == {PROBE_COMMAND}


def test_a_second_run_asks_roles_once_what_each_host_should_have(content: Path, tmp_path: Path) -> None:
    site = _made(tmp_path / "site")
    site.up(CHOICES["many"])
    asked: list[str] = []
    original = cluster_plan.desired

    def counted(context: Context) -> dict[str, list[Resource]]:
        asked.append(context.host.name)
        return original(context)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("kprov.plan.cluster.desired", counted)
        site.up(CHOICES["many"])
    assert sorted(asked) == sorted(HOSTS)


def test_what_add_ons_add_to_a_first_run_does_not_grow_with_them(runs: Mapping[str, tuple[Run, Run]]) -> None:
    first = {choice: run for choice, (run, _) in runs.items()}
    assert [run.probes for run in first.values()] == [dict.fromkeys(HOSTS, 2)] * len(CHOICES)
    # One exec writes all objects of all add-ons, and waits for them …
    assert first["one"].applied == {**first["none"].applied, "addons": 1}
    assert first["many"].applied == first["one"].applied
    # … and what logging and monitoring have on hosts is a stage each.
    on_hosts = dict.fromkeys(("host-logs", "metrics"), len(HOSTS))
    assert first["all"].applied == {**first["many"].applied, **on_hosts}


def test_switched_on_in_a_cluster_that_runs_they_cost_a_stage_each_and_no_more(content: Path, tmp_path: Path) -> None:
    site = _made(tmp_path / "site")
    site.up(CHOICES["none"])
    added = site.up(CHOICES["all"])
    batches = added.applied.pop("heartbeats")
    assert batches == 2  # the canary, and the rest
    assert set(added.applied) == {*("host", "runtime", "objects", "node", "host-logs", "metrics", "addons", "ready")}
    # The probes, the lock, and the stages.
    reach = 2  # on a control plane, besides the last stage's own: its pod that asks the others, and the end of all pods
    assert max(added.execs.values()) == 2 + 1 + len(added.applied) + batches + reach
    assert site.up(CHOICES["all"]).execs == dict.fromkeys(HOSTS, 1)
