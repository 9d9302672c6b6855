"""What `kprov open` leads to: names and aliases, a Service as the API shows it, and every reason why there is no page."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from kprov.addon.choose import by_name
from kprov.tunnel import target
from kprov.tunnel.target import Target, Token, chosen
from kprov.values.addon import Addon, Description, Opening
from kprov.values.errors import AddonError

OPENING = Opening(service="web", port=80, service_account="viewer")
KNOWN = ("headlamp", "hello", "logging", "metrics-server", "monitoring")


def addon(name: str = "hello", opening: Opening | None = OPENING) -> Addon:
    description = Description(name=name, folder=Path(name), summary="", namespace="space", opening=opening)
    return Addon(description=description, version="1", parameters=MappingProxyType({}), images=())


def service(**spec: Any) -> dict[str, Any]:
    return {"spec": {"clusterIP": "10.96.0.9", "ports": [{"port": 80}], "selector": {"app": "web"}, **spec}}


def refused(name: str, *on: Addon) -> AddonError:
    with pytest.raises(AddonError) as caught:
        chosen(name, on, KNOWN)
    return caught.value


@pytest.mark.parametrize(
    ("word", "name"),
    [("ui", "headlamp"), ("metrics", "monitoring"), ("logs", "logging"), ("headlamp", "headlamp"), ("hello", "hello")],
)
def test_a_word_means_an_add_on_by_name_or_by_alias(word: str, name: str) -> None:
    on = [addon(other) for other in ("headlamp", "monitoring", "logging", "hello")]
    assert chosen(word, on, KNOWN) == (addon(name), OPENING)


def test_an_add_on_that_is_called_like_an_alias_is_the_one_that_is_meant() -> None:
    assert chosen("ui", [addon("ui"), addon("headlamp")], KNOWN)[0].name == "ui"


def test_the_alias_of_an_add_on_that_is_off_says_which_line_is_missing() -> None:
    error = refused("ui", addon())
    assert error.what == "the add-on headlamp is off"
    assert "`headlamp: true`" in error.todo


def test_an_unknown_word_is_told_with_the_nearest() -> None:
    error = refused("headlmap", addon())
    assert (error.found, error.todo) == ("headlmap", "did you mean 'headlamp'?")
    assert "metrics" in error.needed


def test_an_add_on_without_a_page_names_those_that_have_one() -> None:
    error = refused("metrics-server", addon("metrics-server", None), addon("headlamp"))
    assert "no page" in error.what
    assert error.needed == "one of headlamp"
    assert "none that is on" in refused("metrics-server", addon("metrics-server", None)).needed


def test_kprovs_own_web_ui_can_be_opened() -> None:
    found, opening = chosen("ui", by_name(["headlamp"]), ())
    assert (found.name, opening.port, opening.service_account) == ("headlamp", 80, "headlamp-user")


def test_the_questions_name_the_service_and_its_slices() -> None:
    assert target.service_path(addon(), OPENING) == "/api/v1/namespaces/space/services/web"
    slices = (
        "/apis/discovery.k8s.io/v1/namespaces/space/endpointslices?labelSelector=kubernetes.io%2Fservice-name%3Dweb"
    )
    assert target.slices_path(addon(), OPENING) == slices
    assert target.token_path(addon(), OPENING) == "/api/v1/namespaces/space/serviceaccounts/viewer/token"
    assert target.token_request(OPENING)["spec"] == {"expirationSeconds": 3600}


@pytest.mark.parametrize("name", ["monitoring", "logging"])
def test_the_stores_get_a_token_that_is_made_out_to_them_alone(name: str) -> None:
    _, opening = chosen(name, by_name([name]), ())
    spec = target.token_request(opening)["spec"]
    assert (opening.service_account, opening.user, opening.password) == (f"{name}-user", "", "")
    assert (spec["expirationSeconds"], spec["audiences"]) == (3600, [opening.audience])
    assert opening.audience.endswith(f".{name}.svc")


def test_a_service_is_reached_by_its_cluster_address() -> None:
    assert target.target(addon(), OPENING, service()) == Target(address="10.96.0.9", port=80, name="web.space.svc")


@pytest.mark.parametrize(
    ("there", "told"),
    [
        (None, "none of that name"),
        (service(clusterIP="None"), "clusterIP: None"),
        (service(type="ExternalName", clusterIP=""), "clusterIP: none"),
        (service(ports=[{"port": 8080}, {"port": 9090}]), "8080, 9090"),
        (service(ports=[]), "no port"),
    ],
)
def test_a_service_that_leads_nowhere_is_told(there: Any, told: str) -> None:
    with pytest.raises(AddonError) as caught:
        target.target(addon(), OPENING, there)
    assert caught.value.where == "Service space/web"
    assert caught.value.found == told


@pytest.mark.parametrize(
    ("slices", "there"),
    [
        ({}, False),
        ({"items": [{"endpoints": None}]}, False),
        ({"items": [{"endpoints": [{"conditions": {"ready": False}}]}]}, False),
        ({"items": [{"endpoints": []}, {"endpoints": [{"conditions": {"ready": True}}]}]}, True),
        ({"items": [{"endpoints": [{"addresses": ["10.0.0.1"]}]}]}, True),  # unknown counts as ready, as the API has it
    ],
)
def test_an_endpoint_is_one_that_is_ready(slices: Any, there: bool) -> None:
    assert target.has_endpoints(slices) is there


def pod(name: str, labels: dict[str, str], status: dict[str, Any], node: str = "w1") -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": labels}, "spec": {"nodeName": node}, "status": status}


def test_why_nobody_answers_is_what_its_pods_say() -> None:
    pull = {"waiting": {"reason": "ImagePullBackOff", "message": "pulling r/web:1 failed"}}
    pods = {
        "items": [
            pod(
                "web-1", {"app": "web", "x": "y"}, {"containerStatuses": [{"state": {"running": {}}}, {"state": pull}]}
            ),
            pod("web-2", {"app": "web"}, {"conditions": [{"status": "False", "message": "0/2 nodes"}]}, node=""),
            pod("web-3", {"app": "web"}, {"phase": "Pending"}),
            pod("other", {"app": "other"}, {"phase": "Running"}),
        ]
    }
    error = target.no_endpoints(addon(), OPENING, service(), pods)
    assert error.found.split("; ") == [
        "web-1 on w1: ImagePullBackOff pulling r/web:1 failed",
        "web-2: 0/2 nodes",
        "web-3 on w1: Pending",
    ]
    assert target.no_endpoints(addon(), OPENING, service(), {}).found == "no pod that it selects"


def test_a_token_hides_itself() -> None:
    answer = {"status": {"token": "abc.def.ghi", "expirationTimestamp": "2026-06-01T13:00:00Z"}}
    found = target.token(answer)
    assert (found.text, found.expires) == ("abc.def.ghi", "2026-06-01T13:00:00Z")
    assert "abc" not in repr(found)
    assert "abc" not in str(Token(text="abc", expires=""))
