"""How NetworkPolicies become a table: what is learned step by step gives the same table as all at once, and costs a step."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest
from policy_parts import labels, rules, table

NODE = table.Node("n1", "10.244.1.0/24", "169.254.20.10", six=True)
APPS, SPACES, TEAMS = ("web", "db", "dns"), ("a", "b", "kube-system"), ("red", "blue")


class Cluster:
    """Pods, namespaces and policies that change at random."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)  # noqa: S311 - a test that can be run again
        self.pods: dict[str, Any] = {}
        self.spaces = {space: {"team": self.chance.choice(TEAMS)} for space in SPACES}
        self.policies: dict[str, Any] = {}

    def step(self) -> None:
        kind, name = self.chance.choice(("pod", "pod", "policy", "space")), str(self.chance.randrange(8))
        if kind == "space":
            self.spaces[self.chance.choice(SPACES)] = {"team": self.chance.choice(TEAMS)}
        elif kind == "pod":
            self.pods.pop(name) if name in self.pods and self.chance.random() < 0.4 else self._pod(name)
        elif name in self.policies and self.chance.random() < 0.5:
            del self.policies[name]
        else:
            self._policy(name)

    def _pod(self, name: str) -> None:
        app, node = self.chance.choice(APPS), self.chance.choice(("n1", "n2"))
        address = f"10.244.{node[1]}.{self.chance.randrange(2, 9)}"  # at times two of them have the same
        own = {"app": app, **({"k8s-app": "kube-dns"} if app == "dns" else {})}
        ports = (("web", "TCP", self.chance.choice((80, 8080))),) if self.chance.random() < 0.5 else ()
        self.pods[name] = labels.Pod(self.chance.choice(SPACES), name, node, address, own, ports)

    def _policy(self, name: str) -> None:
        selector = self.chance.choice(({}, {"matchLabels": {"app": self.chance.choice(APPS)}}))
        ways = [self.chance.choice((None, [], [self._rule(way) for _ in range(2)])) for way in ("from", "to")]
        self.policies[name] = labels.Policy(self.chance.choice(SPACES), name, selector, *ways)

    def _rule(self, way: str) -> dict[str, Any]:
        peers = (
            {"podSelector": {"matchLabels": {"app": self.chance.choice(APPS)}}},
            {"namespaceSelector": {"matchLabels": {"team": self.chance.choice(TEAMS)}}},
            {"namespaceSelector": {}, "podSelector": {"matchExpressions": [{"key": "app", "operator": "Exists"}]}},
            {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.244.1.0/30"]}},
        )
        ports = ({"port": "web"}, {"port": 80, "endPort": 90}, {"protocol": "UDP"})
        return {
            way: self.chance.sample(peers, self.chance.randrange(3)),
            "ports": self.chance.sample(ports, self.chance.randrange(3)),
        }

    def now(self) -> tuple[Any, ...]:
        pods, policies = list(self.pods.values()), list(self.policies.values())
        self.chance.shuffle(pods)
        self.chance.shuffle(policies)
        return pods, self.spaces, policies


@pytest.mark.parametrize("seed", range(8))
def test_what_is_learned_step_by_step_is_what_all_at_once_says(seed: int) -> None:
    cluster, learned = Cluster(seed), rules.Rules(NODE)
    for _ in range(150):
        for _ in range(cluster.chance.randrange(1, 4)):
            cluster.step()
        assert learned.know(*cluster.now()) == rules.Rules(NODE).know(*cluster.now())


def large() -> tuple[dict[str, Any], dict[str, Any], list[Any]]:
    """500 pods, a fifth of them here, and 200 policies in twenty namespaces."""
    spaces = {f"s{n}": {"team": TEAMS[n % 2]} for n in range(20)}
    pods = {}
    for n in range(500):
        node = f"n{n % 5 + 1}"
        address = f"10.244.{n % 5 + 1}.{n // 5 + 2}"
        pods[f"p{n}"] = labels.Pod(f"s{n % 20}", f"p{n}", node, address, {"app": f"a{n % 10}"}, (("web", "TCP", 80),))
    policies = []
    for n in range(200):
        peers = [
            {"podSelector": {"matchLabels": {"app": f"a{n % 7}"}}},
            {"namespaceSelector": {"matchLabels": {"team": TEAMS[n % 2]}}},
        ]
        rule = {"from": peers, "ports": [{"port": 80}, {"port": "web"}]}
        policies.append(labels.Policy(f"s{n % 20}", f"q{n}", {"matchLabels": {"app": f"a{n % 10}"}}, [rule], None))
    return pods, spaces, policies


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many times a selector was held against labels: what there is to do grows with it."""
    counted = [0]
    matches = labels.matches

    def count(selector: Any, own: Any) -> bool:
        counted[0] += 1
        return bool(matches(selector, own))

    monkeypatch.setattr(labels, "matches", count)
    monkeypatch.setattr(rules, "matches", count)
    return counted


def test_a_change_of_one_pod_costs_what_it_changes(asked: list[int]) -> None:
    pods, spaces, policies = large()
    learned = rules.Rules(NODE)
    before = learned.know(pods.values(), spaces, policies)
    everything, told = asked[0], len(table.whole(NODE, before))
    assert learned.know(pods.values(), spaces, policies) == before
    assert asked[0] == everything, "nothing changed, and nobody was asked"
    for name in ("p1", "p0"):  # of another node, and of this one
        asked[0] = 0
        after = learned.know({**pods, name: pods[name]._replace(address="10.244.9.9")}.values(), spaces, policies)
        text = table.difference(before, after)
        assert 0 < asked[0] < everything / 50
        assert len(text) < told / 4
        assert set(re.findall(r"10\.244\.[\d.]+", text)) == {pods[name].address, "10.244.9.9"}
        learned.know(pods.values(), spaces, policies)


def test_a_change_of_one_policy_costs_that_policy(asked: list[int]) -> None:
    pods, spaces, policies = large()
    learned = rules.Rules(NODE)
    before = learned.know(pods.values(), spaces, policies)
    everything = asked[0]
    asked[0] = 0
    opened = [each._replace(ingress=[{}]) if each.name == "q195" else each for each in policies]
    after = learned.know(pods.values(), spaces, opened)
    assert 0 < asked[0] < everything / 20
    text = table.difference(before, after)
    assert text.count("\n") < 20
    assert "return" in text
    asked[0] = 0
    elsewhere = [each for each in policies if each.name != "q199"]  # of a namespace that has no pod here
    assert learned.know(pods.values(), spaces, elsewhere) == before


def test_no_difference_is_no_text() -> None:
    pods, spaces, policies = large()
    one, other = (rules.Rules(NODE).know(pods.values(), spaces, policies) for _ in range(2))
    assert table.difference(one, other) == ""


def test_a_namespace_that_is_not_known_is_nobodys_peer() -> None:
    """Its pods may be told before it is: what nobody knows opens nothing."""
    policy = labels.Policy("a", "p", {}, [{"from": [{"namespaceSelector": {}}]}], None)
    here = labels.Pod("a", "here", "n1", "10.244.1.5", {})
    there = labels.Pod("b", "there", "n2", "10.244.2.5", {})
    learned = rules.Rules(NODE)
    found = learned.know([here, there], {"a": {}}, [policy])
    (held,) = (each.elements for name, each in found.held.items() if name.startswith("pods-"))
    assert held == {"10.244.1.5"}
    found = learned.know([here, there], {"a": {}, "b": {}}, [policy])
    (held,) = (each.elements for name, each in found.held.items() if name.startswith("pods-"))
    assert held == {"10.244.1.5", "10.244.2.5"}
