"""What is checked on a host before it gets its name, and which of kprov's own flags an inventory may set too."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from importlib import import_module

import pytest
from given import context

from kprov.artifacts.catalog import resolve_versions
from kprov.artifacts.options.flags import RELEASES, flags_of
from kprov.artifacts.options.values import parses
from kprov.values.components import BY_NAME
from kprov.values.resources import FILE, File, Resource, Unit

ALL = {"cluster": {"addons": [{"name": "monitoring"}]}, "hosts": {"a": {"groups": ["etcd", "control_plane", "worker"]}}}
ROLES = {
    "etcd": "etcd",
    "kube-apiserver": "api_server",
    "kube-controller-manager": "controller_manager",
    "kube-scheduler": "scheduler",
    "kubelet": "kubelet",
    "kube-proxy": "kube_proxy",
    "containerd": "containerd",
    "crio": "crio",
    "dockerd": "docker",
    "cri-dockerd": "docker",
}
# Flags that kprov sets and an inventory may set otherwise: nothing else relies on them.
FREE = {
    "etcd": {"cipher-suites", "tls-min-version", "feature-gates", "watch-progress-notify-interval"},
    "kube-apiserver": {
        "allow-privileged",
        "enable-bootstrap-token-auth",
        "endpoint-reconciler-type",
        "kubelet-preferred-address-types",
        "profiling",
        "request-timeout",
        "service-account-extend-token-expiration",
        "service-account-issuer",
        "service-account-lookup",
        "shutdown-delay-duration",
        "shutdown-send-retry-after",
        "shutdown-watch-termination-grace-period",
        "tls-cipher-suites",
        "tls-min-version",
    },
    "kube-controller-manager": {
        "controllers",
        "flex-volume-plugin-dir",
        "profiling",
        "terminated-pod-gc-threshold",
        "tls-cipher-suites",
        "tls-min-version",
    },
    "kube-scheduler": {"profiling", "tls-cipher-suites", "tls-min-version"},
    "kubelet": set(),
    "kube-proxy": set(),
    "containerd": set(),
    "crio": set(),
    "dockerd": set(),
    "cri-dockerd": {"pod-infra-container-image", "streaming-bind-addr"},
}


def taken(component: str, flag: str) -> bool:
    return any(entry.has(flag) for entry in BY_NAME[component].flags or ())


def desired(role: str, given: Mapping[str, object] = ALL) -> list[Resource]:
    return list(import_module(f"kprov.roles.{role}").resources(context(given)))


def flags(resources: Iterable[Resource], component: str) -> list[tuple[str, str]]:
    (unit,) = [item for item in resources if isinstance(item, Unit) and item.name == f"{component}.service"]
    assert unit.check[0] == f"/opt/kprov/bin/{component}"
    assert unit.check[-1] == "--version"
    return pairs(unit.check[1:-1])


def pairs(words: Iterable[str]) -> list[tuple[str, str]]:
    return [(name.removeprefix("--"), value) for name, _, value in (word.partition("=") for word in words)]


def judged_flags(role: str, component: str, given: Mapping[str, object]) -> list[tuple[str, str]]:
    """Flags of the inventory, as the component is asked about them: those that the unit has."""
    host = {"groups": ["etcd", "control_plane"], "extra_args": {component: given}}
    resources = desired(role, {"hosts": {"a": host}})
    (unit,) = [item for item in resources if isinstance(item, Unit) and item.name == f"{component}.service"]
    judge, *words = unit.check
    assert judge in {item.path for item in resources if isinstance(item, File)}
    words = [word for word in words if word.startswith("--")]
    assert all(word in unit.content.decode() for word in words)
    return pairs(words)


@pytest.mark.parametrize("component", ROLES)
def test_a_unit_is_checked_with_the_words_of_its_own_command_line(component: str) -> None:
    resources = desired(ROLES[component])
    (unit,) = [item for item in resources if isinstance(item, Unit) and item.name == f"{component}.service"]
    for name, value in flags(resources, component):
        assert f"--{name}={value.replace('%', '%%').replace('$', '$$')}" in unit.content.decode()


@pytest.mark.parametrize("component", ROLES)
def test_each_flag_that_kprov_sets_is_refused_to_an_inventory_or_said_to_be_free(component: str) -> None:
    own = {name for name, _ in flags(desired(ROLES[component]), component)}
    assert {name for name in own if not taken(component, name)} == FREE[component]


@pytest.mark.parametrize("component", RELEASES)
@pytest.mark.parametrize("line", ["1.36", "1.37"])
def test_every_version_takes_the_flags_that_kprov_sets(component: str, line: str) -> None:
    known = flags_of(component, resolve_versions(line)[RELEASES[component]])
    assert known is not None
    for name, value in flags(desired(ROLES[component]), component):
        assert parses(known[name].kind, value), name
        assert not known[name].deprecated or component == "kube-scheduler"


@pytest.mark.parametrize(
    ("role", "path", "program"),
    [
        ("containerd", "/etc/containerd/config.toml", "/opt/kprov/bin/containerd"),
        ("docker", "/etc/docker/containerd.toml", "/opt/kprov/bin/containerd"),
        ("docker", "/etc/docker/daemon.json", "/opt/kprov/bin/dockerd"),
        ("crio", "/etc/crio/crio.conf", "/opt/kprov/bin/crio"),
        ("kube_proxy", "/var/lib/kube-proxy/config.yaml", "/opt/kprov/bin/kube-proxy"),
        ("api_proxy", "/etc/kubernetes/api-proxy.cfg", "/usr/sbin/haproxy"),
    ],
)
def test_the_program_that_reads_a_file_is_asked(role: str, path: str, program: str) -> None:
    found = {item.path: item for item in desired(role) if isinstance(item, File)}
    assert found[path].check[0] == program
    assert FILE in found[path].check


@pytest.mark.parametrize(
    ("role", "key", "path", "judge"),
    [
        ("kubelet", "kubelet", "/var/lib/kubelet/config.yaml", "/opt/kprov/bin/kprov-judge-kubelet"),
        (
            "scheduler",
            "kube_scheduler",
            "/etc/kubernetes/scheduler-config.yaml",
            "/opt/kprov/bin/kprov-judge-kube-scheduler",
        ),
    ],
)
def test_settings_of_an_inventory_are_judged_and_kprovs_own_are_not(role: str, key: str, path: str, judge: str) -> None:
    own = {item.path: item for item in desired(role) if isinstance(item, File)}
    assert judge not in own
    assert own[path].check == ()
    host = {"groups": ["control_plane", "worker"], key: {"parallelism": 8}}
    given = {item.path: item for item in desired(role, {"hosts": {"a": host}}) if isinstance(item, File)}
    assert given[path].check == (judge, FILE)
    assert given[judge].mode == 0o755
    assert list(given).index(judge) < list(given).index(path)


def test_another_issuer_stands_after_kprovs_own() -> None:
    words = judged_flags("api_server", "kube-apiserver", {"service-account-issuer": ("https://old",)})
    issuers = [value for name, value in words if name == "service-account-issuer"]
    assert issuers == ["https://kubernetes.default.svc.cluster.local", "https://old"]


def test_other_audiences_stand_after_that_of_every_pods_token() -> None:
    """kube-apiserver refuses tokens that are for none of its audiences: with others alone, those of all pods that run."""
    for given, others in (("https://api.example.org", "https://api.example.org"), ("a, b", "a,b")):
        words = dict(judged_flags("api_server", "kube-apiserver", {"api-audiences": given}))
        assert words["api-audiences"] == f"https://kubernetes.default.svc.cluster.local,{others}"


@pytest.mark.parametrize("component", ["kube-controller-manager", "etcd"])
def test_flags_of_an_inventory_are_judged(component: str) -> None:
    assert judged_flags(ROLES[component], component, {"log-level": "warn"}) == [("log-level", "warn")]


def test_files_that_others_bring_for_containerd_are_read_beside_an_inventorys() -> None:
    """GPU operators write theirs; nothing that an inventory says takes them out."""
    host = {"groups": ["worker"], "containerd": {"imports": ["/etc/own.toml", "/etc/containerd/conf.d/*.toml"]}}
    found = {item.path: item for item in desired("containerd", {"hosts": {"a": host}}) if isinstance(item, File)}
    document = tomllib.loads(found["/etc/containerd/config.toml"].content.decode())
    assert document["imports"] == ["/etc/containerd/conf.d/*.toml", "/etc/own.toml"]
