"""What a rotation does next, and what it waits for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kprov.plan.rotation import (
    Inside,
    asks_inside,
    legacy_tokens,
    lines,
    longest_token,
    next_step,
    waiting,
    workloads_before,
)
from kprov.values.errors import KprovError
from kprov.values.rotation import KINDS, Rotation

SINCE = datetime(2026, 5, 1, 12, tzinfo=UTC)
TRUST = Rotation(kinds=("service-account",), phase="trust", since=SINCE.isoformat())


def at(phase: Any, *, done: bool = True, kinds: Any = ("service-account",)) -> Rotation:
    return replace(TRUST, phase=phase, done=done, kinds=kinds)


@pytest.mark.parametrize(
    ("rotation", "back", "step"),
    [
        (None, False, "begin"),
        (at("trust", done=False), False, "apply"),
        (at("trust"), False, "onward"),
        (at("issue", done=False), False, "apply"),
        (at("issue"), False, "onward"),
        (at("drop", done=False), False, "apply"),
        (at("drop"), False, "end"),
        (at("back", done=False), False, "apply"),
        (at("back"), False, "end"),
        (at("trust", done=False), True, "backward"),
        (at("trust"), True, "backward"),
        (at("issue", done=False), True, "backward"),
        (at("issue"), True, "backward"),
        (at("back", done=False), True, "apply"),
        (at("back"), True, "end"),
    ],
)
def test_what_comes_next(rotation: Rotation | None, back: bool, step: str) -> None:
    assert next_step(rotation, ("service-account",), back=back) == step


def test_what_does_not_go_is_refused_in_words() -> None:
    with pytest.raises(KprovError, match="no rotation has begun"):
        next_step(None, (), back=False)
    with pytest.raises(KprovError, match="no rotation has begun"):
        next_step(None, ("etcd",), back=True)
    with pytest.raises(KprovError, match="another rotation has begun"):
        next_step(at("trust"), ("etcd",), back=False)
    with pytest.raises(KprovError, match="cannot be taken back"):
        next_step(at("drop", done=False), (), back=True)
    assert next_step(at("trust"), (), back=False) == "onward"


def pod(
    name: str = "web-7d4-x", *, began: timedelta = timedelta(), life: int | None = 3607, **more: Any
) -> Mapping[str, Any]:
    token = {} if life is None else {"serviceAccountToken": {"expirationSeconds": life}}
    return {
        "metadata": {"namespace": "shop", "name": name, **more},
        "spec": {"volumes": [{"projected": {"sources": [token]}}, {"name": "data"}]},
        "status": {"startTime": (SINCE + began).strftime("%Y-%m-%dT%H:%M:%SZ")},
    }


def secret(name: str, made: timedelta) -> Mapping[str, Any]:
    return {"metadata": {"namespace": "ci", "name": name, "creationTimestamp": f"{SINCE + made:%Y-%m-%dT%H:%M:%SZ}"}}


def test_tokens_that_the_old_key_signed_are_waited_for_as_long_as_they_live() -> None:
    assert longest_token([]) == timedelta(seconds=3607)
    assert longest_token([pod(), pod(life=86400), pod(life=None)]) == timedelta(days=1)
    inside = Inside(pods=[pod(), pod(life=7200)])
    wait = waiting(at("issue"), inside, b"", SINCE + timedelta(hours=1))
    assert wait.until == SINCE + timedelta(hours=2, seconds=30)
    assert waiting(at("issue"), inside, b"", SINCE + timedelta(hours=3)).until is None
    assert wait.notes == ("the longest life of a token that pods are given is 120 minutes",)


def test_tokens_that_do_not_end_stand_in_the_way_and_are_named() -> None:
    secrets = [secret("old", timedelta(-1)), secret("new", timedelta(1))]
    assert legacy_tokens(secrets, SINCE) == ["ci/old"]
    wait = waiting(at("issue"), Inside(secrets=secrets), b"", SINCE + timedelta(days=9))
    assert wait.until is None
    assert len(wait.blocked) == 1
    assert "ci/old" in wait.blocked[0]


def test_pods_are_given_time_to_read_a_new_ca_and_those_that_may_not_are_named() -> None:
    ours = {"ownerReferences": [{"kind": "ReplicaSet", "name": "web-7d4"}]}
    daemon = {"ownerReferences": [{"kind": "DaemonSet", "name": "agent"}]}
    inside = Inside(
        pods=[
            pod(began=timedelta(hours=-1), **ours),
            pod("agent-x", began=timedelta(hours=-1), **daemon),
            pod("alone", began=timedelta(hours=-1)),
            pod("no-token", began=timedelta(hours=-1), life=None),
            pod("young", began=timedelta(minutes=1)),
        ],
        roots=[{"metadata": {"namespace": "shop"}, "data": {"ca.crt": "both\n"}}],
    )
    early = workloads_before(inside.pods, SINCE)
    assert [(one.kind, str(one)) for one in early] == [
        ("DaemonSet", "shop/agent"),
        ("Deployment", "shop/web"),
        ("Pod", "shop/alone"),
    ]
    assert [one.path for one in early][1:] == ["/apis/apps/v1/namespaces/shop/deployments/web", ""]
    trust = at("trust", kinds=KINDS)
    wait = waiting(trust, inside, b"both", SINCE)
    assert wait.until == SINCE + timedelta(minutes=8)
    assert "shop/agent, shop/web, shop/alone" in wait.notes[0]
    assert wait.blocked == ()
    assert waiting(trust, replace(inside, pods=inside.pods[3:]), b"both", SINCE).until is None
    assert waiting(trust, inside, b"others", SINCE + timedelta(hours=1)).blocked == (
        "kube-root-ca.crt does not have the new CA yet in shop",
    )


def test_only_what_has_to_be_known_is_asked() -> None:
    asked = {
        (kind, phase)
        for kind in KINDS
        for phase in ("trust", "issue", "drop", "back")
        if asks_inside(at(phase, kinds=(kind,)))
    }
    assert asked == {("kubernetes", "trust"), ("service-account", "issue")}
    assert waiting(at("issue", kinds=("etcd",)), Inside(), b"", SINCE).until is None


def test_the_phases_are_shown_with_how_far_it_is() -> None:
    assert [line[2] for line in lines(None)] == [" ", " ", " "]
    assert [line[2] for line in lines(at("issue", done=False))] == ["✓", "…", " "]
    assert [line[2] for line in lines(at("drop"))] == ["✓", "✓", "✓"]
    assert lines(at("back"))[-1].startswith("  ✓ back")
