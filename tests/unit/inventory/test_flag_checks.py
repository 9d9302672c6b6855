"""Flags that are handed through: judged by what the component's version has, and by what kprov's own parts rely on."""

from __future__ import annotations

import re
from typing import Any

import pytest
from inventory_text import cluster, loaded, mistakes, only

from kprov.artifacts.options.fields import types_of
from kprov.artifacts.options.flags import flags_of
from kprov.inventory.flag_checks import _KUBELET_FIELDS
from kprov.values.components import BY_NAME
from kprov.values.taken_flags import TAKEN

# line of `cluster`, column, what, needed, todo
FAULTS = [
    ("kube-apiserver: {no-such-flag: 1}", 33, "has no flag --no-such-flag", "`kube-apiserver --help`", ""),
    ("kube-apiserver: {profilin: false}", 33, "has no flag --profilin", "", "did you mean 'profiling'?"),
    ("kube-apiserver: {profiling: maybe}", 44, "the wrong kind of value", "true or false", ""),
    ("kube-apiserver: {max-requests-inflight: many}", 56, "the wrong kind of value", "a whole number", ""),
    ("kube-apiserver: {request-timeout: 60}", 50, "the wrong kind of value", "a duration", ""),
    ("kube-apiserver: {goaway-chance: often}", 48, "the wrong kind of value", "a number", ""),
    ("kube-apiserver: {endpoint-reconciler-type: leas}", 59, "'leas' is not one of", "master-count", "'lease'?"),
    ("kube-apiserver: {profiling: [true, false]}", 44, "takes one value", "true or false", ""),
    ("kube-apiserver: {feature-gates: NoSuchGate=true}", 48, "'NoSuchGate' is not one", "words, such as", ""),
    (
        "kube-apiserver: {feature-gates: 'AllBeta=true,CPUManagerPolicyOptions=false'}",
        48,
        "CPUManagerPolicyOptions cannot",
        "in 1.37 it is always on",
        "remove it",
    ),
    (
        "kubelet: {feature-gates: GitRepoVolumeDriver=true}",
        41,
        "GitRepoVolumeDriver cannot be switched on",
        "always off",
        "remove it",
    ),
    ("kube-apiserver: {runtime-config: 'foo/v1=true'}", 49, "the API has no foo/v1", "GROUP/VERSION", ""),
    ("kube-apiserver: {runtime-config: 'foo=true'}", 49, "the API has no foo", "GROUP/VERSION", ""),
    ("kube-apiserver: {runtime-config: 'apps/v2=true'}", 49, "the API has no apps/v2", "GROUP/VERSION", "'apps/v1'?"),
    (
        "kube-apiserver: {runtime-config: 'coordination.k8s.io/v1=false'}",
        49,
        "v1 would be switched off",
        "kubelets",
        "",
    ),
    ("kube-apiserver: {runtime-config: v1=false}", 49, "v1 would be switched off", "kubelets", ""),
    ("kube-apiserver: {runtime-config: api/all=false}", 49, "api/all=false would leave", "alpha and beta", ""),
    ("kube-apiserver: {feature-gates: AllAlpha}", 48, "the wrong kind of value", "NAME=true", ""),
    ("kube-controller-manager: {node-monitor-period: 5}", 63, "the wrong kind of value", "a duration", ""),
    ("kube-proxy: {proxy-mode: nftables}", 41, "ignores --proxy-mode", "an effect", "under `kube_proxy`"),
    ("kube-scheduler: {kube-api-qps: 10}", 47, "ignores --kube-api-qps", "an effect", "under `kube_scheduler`"),
    ("etcd: {max-wals: -1}", 33, "the wrong kind of value", "0 or more", ""),
    ("etcd: {log-level: loud}", 34, "'loud' is not one of", "debug, info", ""),
    ("etcd: {experimental-corrupt-check-time: 1h}", 23, "no flag --experimental-corrupt", "", "'corrupt-check-time'?"),
    ("kubelet: {address: localhost}", 35, "the wrong kind of value", "an IP address", ""),
]


@pytest.mark.parametrize(("flags", "column", "what", "needed", "todo"), FAULTS)
def test_what_the_component_would_refuse(flags: str, column: int, what: str, needed: str, todo: str) -> None:
    mistake = only(cluster(f"extra_args: {{{flags}}}"))
    assert mistake.where == f"i.yaml:3:{column}"
    assert what in mistake.what
    assert needed in mistake.needed
    assert todo in mistake.todo


def test_a_flag_of_another_version_is_told_with_those_that_have_it() -> None:
    flag = "experimental-corrupt-check-time"
    assert "etcd 3.7 has no flag" in only(cluster(f"extra_args: {{etcd: {{{flag}: 1h}}}}")).what
    assert "etcd 3.6 has" in only(cluster(f"extra_args: {{etcd: {{{flag}: 1h}}}}")).what
    assert loaded(cluster('kubernetes: "1.36"', f"extra_args: {{etcd: {{{flag}: 1h}}}}")).cluster


# Each pattern of the table, and a flag of it that upstream has.
CLASHES = [
    ("kube-apiserver", "oidc-issuer-url", "does not start with both"),
    ("kube-apiserver", "anonymous-auth", "does not start with both"),
    ("kube-apiserver", "authentication-token-webhook-config-file", "health checks"),
    ("kube-apiserver", "authorization-config", "Node and RBAC come first"),
    ("kube-apiserver", "authorization-mode", "Node and RBAC come first"),
    ("kube-apiserver", "authorization-webhook-config-file", "Node and RBAC come first"),
    ("kube-apiserver", "audit-policy-file", "key of its own"),
    ("kube-apiserver", "audit-log-maxage", "key of its own"),
    ("kube-apiserver", "audit-webhook-config-file", "key of its own"),
    ("kube-apiserver", "admission-control-config-file", "key of its own"),
    ("kube-apiserver", "enable-admission-plugins", "key of its own"),
    ("kube-apiserver", "disable-admission-plugins", "key of its own"),
    ("kube-apiserver", "bind-address", "health gates"),
    ("kube-apiserver", "secure-port", "health gates"),
    ("kube-apiserver", "encryption-provider-config", "no Secret"),
    ("kube-controller-manager", "cluster-signing-key-file", "never on a host"),
    ("kube-controller-manager", "leader-elect", "at the same time"),
    ("kube-scheduler", "write-config-to", "never runs"),
    ("kubelet", "node-labels", "no effect"),
    ("kubelet", "version", "never runs"),
    ("kube-proxy", "cleanup", "never runs"),
    ("etcd", "force-new-cluster", "quorum"),
    ("etcd", "quota-backend-bytes", "key of its own"),
    ("containerd", "address", "the socket that kprov sets"),
]


@pytest.mark.parametrize(("component", "flag", "why"), CLASHES)
def test_what_kprovs_own_parts_rely_on_is_refused_with_a_reason(component: str, flag: str, why: str) -> None:
    mistake = only(cluster(f"extra_args: {{{component}: {{{flag}: x}}}}"))
    assert f"--{flag} of {component} cannot be set here" in mistake.what
    assert why in mistake.what
    assert mistake.todo


def test_every_entry_of_the_table_is_found_and_says_why() -> None:
    for component, entries in TAKEN.items():
        for entry in entries:
            assert entry.why
            assert entry.todo
            for flag in entry.flags:
                assert next(one for one in BY_NAME[component].flags or () if one.has(flag.replace("*", "x"))) is entry


@pytest.mark.parametrize(
    ("flag", "key"),
    [
        ("oidc-issuer-url", "authentication: {jwt:"),
        ("anonymous-auth", "authentication: {anonymous:"),
        ("authentication-config", "`authentication`"),
        ("authorization-mode", "`authorization:"),
        ("audit-webhook-mode", "`audit:"),
        ("enable-admission-plugins", "`admission:"),
        ("encryption-provider-config", "`encryption:"),
    ],
)
def test_a_door_of_the_api_server_is_refused_with_the_name_of_its_key(flag: str, key: str) -> None:
    assert key in only(cluster(f"extra_args: {{kube-apiserver: {{{flag}: x}}}}")).todo


@pytest.mark.parametrize(
    ("flags", "value"),
    [
        ("kube-apiserver: {runtime-config: ['api/beta=false', 'api/alpha=false']}", "api/beta=false,api/alpha=false"),
        ("kube-apiserver: {tls-sni-cert-key: ['a,b', 'c,d']}", ("a,b", "c,d")),
        ("etcd: {log-outputs: [stderr, /x]}", "stderr,/x"),
        ("containerd: {log-level: [debug]}", "debug"),
        ("kube-apiserver: {max-requests-inflight: 5}", "5"),
        ("kube-apiserver: {feature-gates: {AllBeta: true}}", None),
    ],
)  # fmt: skip
def test_lists_are_joined_unless_the_program_does_not_split(flags: str, value: str | tuple[str, ...] | None) -> None:
    text = cluster(f"extra_args: {{{flags}}}")
    if value is None:
        assert "not a flag's value" in only(text).what
        return
    ((found,),) = [list(flags.values()) for flags in loaded(text).cluster.host("cp1").extra_args.values()]
    assert found == value


def test_what_is_deprecated_or_without_effect_is_a_caution() -> None:
    warned = loaded(
        cluster("extra_args: {kubelet: {pod-manifest-path: /x}, etcd: {force: true, max-snapshots: 3}}")
    ).warnings
    texts = [str(caution) for caution in warned]
    assert [text.split(": ")[1] for text in texts] == [
        "cluster.extra_args.kubelet.pod-manifest-path",
        "cluster.extra_args.etcd.force",
        "cluster.extra_args.etcd.max-snapshots",
    ]
    assert "i.yaml:3:26" in texts[0]
    assert "deprecated" in texts[0]
    assert "ignores it" in texts[1]
    assert "v3.8" in texts[2]


@pytest.mark.parametrize(
    ("flag", "field"),
    [
        ("cpu-manager-policy: static", "cpuManagerPolicy: …"),  # its state file would stop kubelet
        ("max-pods: 900", "maxPods: …"),  # more than the node's network has addresses for
        ("healthz-port: 1", "healthzPort: …"),  # the gate asks another one
        ("cluster-domain: x.example", "clusterDomain: …"),
        ("rotate-server-certificates: true", "serverTLSBootstrap: …"),
        ("reserved-cpus: 0-1", "reservedSystemCPUs: …"),
        ("anonymous-auth: true", "authentication: {anonymous: {enabled: …}}"),
    ],
)
@pytest.mark.parametrize("version", ["1.36", "1.37"])
def test_a_flag_of_kubelet_that_has_a_field_is_refused_with_it(flag: str, field: str, version: str) -> None:
    """The flag would overrule the file, where each of these fields is judged, refused or followed by what it needs."""
    mistake = only(cluster(f'kubernetes: "{version}"', f"extra_args: {{kubelet: {{{flag}}}}}"))
    assert mistake.where == "i.yaml:4:26"
    assert mistake.todo == f"write `kubelet: {{{field}}}` in its place"


def test_each_field_that_a_flag_is_refused_for_is_one_of_the_version() -> None:
    types = types_of("1.37")
    assert types is not None
    known = flags_of("kubelet", "1.37.2")
    assert known is not None
    for flag, field in _KUBELET_FIELDS.items():
        assert flag in known
        kind: Any = "v1beta1.KubeletConfiguration"
        for step in re.findall(r"(\w+):", field):
            kind = types[kind][step]  # type: ignore[call-overload,index]


def test_a_version_that_kprov_does_not_know_is_not_judged_and_said_once() -> None:
    text = cluster("versions: {etcd: 3.9.0}", "extra_args: {etcd: {brand-new: 1, newer: 2}}")
    assert [c.what for c in loaded(text).warnings] == [
        "cluster.extra_args.etcd.brand-new: kprov does not know the flags of etcd 3.9, so that they are not checked"
    ]


def test_every_place_is_looked_at() -> None:
    bad = "extra_args: {kubelet: {nope: 1}}"
    text = cluster(bad, hosts=f"groups:\n  worker: {{{bad}}}\nhosts:\n  cp1: {{address: 192.0.2.1, group: control_plane}}\n"
                   f"  w1: {{address: 192.0.2.2, {bad}}}\n")  # fmt: skip
    assert [m.where.split(":")[1] for m in mistakes(text)] == ["3", "5", "8"]
