"""Who reaches whom under which NetworkPolicies: what the engine of the built-in networks makes of them, in a real kernel."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator

import policy_room
import pytest
from policy_room import NODE_PORT, NODES, PLACES, SERVICE, answers, ask, judged, load, on, rules, within

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("nft") is None, reason="namespaces and nft need root, and nft"
)

DENY_ALL = "{podSelector: {}, policyTypes: [Ingress, Egress]}"
DENY_IN = "{podSelector: {}, policyTypes: [Ingress]}"
EVERY = [f"{a}>{b}" for a in "xywz" for b in "xywz" if a != b]


@pytest.fixture(scope="module", autouse=True)
def room() -> Iterator[policy_room.Room]:
    with policy_room.room() as made:
        yield made


# Policies in namespace a unless they say another; then what passes and what does not.
TABLE: dict[str, tuple[str, list[str], list[str]]] = {
    "no policy": ("", [*EVERY, "out>n1", "x>out", "x>n1", "n1>x", "n2>x"], []),
    "deny all that comes": (
        DENY_IN,
        ["x>z", "w>z", "x>out", "n1>x", "n1>y", "n2>w", "x>x", "x>n1", "x>n2"],
        ["y>x", "w>x", "z>x", "z>w", "x>w", "n2>x", "n1>w", "w>y/UDP:53"],
    ),
    "deny all that leaves": (
        "{podSelector: {}, policyTypes: [Egress]}",
        ["z>x", "z>w", "n1>x", "n2>x", "x>x"],
        ["x>y", "x>w", "x>z", "x>n1", "x>n2", "x>out", "w>x", "x>z/UDP:53"],
    ),
    "deny all both ways": (DENY_ALL, ["n1>x", "n2>w", "x>x"], ["x>y", "x>z", "z>x", "x>n1", "n2>x"]),
    "policyTypes left out, no egress": (
        "{podSelector: {matchLabels: {app: x}}}",
        ["x>y", "x>z"],
        ["y>x", "z>x"],
    ),
    "policyTypes left out, with egress": (
        "{podSelector: {matchLabels: {app: x}}, egress: [{to: [{podSelector: {matchLabels: {app: w}}}]}]}",
        ["x>w"],
        ["x>y", "x>z", "y>x"],
    ),
    "an empty rule allows all": ("{podSelector: {}, ingress: [{}], egress: [{}]}", [*EVERY, "x>out", "n2>x"], []),
    "rules add up": (
        f"""{DENY_ALL}
---
{{podSelector: {{matchLabels: {{app: x}}}}, ingress: [{{from: [{{podSelector: {{matchLabels: {{app: y}}}}}}]}}]}}
---
{{podSelector: {{matchLabels: {{app: y}}}}, policyTypes: [Egress], egress: [{{to: [{{podSelector: {{}}}}]}}]}}
""",
        ["y>x"],
        ["x>y", "w>x", "y>w", "y>z"],
    ),
    "both sides must allow": (
        """{podSelector: {matchLabels: {app: x}}, policyTypes: [Egress], egress: [{to: [{podSelector: {}}]}]}
---
{podSelector: {matchLabels: {app: w}}, ingress: [{from: [{podSelector: {matchLabels: {app: y}}}]}]}
""",
        ["x>y", "y>w"],
        ["x>w", "x>z"],
    ),
    "pods of this namespace": (
        "{podSelector: {matchLabels: {app: x}}, ingress: [{from: [{podSelector: {}}]}]}",
        ["y>x", "w>x"],
        ["z>x", "n2>x"],
    ),
    "every namespace": (
        "{podSelector: {matchLabels: {app: x}}, ingress: [{from: [{namespaceSelector: {}}]}]}",
        ["y>x", "w>x", "z>x"],
        ["n2>x"],
    ),
    "a namespace by its label": (
        "{podSelector: {matchLabels: {app: x}}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: blue}}}]}]}",
        ["z>x"],
        ["y>x", "w>x"],
    ),
    "a namespace by expressions": (
        """{podSelector: {matchLabels: {app: x}}, ingress: [{from: [{namespaceSelector: {matchExpressions: [
        {key: team, operator: NotIn, values: [blue]}, {key: team, operator: DoesNotExist}]}}]}]}""",
        ["y>x", "w>x"],
        ["z>x"],
    ),
    "pods and namespace together": (
        """{podSelector: {matchLabels: {app: x}}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: blue}},
        podSelector: {matchLabels: {app: y}}}]}]}""",
        [],
        ["y>x", "z>x", "w>x"],
    ),
    "pods or namespace": (
        """{podSelector: {matchLabels: {app: x}}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: blue}}},
        {podSelector: {matchLabels: {app: y}}}]}]}""",
        ["y>x", "z>x"],
        ["w>x"],
    ),
    "selected by expressions": (
        "{podSelector: {matchExpressions: [{key: app, operator: In, values: [x, w]}, {key: app, operator: Exists}]}}",
        ["x>y", "z>y"],
        ["y>x", "y>w"],
    ),
    "a port": (
        "{podSelector: {matchLabels: {app: x}}, ingress: [{ports: [{port: 81}]}]}",
        ["y>x:81", "z>x:81", "n2>x:81"],
        ["y>x:80", "y>x:8080", "y>x/UDP:53"],
    ),
    "a range of ports": (
        "{podSelector: {matchLabels: {app: x}}, ingress: [{ports: [{port: 81, endPort: 9000}, {port: 8000}]}]}",
        ["y>x:81", "z>x:8080"],
        ["y>x:80"],
    ),
    "a protocol": (
        "{podSelector: {matchLabels: {app: x}}, ingress: [{ports: [{protocol: UDP}]}]}",
        ["y>x/UDP:53", "w>x/UDP:80"],
        ["y>x:80"],
    ),
    "UDP and not TCP of the same number": (
        "{podSelector: {matchLabels: {app: x}}, ingress: [{ports: [{protocol: UDP, port: 80}, {protocol: SCTP, port: 81}]}]}",
        ["y>x/UDP:80"],
        ["y>x:80", "y>x:81", "y>x/UDP:53"],
    ),
    "a port by its name": (
        "{podSelector: {}, ingress: [{ports: [{port: web}]}]}",
        ["y>x:8080", "z>x:8080", "n2>x:8080"],
        ["y>x:80", "x>y:8080"],
    ),
    "a port by its name, from somebody": (
        "{podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {app: y}}}], ports: [{port: web}]}]}",
        ["y>x:8080"],
        ["z>x:8080", "y>x:80"],
    ),
    "a name that no pod has": (
        "{podSelector: {matchLabels: {app: x}}, ingress: [{ports: [{port: none}]}]}",
        [],
        ["y>x:80", "y>x:8080"],
    ),
    "egress to a port by its name": (
        """{podSelector: {matchLabels: {app: y}}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {}}],
        ports: [{port: web}]}]}""",
        ["y>x:8080", "y>z:80"],
        ["y>x:80", "y>z:8080", "y>w:80"],
    ),
    "DNS alone may leave": (
        """{podSelector: {}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {matchLabels: {team: blue}}}],
        ports: [{protocol: UDP, port: 53}]}]}""",
        ["x>z/UDP:53", "w>z/UDP:53"],
        ["x>z:80", "x>y/UDP:53", "x>n2/UDP:53"],
    ),
    "addresses": (
        "{podSelector: {matchLabels: {app: x}}, ingress: [{from: [{ipBlock: {cidr: 192.0.2.0/24}}]}]}",
        ["n2>x", "out>x"],
        ["y>x", "z>x"],
    ),
    "addresses with exceptions": (
        """{podSelector: {matchLabels: {app: x}}, ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0,
        except: [10.244.2.0/24, 192.0.2.2/32]}}]}]}""",
        ["y>x", "out>x"],
        ["w>x", "z>x", "n2>x"],
    ),
    "an exception of one block is another's address": (
        """{podSelector: {matchLabels: {app: x}}, ingress: [{from: [{ipBlock: {cidr: 10.244.0.0/16,
        except: [10.244.2.0/24]}}, {ipBlock: {cidr: 10.244.2.6/32}}]}]}""",
        ["y>x", "z>x"],
        ["w>x"],
    ),
    "all addresses": (
        "{podSelector: {matchLabels: {app: x}}, ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0}}], ports: [{port: 80}]}]}",
        ["y>x", "z>x", "n2>x"],
        ["y>x:81"],
    ),
    "IPv6 names nobody here": (
        "{podSelector: {matchLabels: {app: x}}, ingress: [{from: [{ipBlock: {cidr: '::/0'}}]}]}",
        [],
        ["y>x", "n2>x"],
    ),
    "egress to addresses": (
        """{podSelector: {matchLabels: {app: x}}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 192.0.2.0/24,
        except: [192.0.2.1/32]}}]}]}""",
        ["x>n2", "x>out"],
        ["x>n1", "x>y", "x>z"],
    ),
    "a Service is its pod": (
        "{podSelector: {matchLabels: {app: x}}, ingress: [{from: [{podSelector: {matchLabels: {app: y}}}]}]}",
        [f"y>{SERVICE}", f"x>{SERVICE}"],
        [f"w>{SERVICE}", f"z>{SERVICE}"],
    ),
    "egress by a Service": (
        """{podSelector: {matchLabels: {app: y}}, policyTypes: [Egress],
        egress: [{to: [{podSelector: {matchLabels: {app: x}}}]}]}""",
        [f"y>{SERVICE}", "y>x"],
        ["y>w"],
    ),
    "from itself by its Service": (DENY_ALL, [f"x>{SERVICE}"], [f"y>{SERVICE}"]),
    "a NodePort from outside": (
        """{podSelector: {matchLabels: {app: x}}, ingress: [{from: [{ipBlock: {cidr: 192.0.2.9/32}}],
        ports: [{port: 8080}]}]}""",
        [f"out>n1:{NODE_PORT}"],
        [f"n2>n1:{NODE_PORT}", f"out>n2:{NODE_PORT}"],  # beside the pod's node it comes with that node's address
    ),
    "a NodePort that is closed": (DENY_IN, [], [f"out>n1:{NODE_PORT}", f"out>n2:{NODE_PORT}"]),
    "another namespace's policy": (
        "{space: b, podSelector: {}, policyTypes: [Ingress, Egress]}",
        ["x>y", "y>w", "n2>x"],
        ["x>z", "z>x"],
    ),
}


@pytest.mark.parametrize("name", TABLE)
def test_who_reaches_whom(name: str) -> None:
    text, passes, ends = TABLE[name]
    load(text)
    assert judged(passes, ends) == {**dict.fromkeys(passes, True), **dict.fromkeys(ends, False)}


def test_a_policy_holds_for_connections_that_stood_before_it() -> None:
    load("")
    server = policy_room.server(PLACES["x"], "TCP", 7000)
    with server, policy_room.socket_in(PLACES["z"], socket.SOCK_STREAM) as client:
        client.connect((PLACES["x"].address, 7000))
        accepted, _ = server.accept()
        accepted.settimeout(0.5)
        client.send(b"before")
        assert accepted.recv(10) == b"before"
        load(DENY_IN)
        client.send(b"after")
        with pytest.raises(TimeoutError):
            accepted.recv(10)
        load("")
        accepted.settimeout(5)
        assert accepted.recv(10) == b"after"  # the kernel sends it again
        accepted.close()


def test_answers_come_back_to_pods_that_nobody_may_open_connections_to() -> None:
    load(DENY_IN)
    assert answers([ask("x>z"), ask("z>x")]) == [True, False]


def test_a_pod_that_is_not_known_yet_is_closed_while_there_are_policies() -> None:
    """Its labels are not known, and so not which policies take it; without a policy nobody needs to know."""
    load("{space: b, podSelector: {matchLabels: {app: nobody}}}", known=lambda pod: pod.name != "y")
    assert answers([ask("y>x"), ask("x>y"), ask("y>n1"), ask("y>out"), ask("x>w")]) == [False] * 4 + [True]
    assert "packets 0" not in within(NODES[0], "nft", "list", "counter", "ip", "kprov-policies", "unknown")
    load("", known=lambda pod: pod.name != "y")
    assert answers([ask("y>x"), ask("x>y")]) == [True, True]


def test_after_a_boot_a_nodes_pods_begin_closed_and_the_node_itself_is_not() -> None:
    load("")
    node = NODES[0]
    within(node, "nft", "-f", "-", stdin=policy_room.table.whole(on(node), rules.closed(on(node))))
    assert answers([ask("x>y"), ask("x>z"), ask("z>x"), ask("w>z"), ask("n1>z"), ask("n1>10.244.1.1")]) == [
        *(False, False, False),
        *(True, True, True),
    ]


def test_what_is_dropped_is_counted_by_reason() -> None:
    load(DENY_ALL)
    answers([ask("x>z"), ask("z>x")])
    for way in ("ingress", "egress"):
        assert "packets 0" not in within(NODES[0], "nft", "list", "counter", "ip", "kprov-policies", way)


def test_no_policy_leaves_nothing_in_the_kernel() -> None:
    load(DENY_ALL)
    load("")
    assert "kprov-policies" not in within(NODES[0], "nft", "list", "tables")
