"""Fields of configuration documents that an inventory hands through, against the types of the version that reads them.

No I/O but package data. What several values say together, such as more pods than addresses, is judged here too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kprov.artifacts.options import fields as known_fields
from kprov.artifacts.options.fields import Slip, Types
from kprov.artifacts.options.flags import data, minor
from kprov.inventory import kubelet_rules, switch_checks
from kprov.inventory.checks import variables_of
from kprov.inventory.merge import overlay
from kprov.inventory.mistakes import Path
from kprov.inventory.review import Review
from kprov.inventory.schema import HostKeys, HostVariables
from kprov.inventory.taken_fields import taken_field
from kprov.values.containerd_settings import path_of
from kprov.values.model import GROUPS, Group, pods_of
from kprov.values.spelling import did_you_mean

_TOML_WORDS = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "text": "text",
    "list": "a list ([a, b])",
}
_TYPES: Mapping[str, str] = {
    "kubelet": "v1beta1.KubeletConfiguration",
    "kube_proxy": "v1alpha1.KubeProxyConfiguration",
    "kube_scheduler": "v1.KubeSchedulerConfiguration",
}

# `scheduler` of the cluster is what `kube_scheduler` of groups and hosts is laid over.
_KEYS: Mapping[str, str] = {**{name: name for name in _TYPES}, "scheduler": "kube_scheduler"}
_NAMED = {"apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration"}


def check(review: Review, versions: Mapping[str, str]) -> None:
    """Note what is wrong with every field. versions: of each part, empty where Kubernetes' is not right."""
    _too_many_pods(review)
    _containerd(review, versions.get("containerd", ""))
    version = versions.get("kubernetes")
    types = known_fields.types_of(version) if version else None
    told = types is not None or version is None
    for place, variables in variables_of(review):
        for key, document in _KEYS.items():
            kind, given, path = _TYPES[document], getattr(variables, key, None), (*place, key)
            if not given or not review.sound(*path):
                continue
            if not told:
                told = True
                review.caution(
                    path,
                    f"kprov does not know the fields of Kubernetes {minor(version or '')}, so they are not checked",
                )
            if key == "scheduler":  # a whole document may name itself
                given = {name: value for name, value in given.items() if _NAMED.get(name) != value}
            _taken(review, path, document, given)
            if types is not None and version is not None:
                for slip in _slips(types, kind, given, version):
                    _note(review, path, slip)
    _kubelets(review)


def _kubelets(review: Review) -> None:
    """What each kubelet would refuse of all that it is given; told where it is written nearest to the host."""
    for name, entry in review.inventory.hosts.items():
        places = _places(review, name, entry, review.groups[name])
        if not all(review.sound(*place, "kubelet") for place, _ in places):
            continue
        given: Mapping[str, Any] = {}
        at: dict[str, Path] = {}
        for place, variables in reversed(places):
            given = overlay(given, variables.kubelet)
            at.update(dict.fromkeys(variables.kubelet, (*place, "kubelet")))
        servers = given.get("clusterDNS") or ()
        keys = review.inventory.cluster
        if servers and str(keys.dns_ip or keys.service_cidr[10]) not in map(str, servers):
            what = "pods that start from now on ask these servers, and find no name of the cluster by its own DNS"
            review.caution((*at["clusterDNS"], "clusterDNS"), what)
        for one in kubelet_rules.broken(given):
            path = (*at[str(one.path[0])], *one.path)
            todo = did_you_mean(str(one.path[-1]), one.known)
            review.fault(path, one.what, needed=one.needed, todo=todo, at_key=bool(one.known))


def _containerd(review: Review, version: str) -> None:
    """Settings of containerd: those that kprov needs, and by its own defaults which there are, and of which kind."""
    known = (data("containerd", minor(version)) or {}).get("settings") if version else None
    for where, variables in variables_of(review):
        for name, value in variables.containerd.items():
            path = (*where, "containerd", name)
            if not review.sound(*path):
                continue
            steps = path_of(name)
            if entry := taken_field("containerd", steps):
                review.fault(path, f"this setting cannot be set here: {entry.why}", todo=entry.todo, at_key=True)
                continue
            if isinstance(value, Mapping):
                _taken(review, path, "containerd", value, steps)
            _setting(review, path, value, _below(known, steps), name)


def _below(tree: Any, steps: tuple[str, ...]) -> Any:
    """What is known of a setting: a table, a kind, False when there is no such setting, None when nothing is known."""
    for number, step in enumerate(steps):
        if not isinstance(tree, Mapping) or not tree:
            return None
        if step not in tree:
            return None if number == 0 else False
        tree = tree[step]
    return tree


def _setting(review: Review, path: Path, value: Any, known: Any, name: str) -> None:
    if known is False:
        review.caution(path, f"containerd's defaults have no setting {name}: it ignores what it does not know", "")
    elif isinstance(known, Mapping) and known:
        if not isinstance(value, Mapping):
            review.fault(path, "the wrong kind of value", needed="a mapping (`key: value` lines)")
            return
        for key, item in value.items():
            _setting(review, (*path, key), item, known.get(key, False), key)
    elif isinstance(known, str) and not _fits(known, value) and review.sound(*path):
        review.fault(path, "the wrong kind of value", needed=_TOML_WORDS[known])


def _fits(kind: str, value: Any) -> bool:
    if kind == "bool" or isinstance(value, bool):
        return kind == "bool" and isinstance(value, bool)
    kinds = {"int": int, "float": int | float, "text": str, "list": list}
    return kind not in kinds or isinstance(value, kinds[kind])


def _too_many_pods(review: Review) -> None:
    """More pods than the node's network has addresses: those beyond it would never start."""
    cluster = review.inventory.cluster
    if cluster.network.mode == "none" or not review.sound("cluster", "pod_cidr_node_prefix"):
        return
    for name, entry in review.inventory.hosts.items():
        groups = review.groups[name]
        most, path = _most_pods(review, name, entry, groups)
        prefix = entry.pod_cidr.prefixlen if entry.pod_cidr else cluster.pod_cidr_node_prefix
        if groups != {"etcd"} and type(most) is int and most > pods_of(prefix) and review.sound(*path):
            review.fault(
                path,
                f"more pods than host {name} has addresses for",
                needed=f"at most {pods_of(prefix)}: its network is a /{prefix}",
                todo="choose fewer; before the first run, `pod_cidr_node_prefix` or the host's `pod_cidr` may be larger",
            )


def _most_pods(review: Review, name: str, entry: HostKeys, groups: frozenset[Group]) -> tuple[Any, Path]:
    """A host's maxPods and where it is written: the nearest to the host wins."""
    for place, variables in _places(review, name, entry, groups):
        if "maxPods" in variables.kubelet:
            return variables.kubelet["maxPods"], (*place, "kubelet", "maxPods")
    return None, ()


def _places(review: Review, name: str, entry: HostKeys, groups: frozenset[Group]) -> list[tuple[Path, HostVariables]]:
    """Where settings of a host stand, the nearest to it first."""
    inventory = review.inventory
    own: list[tuple[Path, HostVariables]] = [(("hosts", name), entry)]
    own += [
        (("groups", group), inventory.groups[group])
        for group in reversed(GROUPS)
        if group in inventory.groups and group in groups
    ]
    return [*own, (("cluster",), inventory.cluster)]


def _taken(review: Review, path: Path, document: str, given: Mapping[str, Any], below: tuple[str, ...] = ()) -> None:
    for key, value in given.items():
        entry = taken_field(document, (*below, key))
        if entry is not None:
            review.fault((*path, key), f"this field cannot be set here: {entry.why}", todo=entry.todo, at_key=True)
        elif isinstance(value, Mapping):
            _taken(review, (*path, key), document, value, (*below, key))


def _slips(types: Types, kind: str, given: Mapping[str, Any], version: str) -> Iterator[Slip]:
    yield from known_fields.slips(types, kind, given)
    gates = (data("kubernetes", minor(version)) or {}).get("gates", ())
    switched = given.get("featureGates")
    for gate in switched if isinstance(switched, Mapping) else ():
        if gate not in gates:
            yield Slip(path=("featureGates", gate), needed="a feature gate of this version", known=tuple(gates))
    yield from _locked(switched, minor(version))
    for index, profile in enumerate(given.get("profiles") or ()):
        for number, plugin in enumerate(profile.get("pluginConfig") or () if isinstance(profile, Mapping) else ()):
            if isinstance(plugin, Mapping) and (arguments := f"v1.{plugin.get('name')}Args") in types:
                at = ("profiles", index, "pluginConfig", number, "args")
                yield from known_fields.slips(types, arguments, plugin.get("args"), at)


def _locked(switched: Any, line: str) -> Iterator[Slip]:
    """Yield gates that are switched to what they cannot be; kubelet would end at its start."""
    locked = (data("kubernetes", line) or {}).get("locked", {})
    pairs = switched.items() if isinstance(switched, Mapping) else ()
    given = {name: value for name, value in pairs if isinstance(value, bool)}
    for one in switch_checks.locked_gates(given, locked, line):
        yield Slip(path=("featureGates", one.name), needed=one.needed)


def _note(review: Review, path: Path, slip: Slip) -> None:
    where = (*path, *slip.path)
    if not review.sound(*where):
        return
    if slip.known:
        review.fault(
            where,
            "unknown field",
            found=str(slip.path[-1]),
            needed=slip.needed,
            todo=did_you_mean(str(slip.path[-1]), slip.known) or "remove it",
            at_key=True,
        )
    else:
        value = str(review.root.at(where).value)
        review.fault(where, "the wrong kind of value", needed=slip.needed, todo=did_you_mean(value, slip.words))
