"""The API servers' doors in an inventory: what is refused with its line, and what arrives with its files read."""

from __future__ import annotations

from pathlib import Path

import pytest
from inventory_text import FILE, cluster, loaded, mistakes, only

from kprov.values.secret import Secret

ISSUER = "issuer: {url: 'https://a.example.org', audiences: [kubernetes]}"
USERNAME = "claimMappings: {username: {claim: sub, prefix: 'oidc:'}}"
HOOK = "timeout: 3s, subjectAccessReviewVersion: v1, failurePolicy: NoOpinion"
KUBECONFIG = """\
clusters: [{name: c, cluster: {server: 'https://192.0.2.9:8443', certificate-authority: ca.pem}}]
users: [{name: u, user: {tokenFile: token}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
"""
KEY = "c3Nzc3Nzc3Nzc3Nzc3Nzcw=="  # 16 bytes
PEM = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n"

# lines of `cluster` from line 3 on, place, what, needed
FAULTS = [
    (f"authentication: {{jwt: [{{{ISSUER}, {USERNAME}, claimz: 1}}]}}", "3:150", "unknown field", "claimMappings"),
    (f"authentication: {{jwt: [{{{ISSUER}}}]}}", "3:26", "missing", "either `claim` or `expression`"),
    ("audit: {log: {maxage: -1}}", "3:25", "does not start with this", "0 or more"),
    (
        "audit: {log: {batch-max-size: 0}}",
        "3:33",
        "does not start with this",
        "more than 0",
    ),
    ("admission: {enable: [AlwaysDeny]}", "3:24", "every change in the cluster would be refused", ""),
    ("admission: {enable: [ImagePolicyWebhook]}", "3:24", "does not start without its configuration", "one"),
    ("admission: {pod_security: {exempt: {namespaces: [A_b]}}}", "3:52", "no name of a namespace", "lower case"),
    ("admission: {plugins: {EventRateLimit: {limits: []}}}", "3:50", "not a value", "at least one limit"),
    (
        "admission: {plugins: {EventRateLimit: {limits: [{type: Server, qps: 0, burst: 9}]}}}",
        "3:71",
        "not a value",
        "above 0",
    ),
    (
        "admission: {plugins: {EventRateLimit: {limits: [{type: User, qps: 9, burst: 9, cacheSize: -1}]}}}",
        "3:93",
        "not a value",
        "0 or more",
    ),
    (
        f"authentication: {{jwt: [{{{ISSUER}, claimMappings: {{username: {{claim: sub}}}}}}]}}",
        "3:118",
        "missing",
        "'oidc:'",
    ),
    (
        f"authentication: {{jwt: [{{issuer: {{url: 'http://a', audiences: [b]}}, {USERNAME}}}]}}",
        "3:41",
        "not a value",
        "https",
    ),
    (
        f"authentication: {{jwt: [{{issuer: {{url: 'https://a', audiences: [b, c]}}, {USERNAME}}}]}}",
        "3:35",
        "missing",
        "MatchAny",
    ),
    (
        f"authentication: {{jwt: [{{{ISSUER}, {USERNAME}}}, {{{ISSUER}, {USERNAME}}}]}}",
        "3:166",
        "not a value",
        "each issuer once",
    ),
    (
        f"authentication: {{jwt: [{{issuer: {{url: 'https://kubernetes.default.svc.cluster.local', audiences: [b]}}, "
        f"{USERNAME}}}]}}",
        "3:41",
        "not a value",
        "another issuer",
    ),
    ("authentication: {anonymous: {enabled: false}}", "3:41", "health checks would be refused", "conditions"),
    ("authorization: {authorizers: [{type: Webhok}]}", "3:40", "not a value", "Webhook"),
    (f"authorization: {{authorizers: [{{type: Webhook, name: a, webhook: {{{HOOK}}}}}]}}", "3:67", "missing", "PATH"),
    ("authorization: {authorizers: [{type: Webhook, name: a, webhook: {}}]}", "3:67", "not a value", "timeout"),
    ("audit: {policy: {rules: [{level: Metadatas}]}}", "3:36", "not a value", "Metadata"),
    ("audit: {policy: {rulez: []}}", "3:20", "unknown field", "rules"),
    ("audit: {log: {maxages: 3}}", "3:17", "not a flag of this version", "maxage"),
    ("audit: {log: {maxage: often}}", "3:25", "the wrong kind of value", "a whole number"),
    ("audit: {log: {mode: blok}}", "3:23", "not one of the words", "blocking"),
    ("audit: {log: {path: /x}}", "3:17", "/var/log/kubernetes/audit alone", ""),
    ("audit: {webhook: {mode: batch}}", "3:20", "not said where", "kubeconfig: PATH"),
    ("admission: {pod_security: {enforce: base}}", "3:39", "not one of the accepted words", "baseline"),
    ("admission: {enable: [Priorty]}", "3:24", "unknown admission plugin", "of this version"),
    ("admission: {disable: [NodeRestriction]}", "3:25", "NodeRestriction would be switched off", ""),
    ("admission: {plugins: {PodSecurity: {}}}", "3:25", "key of its own", ""),
    ("admission: {plugins: {EventRateLimit: {limit: []}}}", "3:42", "unknown field", "limits"),
    (
        "encryption: {providers: [{secretbox: {keys: [{name: a, secret: abc}]}}]}",
        "3:66",
        "may not stand",
        "{file: PATH}",
    ),
    ("encryption: {providers: [{aesgcm: {}, identity: {}}]}", "3:28", "exactly one provider", "an entry for each"),
    ("encryption: {providers: [{aesgm: {}}]}", "3:29", "unknown field", "aesgcm"),
    ("encryption: {providers: [{kms: {apiVersion: v1, name: a, endpoint: 'unix:///b'}}]}", "3:47", "KMS v1", "v2"),
    ("encryption: {resources: []}", "3:27", "nothing would be encrypted", "at least one"),
    ("scheduler: {profils: []}", "3:15", "unknown field", "a field such as"),
    ("scheduler: {clientConnection: {kubeconfig: x}}", "3:34", "kprov writes this file itself", ""),
    ("scheduler: {kind: Policy}", "3:15", "kprov writes this field itself", ""),
]


@pytest.mark.parametrize(("line", "place", "what", "needed"), FAULTS)
def test_a_slip_is_told_with_its_place(line: str, place: str, what: str, needed: str) -> None:
    mistake = only(cluster(line))
    assert mistake.where == f"i.yaml:{place}"
    assert what in mistake.what
    assert needed in mistake.needed


def test_a_webhook_before_node_and_rbac_is_refused() -> None:
    text = cluster(f"authorization: {{authorizers: [{{type: Webhook, name: a, webhook: {{{HOOK}}}}}, {{type: RBAC}}]}}")
    assert "lock kprov and nodes out" in "".join(mistake.what for mistake in mistakes(text))


@pytest.mark.parametrize(
    "provider",
    [
        "{secretbox: {keys: [{name: a, secret: TOPSECRET}]}}",
        "{secretbox: {keys: TOPSECRET}}",
        "{secretbox: TOPSECRET}",
        "{secretbox: {keys: [{name: a, secret: [TOPSECRET]}]}}",
        "TOPSECRET",
    ],
)
def test_a_key_of_encryption_is_never_shown(provider: str) -> None:
    for mistake in mistakes(cluster(f"encryption: {{providers: [{provider}]}}")):
        assert "TOPSECRET" not in str(mistake)


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    """A folder with an inventory's files."""
    for name, text in (("hook.kubeconfig", KUBECONFIG), ("token", "TOKEN\n"), ("ca.pem", PEM), ("key", f"{KEY}\n")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    (tmp_path / "policy.yaml").write_text("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: Metadata\n")
    return tmp_path / FILE


def test_what_is_given_arrives_with_its_files(beside: Path) -> None:
    hook = f"{HOOK}, connectionInfo: {{type: KubeConfigFile, kubeConfigFile: hook.kubeconfig}}"
    issuer = ISSUER.replace("audiences", "certificateAuthority: {file: ca.pem}, audiences")
    made = loaded(
        cluster(
            f"authentication: {{jwt: [{{{issuer}, {USERNAME}}}]}}",
            f"authorization: {{authorizers: [{{type: Node, name: n}}, {{type: Webhook, name: own, webhook: {{{hook}}}}}]}}",
            "audit: {policy: {file: policy.yaml}, log: {maxage: 7},"
            " webhook: {kubeconfig: hook.kubeconfig, batch-max-size: 5}}",
            "admission: {pod_security: {enforce: baseline, exempt: {namespaces: [x]}}, enable: [AlwaysPullImages],"
            " plugins: {ValidatingAdmissionWebhook: {kubeConfigFile: hook.kubeconfig}}}",
            "encryption: {resources: [secrets, configmaps], providers: [{aesgcm: {keys: [{name: a, secret: {file: key}}]}}]}",
            "scheduler: {apiVersion: kubescheduler.config.k8s.io/v1, kind: KubeSchedulerConfiguration, parallelism: 4}",
            "kube_scheduler: {podInitialBackoffSeconds: 2}",
        ),
        path=beside,
    ).cluster
    api = made.api
    assert api.authentication["jwt"][0]["issuer"]["certificateAuthority"] == PEM
    (webhook,) = api.authorizers
    place = webhook["webhook"]["connectionInfo"]["kubeConfigFile"]
    files = {file.name: file for file in api.files}
    assert not files[place.removeprefix("/etc/kubernetes/kube-apiserver/")].at_start
    assert api.audit.policy == {"rules": [{"level": "Metadata"}]}
    assert (dict(api.audit.log), dict(api.audit.webhook)) == ({"maxage": "7"}, {"batch-max-size": "5"})
    assert files[api.audit.config].at_start
    content = files[api.audit.config].content.reveal()
    assert "token: TOKEN" in content
    assert "certificate-authority-data" in content
    assert "tokenFile" not in content
    assert "TOKEN" not in repr(api)
    assert api.admission.pod_security["defaults"]["enforce"] == "baseline"
    assert api.admission.plugins["ValidatingAdmissionWebhook"]["kubeConfigFile"].endswith(
        "/admission-ValidatingAdmissionWebhook.kubeconfig"
    )
    (provider,) = api.encryption.providers
    secret = provider["aesgcm"]["keys"][0]["secret"]
    assert isinstance(secret, Secret)
    assert secret.reveal() == KEY
    assert made.host("cp1").kube_scheduler == {"parallelism": 4, "podInitialBackoffSeconds": 2}


def test_other_content_of_an_authorizers_kubeconfig_has_another_name(beside: Path) -> None:
    """The API server reads it again only when the configuration that names it is another one."""
    line = f"authorization: {{authorizers: [{{type: Webhook, name: own, webhook: {{{HOOK}, " + (
        "connectionInfo: {type: KubeConfigFile, kubeConfigFile: hook.kubeconfig}}}]}"
    )
    first = loaded(cluster(line), path=beside).cluster.api
    (beside.parent / "token").write_text("OTHER")
    second = loaded(cluster(line), path=beside).cluster.api
    assert first.authorizers != second.authorizers


def test_a_mistake_in_a_file_is_told_with_its_own_line(beside: Path) -> None:
    (beside.parent / "policy.yaml").write_text("rules:\n- level: Metadata\n- level: Metadatas\n")
    mistake = only(cluster("audit: {policy: {file: policy.yaml}}"), path=beside)
    assert mistake.where == f"{beside}:3:19"
    assert "policy.yaml:3:10: rules[1].level" in mistake.what


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda folder: (folder / "hook.kubeconfig").unlink(), "cannot be read"),
        (lambda folder: (folder / "hook.kubeconfig").chmod(0o644), "chmod 600"),
        (lambda folder: (folder / "token").unlink(), "the tokenFile that the kubeconfig names"),
        (lambda folder: (folder / "hook.kubeconfig").write_text("a: [TOKEN"), "not valid YAML"),
        (lambda folder: (folder / "hook.kubeconfig").write_text("clusters: []"), "https://"),
        (
            lambda folder: (folder / "hook.kubeconfig").write_text(KUBECONFIG.replace("context: x", "context: y")),
            "current-context",
        ),
    ],
)
def test_a_kubeconfig_that_cannot_be_used(beside: Path, change: object, what: str) -> None:
    change(beside.parent)  # type: ignore[operator]
    mistake = only(cluster("audit: {webhook: {kubeconfig: hook.kubeconfig}}"), path=beside)
    assert mistake.where == f"{beside}:3:33"
    assert what in mistake.what
    assert "TOKEN" not in str(mistake)


def test_what_opens_more_than_one_may_think_is_a_caution() -> None:
    warned = loaded(
        cluster("authentication: {anonymous: {enabled: true}}", "encryption: {providers: [{identity: {}}]}")
    ).warnings
    assert ["every path is open" in str(warned[0]), "nothing is encrypted" in str(warned[1])] == [True, True]


def test_certificates_and_expressions_may_have_several_lines() -> None:
    lines = ["authentication:", "  jwt:", "  - issuer:", "      url: https://a.example.org", "      audiences: [k]"]
    lines += ["      certificateAuthority: |", *(f"        {line}" for line in PEM.splitlines())]
    lines += ["    claimMappings:", "      username: {expression: \"'x:' + claims.sub\"}"]
    (issuer,) = loaded(cluster(*lines)).cluster.api.authentication["jwt"]
    assert issuer["issuer"]["certificateAuthority"] == PEM


def test_an_issuer_that_is_left_out_and_a_file_that_kprov_names_are_told() -> None:
    found = mistakes(cluster(f"authentication: {{jwt: [{{{USERNAME}}}]}}"))
    assert {error.where for error in found} == {"i.yaml:3:26"}
    assert "an https:// URL" in found[0].needed
    (first, *_) = mistakes(cluster("audit: {webhook: {config-file: x, kubeconfig: y}}"))
    assert (first.where, first.todo) == ("i.yaml:3:21", "write `kubeconfig: PATH`")


def test_pulls_of_every_start_are_a_caution() -> None:
    (told,) = loaded(cluster("admission: {enable: [AlwaysPullImages]}")).warnings
    assert told.where == "i.yaml:3:23"
    assert "would not start again" in told.what
