"""The web UI's add-on: its session ends with the token, its copies of pages with the container; arguments cannot break it."""

from __future__ import annotations

from typing import Any

import pytest

from kprov.addon.choose import by_name, chosen, why_not
from kprov.addon.render import Surroundings, rendered
from kprov.tunnel.target import TOKEN_SECONDS
from kprov.values.addon import Addon


def headlamp() -> Addon:
    (found,) = (addon for addon in by_name(["headlamp"]) if addon.name == "headlamp")
    return found


def pod() -> dict[str, Any]:
    around = Surroundings(cluster={"name": "ui"}, ca={}, images={"headlamp": "r/h:1"}, secret_seed=b"")
    (deployment,) = (item for item in rendered(headlamp(), around) if item["kind"] == "Deployment")
    return dict(deployment["spec"]["template"]["spec"])


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
        *("--in-cluster=false", "-html-static-dir=/x", "-unsafe-use-service-account-token"),
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
