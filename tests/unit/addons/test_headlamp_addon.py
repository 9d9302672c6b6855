"""The web UI's add-on: its session ends with the token, its copies of pages with the container; arguments cannot break it."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import pytest

from kprov.addon.choose import by_name, chosen, why_not
from kprov.addon.render import Surroundings, rendered
from kprov.tunnel.target import TOKEN_SECONDS
from kprov.values.addon import Addon
from kprov.values.secret import Secret

ISSUER = "https://login.example.org/realms/a"


def headlamp() -> Addon:
    (found,) = (addon for addon in by_name(["headlamp"]) if addon.name == "headlamp")
    return found


def objects(**parameters: Any) -> dict[str, Any]:
    """By kind; of several of one kind the last."""
    issuer = {"url": ISSUER, "audiences": ["kubernetes"], "ca": parameters.pop("ca", "")}
    around = Surroundings(
        cluster={"name": "ui", "issuers": [{"url": "https://b", "audiences": ["b"], "ca": ""}, issuer]},
        ca={},
        images={"headlamp": "r/h:1"},
        secret_seed=b"",
    )
    one = replace(headlamp(), parameters={**headlamp().parameters, **parameters})
    return {item["kind"]: item for item in rendered(one, around)}


def pod(**parameters: Any) -> dict[str, Any]:
    return dict(objects(**parameters)["Deployment"]["spec"]["template"]["spec"])


def test_a_session_is_as_long_as_the_token_that_is_handed_over() -> None:
    assert f"-session-ttl={TOKEN_SECONDS}" in pod()["containers"][0]["args"]


def test_what_it_writes_at_each_start_ends_with_its_container() -> None:
    """It copies its pages below /tmp: a volume would keep the copies of every start, until the pod is evicted."""
    (container,) = pod()["containers"]
    assert not pod().get("volumes")
    assert not container.get("volumeMounts")
    assert container["resources"]["limits"]["ephemeral-storage"] == "256Mi"


@pytest.mark.parametrize(
    "argument",
    [
        *("-base-url=/ui", "--base-url=/ui", "-port=80", "-listen-addr", "-tls-cert-path=/x", "-session-ttl=86400"),
        *(
            "-oidc-client-secret=x",
            "--oidc-client-secret",
            "--in-cluster=false",
            "-html-static-dir=/x",
            "-unsafe-use-service-account-token",
        ),
    ],
)
def test_arguments_that_break_probes_page_or_rights_are_refused(argument: str) -> None:
    parameter = headlamp().description.parameters["arguments"]
    wrong = why_not(parameter, [argument])
    assert wrong is not None
    assert argument in wrong[0]
    assert why_not(parameter, ["-oidc-client-id=headlamp", "-enable-helm"]) is None


@pytest.mark.parametrize("rights", ["edit", "cluster-admin"])
def test_rights_that_are_as_good_as_root_are_told_when_they_are_chosen(rights: str) -> None:
    told: list[tuple[tuple[str, ...], str]] = []

    def fault(path: tuple[str, ...], what: str, **_: str) -> None:
        raise AssertionError(f"{path}: {what}")

    def nothing(path: tuple[str, ...], value: Any) -> None:
        return None

    chosen({"headlamp": {"rights": rights}}, None, fault, nothing, caution=lambda path, what: told.append((path, what)))
    ((path, what),) = told
    assert path == ("headlamp", "rights")
    assert "root on the nodes" in what


def test_people_sign_on_with_an_issuer_of_the_cluster_and_the_clients_secret_is_on_no_command_line() -> None:
    made = objects(sign_on=ISSUER, client_secret=Secret("s3cret"), ca="PEM\n")
    pod = made["Deployment"]["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    given = [word for word in container["args"] if "oidc" in word]
    assert given == [
        f"-oidc-idp-issuer-url={ISSUER}",
        "-oidc-client-id=kubernetes",
        "-oidc-use-pkce",
        "-oidc-ca-file=/issuer/ca.crt",
    ]
    (secret,) = (row["valueFrom"]["secretKeyRef"] for row in container["env"] if "valueFrom" in row)
    assert (made["Secret"]["metadata"]["name"], secret["key"]) == (secret["name"], "client-secret")
    assert base64.b64decode(made["Secret"]["data"]["client-secret"]) == b"s3cret"
    assert "s3cret" not in str(made["Deployment"])
    assert made["ConfigMap"]["data"] == {"ca.crt": "PEM\n"}
    assert container["volumeMounts"][0]["mountPath"] == "/issuer"
    reads = pod["metadata"]["annotations"]
    for other in ({"client_secret": Secret("t")}, {"ca": "OTHER"}):
        again = objects(**{"sign_on": ISSUER, "client_secret": Secret("s3cret"), "ca": "PEM\n", **other})
        assert again["Deployment"]["spec"]["template"]["metadata"]["annotations"] != reads, "or it is not read again"


def test_a_public_client_has_no_secret_and_a_client_may_be_named() -> None:
    made = objects(sign_on=ISSUER, client_id="web")
    assert "-oidc-client-id=web" in made["Deployment"]["spec"]["template"]["spec"]["containers"][0]["args"]
    assert {"Secret", "ConfigMap"}.isdisjoint(made)
    assert not [word for word in pod()["containers"][0]["args"] if "oidc" in word]
