"""Which Kubernetes objects are sent before the nodes, which after them, in which order they go, and what is waited for."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from talks import answering

from kprov.addon.certificates import SecretCertificate
from kprov.addon.desired import AddonObjects
from kprov.addon.readiness import Unready
from kprov.apply import wire
from kprov.apply.conversing import Work
from kprov.apply.objects import addons_work, network_work, objects_work, ready_work, workloads_work
from kprov.objects.listing import NAME, departures, list_object, listed
from kprov.objects.objects import Object, compare, identity, stamped
from kprov.plan.cluster import ClusterPlan
from kprov.plan.conversation import Answer, Request
from kprov.plan.etcd import Membership
from kprov.plan.upgrades import NodeUpgrades
from kprov.report.plan_view import plan_lines, plan_values
from kprov.values.addon import Addon, Description
from kprov.values.certificate import CertificateSpec
from kprov.values.model import CloudSettings, NetworkSettings

GROUPS = {
    "Deployment": "apps/v1",
    "Namespace": "v1",
    "APIService": "apiregistration.k8s.io/v1",
    "StorageClass": "storage.k8s.io/v1",
}
WIDE = {"Namespace", "APIService", "StorageClass"}


def item(kind: str, name: str, **more: Any) -> dict[str, Any]:
    metadata = {"name": name} if kind in WIDE else {"name": name, "namespace": "ns"}
    return {"apiVersion": GROUPS.get(kind, "v1"), "kind": kind, "metadata": metadata, "spec": {"x": 1}, **more}


ROUTED = NetworkSettings()
WANTED = (item("ConfigMap", "settings"), item("Deployment", "web"))


def addon(name: str, *objects: Object, ready: tuple[str, ...] = (), issues: Any = ()) -> AddonObjects:
    description = Description(name=name, folder=Path("/addons"), summary="", namespace="ns", ready=ready)
    made = Addon(description=description, version="", parameters={}, images=())
    return AddonObjects(addon=made, objects=objects, issues=issues)


def list_of(items: Iterable[Object]) -> Object:
    return stamped(list_object(map(identity, items)))


def plan(
    desired: Sequence[Object],
    live: Sequence[Object] | None,
    *addons: AddonObjects,
    recreate: frozenset[str] = frozenset(),
    delete_data: bool = False,
    leaving_data: tuple[str, ...] = (),
    network: NetworkSettings = ROUTED,
    not_ready: tuple[str, ...] = (),
) -> ClusterPlan:
    everything = [*desired, *(one for each in addons for one in each.objects)]
    names = frozenset(map(identity, everything))
    leaving = departures(names, live or (), listed(live or ()), delete_data=delete_data)
    listing = stamped(list_object([*names, *leaving.kept]))
    return ClusterPlan(
        hosts={},
        membership=Membership(),
        peers=(),
        objects=(*compare([listing, *everything], live or ()), *leaving.changes),
        objects_known=live is not None,
        desired_objects=tuple(desired),
        not_ready=not_ready,
        upgrades=NodeUpgrades(),
        network=network,
        addons=addons,
        known=listed(live or ()),
        apis={identity(one): str(one["apiVersion"]) for one in live or ()},
        kept=leaving.kept,
        recreate=recreate,
        delete_data=delete_data,
        leaving_data=leaving_data,
    )


def reply(request: Request) -> Answer:
    """Of a cluster that takes everything, in which nothing is there yet."""
    if "json" in request.arguments:
        return Answer(code=0, text='{"kind": "List", "items": []}')
    if "--no-headers" in request.arguments:
        return Answer(code=0, text="a True\nb True\n")
    return Answer(code=0, text="." if "go-template" in str(request.arguments) else "")


def requests(work: Work) -> list[Request]:
    return [request for talk in work.talks for request in answering(reply, talk())[1]]


def word(request: Request) -> str:
    """What a request is for."""
    verb, what, *_ = request.arguments
    if verb == "apply":
        own = "--force-conflicts" in request.arguments
        return ("first_list" if request.about == "the list of objects" else "objects") if own else "addon"
    if verb in ("rollout", "wait"):
        return "namespace_gone" if what == "--for=delete" else "addon_ready"
    if what == "nodes":
        return "registered" if "--no-headers" in request.arguments else "nodes_initialized"
    found = {"persistentvolumes": "volumes_gone", "configmap": "list_there"}
    return "delete_objects" if verb == "delete" else found.get(what, what)


def documents(work: Work, kind: str) -> list[dict[str, Any]]:
    """The objects in all requests of that word, in order."""
    return [found for one in requests(work) if word(one) == kind for found in yaml.safe_load_all(one.stdin)]


def applied(work: Work, kind: str = "objects") -> list[str]:
    return [found["metadata"]["name"] for found in documents(work, kind)]


def words(work: Work) -> list[str]:
    return [*(operation.word for operation in work.first.operations), *map(word, requests(work))]


def heads(work: Work) -> list[tuple[str, str]]:
    """Each word, and what it is about."""
    return [(word(one), one.about) for one in requests(work)]


def asked(work: Work) -> list[str]:
    return [operation.argument for operation in work.first.operations if isinstance(operation, wire.Gate)]


def issue(_: CertificateSpec) -> tuple[bytes, bytes]:
    return b"certificate", b"key"


def test_what_makes_pods_waits_until_all_nodes_are_ready() -> None:
    made = plan(WANTED, None)
    assert applied(objects_work(made)) == ["settings"]
    later = workloads_work(made, ["a", "b"])
    assert words(later) == ["nodes_ready", "objects"]
    assert later.first.operations[0] == wire.NodesReady(nodes=("a", "b"), seconds=180)
    assert applied(later) == ["web"]


def test_what_is_in_order_is_not_sent_again() -> None:
    made = plan(WANTED, (*WANTED, list_of(WANTED)))
    assert words(objects_work(made)) == []
    assert words(workloads_work(made, ["a"])) == []
    assert words(addons_work(made, {}, issue)) == []


def test_only_what_differs_is_sent() -> None:
    drifted = {**WANTED[1], "spec": {"x": 2}}
    made = plan(WANTED, (WANTED[0], drifted, list_of(WANTED)))
    assert words(objects_work(made)) == []
    assert applied(workloads_work(made, ["a"])) == ["web"]


def test_without_nodes_nothing_waits_for_nodes() -> None:
    assert words(workloads_work(plan(WANTED, None), [])) == ["objects"]
    assert [command.split()[-1] for command in asked(ready_work(plan(WANTED, None), []))] == ["deployment/web"]


def node(name: str, pod_cidr: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": {"podCIDR": pod_cidr}}


def test_nodes_are_asked_through_the_tunnel_before_a_run_ends() -> None:
    desired = (node("a", "10.244.0.0/24"), node("b", "10.244.7.0/24"), node("c", "10.244.9.0/24"), *WANTED)
    tunnelled = ready_work(plan(desired, None, network=NetworkSettings(mode="vxlan")), ["a", "b"])
    assert [command.split()[1:] for command in asked(tunnelled) if "kprov-network" in command] == [
        ["reach", "10.244.0.1", "10.244.7.1"]
    ]
    assert "reach" not in str(ready_work(plan(desired, None), ["a", "b"]).first.operations)


def test_without_a_network_of_kprovs_nodes_are_registered_and_nothing_waits_for_pods() -> None:
    none = NetworkSettings(mode="none")
    first = plan(WANTED, None, addon("one", item("Deployment", "web"), ready=("deployment/web",)), network=none)
    assert words(workloads_work(first, ["a", "b"])) == ["registered", "objects"]
    assert words(addons_work(first, {}, issue)) == ["addon"]
    assert words(ready_work(first, ["a", "b"])) == ["registered"]


def test_an_add_on_that_is_the_pod_network_goes_before_the_others_and_alone() -> None:
    network = addon("flannel", item("Deployment", "agent"), ready=("daemonset/kube-flannel-ds",))
    other = addon("other", item("Deployment", "web"))
    made = plan((), None, network, other, network=NetworkSettings(mode="flannel"))
    assert heads(network_work(made, {}, issue)) == [
        ("addon", "add-on flannel"),
        ("addon_ready", "add-on flannel: daemonset/kube-flannel-ds"),
    ]
    assert heads(addons_work(made, {}, issue)) == [("addon", "add-on other")]
    assert words(network_work(plan((), None, other), {}, issue)) == []


def test_once_the_users_network_is_there_all_is_waited_for() -> None:
    none = NetworkSettings(mode="none")
    live = (*WANTED, list_of(WANTED))
    assert words(ready_work(plan(WANTED, live, network=none, not_ready=("b",)), ["a", "b"])) == ["registered"]
    assert words(ready_work(plan(WANTED, live, network=none), ["a", "b"])) == ["nodes_ready", "gate"]


def test_the_list_grows_before_an_object_is_made_and_shrinks_after_one_is_gone() -> None:
    old, new = item("ConfigMap", "old"), item("ConfigMap", "new")
    made = plan((new,), (old, list_of([old])))
    first = objects_work(made)
    assert words(first) == ["objects", "delete_objects"]
    assert applied(first) == [NAME, "new"]
    assert listed(documents(first, "objects")) == {identity(old), identity(new)}
    last = addons_work(made, {}, issue)
    assert listed(documents(last, "objects")) == {identity(new)}


def test_a_list_with_its_old_name_goes_after_the_new_one_is_written() -> None:
    made = list_of(WANTED)
    old = {**made, "metadata": {**made["metadata"], "name": "kprov-inventory"}}
    changed = plan(WANTED, (*WANTED, old))
    first = objects_work(changed)
    assert words(first) == ["objects", "delete_objects"]
    assert (applied(first), applied(first, "delete_objects")) == ([NAME], ["kprov-inventory"])
    assert listed(documents(addons_work(changed, {}, issue), "objects")) == set(map(identity, WANTED))


def test_a_list_that_only_shrinks_is_written_once_at_the_end() -> None:
    old = item("ConfigMap", "old")
    made = plan(WANTED, (*WANTED, old, list_of([*WANTED, old])))
    assert words(objects_work(made)) == ["delete_objects"]
    assert applied(addons_work(made, {}, issue)) == [NAME]


def test_a_list_that_nobody_could_read_is_never_replaced() -> None:
    first = objects_work(plan(WANTED, None))
    assert words(first) == ["list_there", "first_list", "objects"]
    assert applied(first, "first_list") == [NAME]
    assert words(addons_work(plan(WANTED, None), {}, issue)) == []


def test_only_what_the_list_names_is_pruned() -> None:
    copied = item("ConfigMap", "copied", metadata={"name": "copied", "namespace": "ns", "labels": {"same": "as ours"}})
    made = plan(WANTED, (*WANTED, copied, list_of(WANTED)))
    assert words(objects_work(made)) == []


def test_what_a_controller_made_from_ours_is_not_pruned() -> None:
    made_by = {"name": "made", "namespace": "ns", "ownerReferences": [{"kind": "Deployment"}]}
    child = item("ConfigMap", "made", metadata=made_by)
    assert words(objects_work(plan(WANTED, (*WANTED, child, list_of([*WANTED, child]))))) == []


def test_what_stands_before_the_api_goes_first_and_namespaces_last() -> None:
    old = [item("Namespace", "ns"), item("ConfigMap", "c"), item("Deployment", "d"), item("APIService", "v1.x")]
    made = plan((), (*old, list_of(old)))
    assert applied(objects_work(made), "delete_objects") == ["v1.x", "d", "c", "ns"]
    assert words(objects_work(made))[0] == "persistentvolumeclaims", (
        "before anything is deleted: others' data may be in it"
    )
    assert heads(addons_work(made, {}, issue))[0] == ("namespace_gone", "Namespace ns gone")


def test_a_webhook_goes_before_the_list_is_written_that_it_would_refuse() -> None:
    old = [item("ValidatingWebhookConfiguration", "deny"), item("ConfigMap", "c")]
    batch = objects_work(plan((item("ConfigMap", "new"),), (*old, list_of(old))))
    assert words(batch) == ["delete_objects", "objects", "delete_objects"]
    assert applied(batch, "delete_objects") == ["deny", "c"]


def test_data_and_the_namespace_it_is_in_stay_until_they_are_asked_for() -> None:
    old = [item("Namespace", "ns"), item("PersistentVolumeClaim", "data"), item("Deployment", "d")]
    made = plan((), (*old, list_of(old)))
    assert applied(objects_work(made), "delete_objects") == ["d"]
    assert sorted(key[1] for key in made.kept) == ["Namespace", "PersistentVolumeClaim"]
    assert listed(documents(addons_work(made, {}, issue), "objects")) == set(made.kept)
    again = plan((), (*old[:2], list_of(old[:2])))
    assert again.objects == ()
    gone = plan((), (*old[:2], list_of(old[:2])), delete_data=True)
    batch = objects_work(gone)
    assert applied(batch, "delete_objects") == ["data", "ns"]
    assert "persistentvolumeclaims" not in words(batch)


def test_a_volume_of_an_add_on_stays_with_its_claim() -> None:
    old = [item("PersistentVolume", "disk"), item("Deployment", "d")]
    made = plan((), (*old, list_of(old)))
    assert applied(objects_work(made), "delete_objects") == ["d"]
    assert [key[1] for key in made.kept] == ["PersistentVolume"]


def test_each_addon_is_applied_for_itself_and_waited_for_after_all_are_applied() -> None:
    addons = (addon("one", WANTED[1], ready=("deployment/web",)), addon("two", item("ConfigMap", "c")))
    batch = addons_work(plan((), None, *addons), {}, issue)
    assert heads(batch) == [
        *(("addon", "add-on one"), ("addon", "add-on two"), ("addon_ready", "add-on one: deployment/web")),
    ]
    assert requests(batch)[2].arguments[:3] == ("rollout", "status", "deployment/web")


def test_the_clouds_controller_goes_first_and_the_others_wait_for_nodes_it_has_taken_over() -> None:
    addons = (
        addon("another", WANTED[1], ready=("deployment/web",)),
        addon("cloud-x", item("ConfigMap", "c"), ready=("daemonset/x",)),
    )
    made = replace(plan((), None, *addons), cloud=CloudSettings(provider="x"), uninitialized=("a", "b"))
    assert heads(network_work(made, {}, issue)) == [
        ("addon", "add-on cloud-x"),
        ("addon_ready", "add-on cloud-x: daemonset/x"),
        ("nodes_initialized", "nodes taken over by the cloud's controller"),
    ]
    assert heads(addons_work(made, {}, issue)) == [
        ("addon", "add-on another"),
        ("addon_ready", "add-on another: deployment/web"),
    ]


def test_nodes_that_nobody_took_over_are_waited_for_though_nothing_differs() -> None:
    quiet = addon("cloud-x", WANTED[1], ready=("deployment/web",))
    made = plan((), (WANTED[1], list_of([WANTED[1]])), quiet)
    waiting = replace(made, cloud=CloudSettings(provider="x"), uninitialized=("a",))
    assert (waiting.empty, waiting.settled) == (True, False)
    assert words(network_work(waiting, {}, issue)) == ["nodes_initialized"]
    assert "not taken over by the cloud's controller yet: a" in plan_lines(waiting)


def test_an_addon_in_order_is_neither_sent_nor_waited_for() -> None:
    quiet = addon("one", WANTED[1], ready=("deployment/web",))
    made = plan((), (WANTED[1], list_of([WANTED[1]])), quiet)
    assert words(addons_work(made, {}, issue)) == []


def test_an_addon_that_is_not_ready_is_waited_for_though_nothing_of_it_differs() -> None:
    quiet = addon("one", WANTED[1], ready=("deployment/web", "apiservice/v1.x"))
    made = plan((), (WANTED[1], list_of([WANTED[1]])), quiet)
    waiting = replace(made, unready=(Unready(addon="one", row="apiservice/v1.x", reason="no endpoints"),))
    assert (made.settled, waiting.settled, waiting.empty) == (True, False, True)
    assert words(addons_work(waiting, {}, issue)) == ["addon_ready", "addon_ready"]
    assert waiting.limited(frozenset()).settled  # it may wait for what is on a host that is left alone
    assert plan_lines(waiting) == ["nothing to change", "add-on one is not ready now: apiservice/v1.x: no endpoints"]
    assert plan_values(waiting)["unready"] == [{"addon": "one", "object": "apiservice/v1.x", "reason": "no endpoints"}]


IMMUTABLE = Answer(
    code=1, words='The Deployment "web" is invalid: spec.selector: Invalid value: "x": field is immutable\n'
)


def made_again(work: Work) -> list[str]:
    """What is deleted when an add-on's objects cannot be changed."""
    first = [IMMUTABLE]

    def answer(request: Request) -> Answer:
        return first.pop() if first and request.arguments[0] == "apply" else reply(request)

    (talk,) = work.talks
    _, asked = answering(answer, talk())
    return [found["metadata"]["name"] for one in asked if word(one) == "delete_objects"
            for found in yaml.safe_load_all(one.stdin)]  # fmt: skip


def test_workloads_are_made_anew_only_for_addons_that_were_named() -> None:
    live = {**WANTED[1], "spec": {"x": 2}}
    for recreate, anew in ((frozenset({"one"}), ["web"]), (frozenset({"two"}), [])):
        made = plan((), (live, list_of([live])), addon("one", WANTED[1]), recreate=recreate)
        assert made_again(addons_work(made, {}, issue)) == anew


def test_a_storage_class_is_made_anew_like_workloads_and_nothing_else_is() -> None:
    live = [item("StorageClass", "fast"), item("ConfigMap", "c")]
    desired = [{**one, "spec": {"x": 2}} for one in live]
    made = plan((), (*live, list_of(live)), addon("one", *desired), recreate=frozenset({"one"}))
    assert made_again(addons_work(made, {}, issue)) == ["fast"]


def test_volumes_in_a_folder_that_goes_are_asked_for_when_namespaces_are_gone() -> None:
    old = [item("Namespace", "ns")]
    made = plan((), (*old, list_of(old)), delete_data=True, leaving_data=("/var/lib/volumes",))
    assert heads(addons_work(made, {}, issue))[:2] == [
        ("namespace_gone", "Namespace ns gone"),
        ("volumes_gone", "volumes in /var/lib/volumes"),
    ]


def test_a_certificate_is_issued_when_it_is_sent() -> None:
    spec = CertificateSpec(name="a", authority="kubernetes", common_name="a", server=True)
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "tls", "namespace": "ns"}}
    issues = (SecretCertificate(secret=secret, spec=spec, reason="is missing"),)
    batch = addons_work(plan((), None, addon("one", secret, issues=issues)), {"kubernetes": b"authority"}, issue)
    (sent,) = documents(batch, "addon")
    assert {name: base64.b64decode(text) for name, text in sent["data"].items()} == {
        "tls.crt": b"certificate",
        "tls.key": b"key",
        "ca.crt": b"authority",
    }
