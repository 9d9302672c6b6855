"""CIS Kubernetes Benchmark 1.12: what its automated checks look for is in the units and files of every host, as run."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from given import context

from kprov.inventory.security import render
from kprov.plan.stages import desired
from kprov.values.resources import Certificate, Directory, File, Resource, Unit
from kprov.values.security import ROWS, Row, field_of

_SUITES = {
    f"TLS_ECDHE_{key}_WITH_{suite}"
    for key in ("ECDSA", "RSA")
    for suite in ("AES_128_GCM_SHA256", "AES_256_GCM_SHA384", "CHACHA20_POLY1305", "CHACHA20_POLY1305_SHA256")
}
_HOST = {"hosts": {"a": {"groups": ["etcd", "control_plane", "worker"]}, "b": {"groups": ["etcd", "control_plane"]}}}


def _resources() -> list[Resource]:
    return [resource for resources in desired(context(_HOST)).values() for resource in resources]


def _flags(unit: str) -> dict[str, str]:
    """The flags as the program gets them, read the way systemd reads a command line."""
    content = next(item.content.decode() for item in _resources() if isinstance(item, Unit) and item.name == unit)
    lines = content.replace("\\\n", " ").splitlines()
    command = next(line.removeprefix("ExecStart=") for line in lines if line.startswith("ExecStart="))
    words = [word.replace("%%", "%").replace("$$", "$") for word in shlex.split(command)[1:]]
    return dict(word.removeprefix("--").split("=", 1) for word in words if word.startswith("--"))


def _yaml(path: str) -> Any:
    return yaml.safe_load(next(item.content for item in _resources() if isinstance(item, File) and item.path == path))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.unit}-{row.flag}")
def test_each_row_of_the_security_page_is_so(row: Row) -> None:
    found = field_of(_yaml(row.file), row.flag) if row.file else _flags(f"{row.unit}.service")[row.flag]
    assert found == row.value, row.cis


def test_a_row_that_the_inventory_changes_is_the_users() -> None:
    plane = context(
        {"hosts": {"a": {"groups": ["control_plane"], "extra_args": {"kube-apiserver": {"profiling": "true"}}}}}
    )
    given = context({"cluster": {"api": {"authorizers": [{}]}}, "hosts": {"a": {"groups": ["control_plane"]}}})
    held = {row.flag for row in ROWS if row.unit == "kube-apiserver" and row.applies(plane.cluster, plane.host)}
    opened = {row.flag for row in ROWS if row.unit == "kube-apiserver" and row.applies(given.cluster, given.host)}
    assert ("profiling" in held, "authorization-mode" in held) == (False, True)
    assert ("profiling" in opened, "authorization-mode" in opened) == (True, False)


def test_the_page_is_up_to_date() -> None:
    page = Path(__file__).parents[2] / "docs/security.md"
    assert page.read_text() == render(), "run: python -m kprov.inventory.security docs/security.md"


@pytest.mark.parametrize(
    ("unit", "flags"),
    [
        (
            "kube-apiserver",
            "kubelet-client-certificate kubelet-client-key kubelet-certificate-authority audit-log-path"
            " service-account-key-file etcd-certfile etcd-keyfile etcd-cafile tls-cert-file tls-private-key-file"
            " client-ca-file encryption-provider-config audit-policy-file authentication-config"
            " admission-control-config-file",
        ),
        ("kube-controller-manager", "service-account-private-key-file root-ca-file"),
        ("etcd", "cert-file key-file peer-cert-file peer-key-file trusted-ca-file peer-trusted-ca-file"),
        ("kubelet", "kubeconfig config"),
    ],
)
def test_file_flags_name_files_of_this_host(unit: str, flags: str) -> None:
    """1.2.4, 5, 16, 22-27, 1.3.4, 5, 2.1, 2.4, 2.7: and a file named is a file that is put there."""
    places: set[str] = set()
    for item in _resources():
        places |= {item.path, item.key_path} if isinstance(item, Certificate) else {getattr(item, "path", "")}
        if isinstance(item, Unit):
            lines = item.content.decode().splitlines()
            loaded = [line.removeprefix("LoadCredential=").split(":")[0] for line in lines if "LoadCredential=" in line]
            places |= {f"/run/credentials/{item.name}/{name}" for name in loaded}
    found = _flags(f"{unit}.service")
    for flag in flags.split():
        assert found[flag].removesuffix("/audit.log") in places, flag


@pytest.mark.parametrize(
    ("unit", "absent"),
    [
        ("kube-apiserver", "token-auth-file anonymous-auth disable-admission-plugins"),  # 1.2.1, 2, 12, 13
        ("kube-controller-manager", "feature-gates cluster-signing-key-file"),  # 1.3.6
        ("etcd", "auto-tls peer-auto-tls"),  # 2.3, 2.6
        ("kubelet", "hostname-override"),  # 4.2.7
    ],
)
def test_flags_that_must_not_be_there(unit: str, absent: str) -> None:
    assert not set(absent.split()) & set(_flags(f"{unit}.service"))


def test_admission_plugins() -> None:
    plugins = _flags("kube-apiserver.service")["enable-admission-plugins"].split(",")
    assert {"NodeRestriction", "DenyServiceExternalIPs", "EventRateLimit"} <= set(plugins)
    assert "AlwaysAdmit" not in plugins


@pytest.mark.parametrize("unit", ["kube-apiserver", "kube-controller-manager", "kube-scheduler"])
def test_cipher_suites(unit: str) -> None:
    suites = _flags(f"{unit}.service")["tls-cipher-suites"].split(",")
    assert suites
    assert set(suites) <= _SUITES


def test_etcd_authority_is_not_the_api_servers() -> None:
    flags = _flags("kube-apiserver.service")
    contents = {item.path: item.content for item in _resources() if isinstance(item, File)}
    assert contents[flags["etcd-cafile"]] != contents[flags["client-ca-file"]]
    assert contents[flags["requestheader-client-ca-file"]] != contents[flags["client-ca-file"]]


def test_only_health_paths_are_anonymous() -> None:
    anonymous = _yaml("/etc/kubernetes/kube-apiserver/authentication.yaml")["anonymous"]
    assert {item["path"] for item in anonymous["conditions"]} == {"/livez", "/readyz", "/healthz"}


def test_secrets_are_encrypted_and_identity_only_reads() -> None:
    first, second = _yaml("/etc/kubernetes/kube-apiserver/encryption.yaml")["resources"][0]["providers"]
    assert list(first) == ["secretbox"]
    assert list(second) == ["identity"]


def test_audit_policy_logs_changes_but_no_contents_of_secrets() -> None:
    """3.2.1, 3.2.2: the first rule that names a resource decides."""
    rules = _yaml("/etc/kubernetes/audit-policy.yaml")["rules"]

    def level(group: str, resource: str, verb: str) -> str:
        for rule in rules:
            if "nonResourceURLs" in rule or "users" in rule or "userGroups" in rule:
                continue
            if verb not in rule.get("verbs", [verb]):
                continue
            for entry in rule.get("resources", [{"group": group}]):
                if entry["group"] == group and resource in entry.get("resources", [resource]):
                    return str(rule["level"])
        return "None"

    for resource in (
        "secrets",
        "configmaps",
        "serviceaccounts/token",
        "pods/exec",
        "pods/portforward",
        "services/proxy",
    ):
        assert level("", resource, "create") == "Metadata"
    assert level("authentication.k8s.io", "tokenreviews", "create") == "Metadata"
    assert level("", "pods", "create") == "Request"
    assert level("apps", "deployments", "patch") == "Request"
    assert level("example.org", "things", "delete") == "Metadata"


def test_kubelet_configuration() -> None:
    config = _yaml("/var/lib/kubelet/config.yaml")
    assert config["authentication"]["x509"]["clientCAFile"] == "/etc/kubernetes/pki/ca.crt"
    assert config.get("rotateCertificates", True) is True
    assert {"tlsCertFile", "tlsPrivateKeyFile"} <= set(config)
    assert set(config["tlsCipherSuites"]) <= {suite for suite in _SUITES if not suite.endswith("POLY1305_SHA256")}


def test_owners_and_modes() -> None:
    """1.1.9-21, 4.1: what the units do not carry themselves."""
    files = {item.path: item for item in _resources() if isinstance(item, File)}
    for name in ("scheduler.conf", "controller-manager.conf", "kubelet.conf", "proxy.conf", "admission.yaml"):
        item = files[f"/etc/kubernetes/{name}"]
        assert (item.owner, item.group, item.mode) == ("root", "root", 0o600)
    assert files["/var/lib/kubelet/config.yaml"].mode == 0o600
    assert all(item.mode == 0o600 for path, item in files.items() if path.startswith("/etc/kprov/cni/net.d/"))
    for item in _resources():
        if getattr(item, "path", "").startswith("/etc/kubernetes/pki/") and not isinstance(item, Directory):
            assert (item.owner, item.group) == ("root", "root")  # type: ignore[union-attr]
    data = next(item for item in _resources() if isinstance(item, Directory) and item.path == "/var/lib/etcd")
    assert (data.owner, data.group, data.mode) == ("etcd", "etcd", 0o700)
