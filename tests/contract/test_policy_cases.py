"""Every case of upstream's own suite for NetworkPolicies, as rows of who reaches whom, in a real kernel.

Namespaces a, b and c have the label that each namespace has by its name. Of a are x and y on the first node and w on the
second, of b v on the first and z on the second, of c is u on the second. Loopback is not asked here, as upstream does not.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import policy_room
import pytest
from policy_room import NODES, PLACES, SERVICE, answers, ask, judged, load, within

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("nft") is None, reason="namespaces and nft need root, and nft"
)

POD_X = "podSelector: {matchLabels: {app: x}}"
DENY_IN = "{podSelector: {}, policyTypes: [Ingress]}"
NOT_A = "namespaceSelector: {matchExpressions: [{key: kubernetes.io/metadata.name, operator: NotIn, values: [a]}]}"
IN_WQ = "{key: app, operator: In, values: [w, q]}"
ONLY_B = "namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: b}}"
SIX = "xywvzu"


@pytest.fixture(scope="module", autouse=True)
def room() -> Iterator[policy_room.Room]:
    with policy_room.room() as made:
        yield made


def to(target: str, *, but: str = "", port: str = "") -> list[str]:
    """Everybody to one pod, but some."""
    return [f"{each}>{target}{port}" for each in SIX if each != target and each not in but]


def of(source: str, *, but: str = "", port: str = "") -> list[str]:
    """One pod to everybody, but some."""
    return [f"{source}>{each}{port}" for each in SIX if each != source and each not in but]


# Policies, of namespace a where they name no other; what passes; what does not.
CASES: dict[str, tuple[str, list[str], list[str]]] = {
    "deny all that comes, and other namespaces go on": (
        DENY_IN,
        [*of("x", but="yw"), "v>z", "z>u", "u>v"],
        [*to("x"), *to("y"), *to("w")],
    ),
    "deny all both ways": (
        "{podSelector: {}, policyTypes: [Ingress, Egress]}",
        ["v>z", "u>v"],
        [*to("x"), *of("x"), *of("w")],
    ),
    "allow one target in a namespace that is closed": (
        f"{DENY_IN}\n---\n{{{POD_X}, ingress: [{{from: [{{podSelector: {{}}, namespaceSelector: {{}}}}]}}]}}",
        to("x"),
        [*to("y"), *to("w")],
    ),
    "pods of the server's namespace by label": (
        f"{{{POD_X}, ingress: [{{from: [{{podSelector: {{matchLabels: {{app: y}}}}}}]}}]}}",
        ["y>x", *to("y")],
        to("x", but="y"),
    ),
    "pods by expression": (
        f"{{{POD_X}, ingress: [{{from: [{{podSelector: {{matchExpressions: [{IN_WQ}]}}}}]}}]}}",
        ["w>x"],
        to("x", but="w"),
    ),
    "pods that have a label, or have it not": (
        f"""{{{POD_X}, ingress: [{{from: [{{podSelector: {{matchExpressions: [{{key: app, operator: Exists}},
        {{key: gone, operator: DoesNotExist}}, {{key: app, operator: NotIn, values: [y]}}]}}}}]}}]}}""",
        ["w>x"],
        to("x", but="w"),
    ),
    "a namespace by its name": (
        f"{{{POD_X}, ingress: [{{from: [{{{ONLY_B}}}]}}]}}",
        ["v>x", "z>x"],
        ["y>x", "w>x", "u>x"],
    ),
    "a namespace by expression": (
        f"""{{{POD_X}, ingress: [{{from: [{{namespaceSelector: {{matchExpressions: [
        {{key: kubernetes.io/metadata.name, operator: In, values: [b]}}]}}}}]}}]}}""",
        ["v>x", "z>x"],
        ["y>x", "w>x", "u>x"],
    ),
    "other namespaces, or one pod": (
        f"{{{POD_X}, ingress: [{{from: [{{{NOT_A}}}, {{podSelector: {{matchLabels: {{app: y}}}}}}]}}]}}",
        ["y>x", "v>x", "z>x", "u>x"],
        ["w>x"],
    ),
    "other namespaces, and one pod of them": (
        f"{{{POD_X}, ingress: [{{from: [{{{NOT_A}, podSelector: {{matchLabels: {{app: z}}}}}}]}}]}}",
        ["z>x"],
        ["y>x", "w>x", "v>x", "u>x"],
    ),
    "several pods of other namespaces": (
        f"""{{{POD_X}, ingress: [{{from: [{{{NOT_A},
        podSelector: {{matchExpressions: [{{key: app, operator: In, values: [z, u, y]}}]}}}}]}}]}}""",
        ["z>x", "u>x"],
        ["v>x", "y>x", "w>x"],
    ),
    "one of two pod selectors": (
        f"""{{{POD_X}, ingress: [{{from: [{{podSelector: {{matchLabels: {{app: y}}}}}},
        {{podSelector: {{matchLabels: {{app: w}}}}}}]}}]}}""",
        ["y>x", "w>x"],
        ["v>x", "z>x", "u>x"],
    ),
    "a port from a namespace": (
        f"{{{POD_X}, ingress: [{{from: [{{{ONLY_B}}}], ports: [{{port: 81}}]}}]}}",
        ["v>x:81", "z>x:81"],
        ["v>x:80", "u>x:81", "y>x:81", "z>x/UDP:80"],
    ),
    "policies over one another": (
        f"{{{POD_X}, ingress: [{{from: [{{{ONLY_B}}}], ports: [{{port: 81}}]}}]}}\n---\n"
        f"{{{POD_X}, ingress: [{{from: [{{{ONLY_B}}}], ports: [{{port: 80}}]}}]}}",
        ["v>x:80", "z>x:81"],
        ["v>x:8080", "u>x:80", "y>x:81"],
    ),
    "allow all": ("{podSelector: {}, ingress: [{}]}", [*to("x"), *to("y", port=":81")], []),
    "allow all over deny all": (
        f"{DENY_IN}\n---\n{{podSelector: {{}}, ingress: [{{}}]}}",
        [*to("x"), *to("w", port="/UDP:53")],
        [],
    ),
    "a name of a port for all pods of a namespace": (
        "{podSelector: {}, ingress: [{ports: [{port: web}]}]}",
        ["y>x:8080", "z>x:8080", "u>w:81"],
        ["y>x:80", "u>w:80", "x>y:8080"],
    ),
    "a name of a port from one namespace": (
        f"{{{POD_X}, ingress: [{{from: [{{{ONLY_B}}}], ports: [{{port: web}}]}}]}}",
        ["v>x:8080"],
        ["v>x:80", "u>x:8080", "y>x:8080"],
    ),
    "a name of a port where packets leave": (
        f"{{{POD_X}, policyTypes: [Egress], egress: [{{ports: [{{port: web}}]}}]}}",
        ["x>z:80", "x>w:81", f"x>{SERVICE}"],
        ["x>z:81", "x>w:80", "x>u:80", "x>out:80"],
    ),
    "a name that is of UDP is not of TCP": (
        f"{{{POD_X}, policyTypes: [Egress], egress: [{{ports: [{{port: dns}}, {{port: dns, protocol: UDP}}]}}]}}",
        ["x>z/UDP:53"],
        ["x>z:80", "x>z/UDP:80"],
    ),
    "a name that nobody has opens no port at all": (
        f"{{{POD_X}, ingress: [{{ports: [{{port: nobody}}]}}]}}",
        to("y"),
        [*to("x"), *to("x", port=":81"), *to("x", port="/UDP:53")],
    ),
    "pods of other namespaces stay out": (
        "{podSelector: {}, ingress: [{from: [{podSelector: {}}]}]}",
        ["y>x", "w>x", "x>w"],
        [*to("x", but="yw"), *to("w", but="xy")],
    ),
    "nothing leaves one pod": (f"{{{POD_X}, policyTypes: [Egress]}}", [*to("x"), *of("y")], of("x")),
    "nothing leaves a namespace": (
        "{podSelector: {}, policyTypes: [Egress]}",
        ["v>x", "z>w"],
        [*of("x"), *of("y"), *of("w")],
    ),
    "both ways in one policy": (
        f"""{{{POD_X}, policyTypes: [Ingress, Egress], ingress: [{{from: [{{podSelector: {{matchLabels: {{app: y}}}}}}]}}],
        egress: [{{ports: [{{port: 80}}]}}]}}""",
        ["y>x:80", "y>x:81", *of("x")],
        [*to("x", but="y"), *to("x", but="y", port=":81"), *of("x", port=":81")],
    ),
    "the client's side denies what the server's allows": (
        f"""{{{POD_X}, policyTypes: [Egress], egress: [{{to: [{{{ONLY_B}, podSelector: {{matchLabels: {{app: v}}}}}}]}}]}}
---
{{space: b, podSelector: {{}}, ingress: [{{from: [{{namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: a}}}},
podSelector: {{matchLabels: {{app: x}}}}}}]}}]}}""",
        ["x>v"],
        [*of("x", but="v"), *to("v", but="x"), *to("z", but="")],
    ),
    "to one pod of another namespace": (
        f"{{{POD_X}, policyTypes: [Egress], egress: [{{to: [{{{ONLY_B}, podSelector: {{matchLabels: {{app: v}}}}}}]}}]}}",
        ["x>v"],
        of("x", but="v"),
    ),
    "any port of one protocol": (
        f"{{{POD_X}, ingress: [{{ports: [{{protocol: TCP}}]}}]}}",
        [*to("x"), *to("x", port=":81")],
        [*to("x", port="/UDP:53"), *to("x", port="/UDP:80")],
    ),
    "a port, and an allow-all beside it, where packets come": (
        "{podSelector: {}, ingress: [{ports: [{port: 80}]}]}\n---\n{podSelector: {}, ingress: [{}]}",
        [*to("x", port=":81"), *to("y", port=":8080")],
        [],
    ),
    "a port, and an allow-all beside it, where packets leave": (
        """{podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: 80}]}]}
---
{podSelector: {}, policyTypes: [Egress], egress: [{}]}""",
        [*of("x", port=":81"), *of("w", port="/UDP:53")],
        [],
    ),
    "the block of one pod": (
        f"{{{POD_X}, policyTypes: [Egress], egress: [{{to: [{{ipBlock: {{cidr: {PLACES['z'].address}/32}}}}]}}]}}",
        ["x>z"],
        of("x", but="z"),
    ),
    "a block without one pod": (
        f"""{{{POD_X}, policyTypes: [Egress], egress: [{{to: [{{ipBlock: {{cidr: 10.244.2.0/24,
        except: [{PLACES["z"].address}/32]}}}}]}}]}}""",
        ["x>w", "x>u"],
        ["x>z", "x>y", "x>v"],
    ),
    "what one policy's block excepts another policy allows": (
        f"""{{{POD_X}, policyTypes: [Egress], egress: [{{to: [{{ipBlock: {{cidr: 10.244.2.0/24,
        except: [{PLACES["z"].address}/32]}}}}]}}]}}
---
{{{POD_X}, policyTypes: [Egress], egress: [{{to: [{{ipBlock: {{cidr: {PLACES["z"].address}/32}}}}]}}]}}""",
        ["x>w", "x>u", "x>z"],
        ["x>y", "x>v"],
    ),
    "ingress and egress of one pod apart": (
        f"""{{{POD_X}, policyTypes: [Egress], egress: [{{to: [{{podSelector: {{matchLabels: {{app: y}}}}}}]}}]}}
---
{{{POD_X}, ingress: [{{from: [{{podSelector: {{matchLabels: {{app: w}}}}}}]}}]}}""",
        ["x>y", "w>x"],
        ["x>w", "y>x", "x>v", "v>x"],
    ),
    "SCTP is not TCP": (
        f"{DENY_IN}\n---\n{{{POD_X}, ingress: [{{ports: [{{port: 81, protocol: SCTP}}]}}]}}",
        to("x", port="/SCTP:81"),
        [*to("x", port=":81"), "v>x/SCTP:80", "v>y/SCTP:81"],
    ),
    "a policy of SCTP alone isolates": (
        f"{{{POD_X}, ingress: [{{ports: [{{port: 80, protocol: SCTP}}]}}]}}",
        ["y>x/SCTP:80"],
        [*to("x"), *to("x", port="/UDP:80")],
    ),
    "UDP is not TCP": (
        f"{{{POD_X}, ingress: [{{ports: [{{port: 80, protocol: UDP}}]}}]}}",
        to("x", port="/UDP:80"),
        [*to("x"), *to("x", port="/UDP:53")],
    ),
    "a namespace by expression where packets leave": (
        f"""{{{POD_X}, policyTypes: [Egress], egress: [{{to: [{{namespaceSelector: {{matchExpressions: [
        {{key: kubernetes.io/metadata.name, operator: NotIn, values: [b]}}]}}}}]}}]}}""",
        ["x>y", "x>w", "x>u"],
        ["x>v", "x>z"],
    ),
    "deny all that comes, by UDP": (DENY_IN, ["x>z/UDP:80", "v>u/UDP:53"], to("x", port="/UDP:80")),
    "a port from a namespace, by UDP": (
        f"{{{POD_X}, ingress: [{{from: [{{{ONLY_B}}}], ports: [{{port: 53, protocol: UDP}}]}}]}}",
        ["v>x/UDP:53", "z>x/UDP:53"],
        ["y>x/UDP:53", "u>x/UDP:53", "v>x/UDP:80", "v>x:80"],
    ),
    "one pod of another namespace, by UDP": (
        f"{{{POD_X}, ingress: [{{from: [{{{ONLY_B}, podSelector: {{matchLabels: {{app: z}}}}}}]}}]}}",
        ["z>x/UDP:80"],
        to("x", but="z", port="/UDP:80"),
    ),
    "deny all that comes, by SCTP": (DENY_IN, ["x>z/SCTP:80", "v>u/SCTP:80"], to("x", port="/SCTP:80")),
    "a port from a namespace, by SCTP": (
        f"{{{POD_X}, ingress: [{{from: [{{{ONLY_B}}}], ports: [{{port: 81, endPort: 83, protocol: SCTP}}]}}]}}",
        ["v>x/SCTP:81", "z>x/SCTP:83"],
        ["y>x/SCTP:81", "u>x/SCTP:82", "v>x/SCTP:80", "v>x/SCTP:84"],
    ),
    "one pod of another namespace, by SCTP": (
        f"{{{POD_X}, ingress: [{{from: [{{{ONLY_B}, podSelector: {{matchLabels: {{app: z}}}}}}]}}]}}",
        ["z>x/SCTP:80"],
        to("x", but="z", port="/SCTP:80"),
    ),
    # What upstream's suite does not ask, and its API allows.
    "lists that are empty, or are null, name everybody": (
        f"""{{{POD_X}, ingress: [{{from: [], ports: []}}]}}
---
{{podSelector: {{matchLabels: {{app: y}}}}, policyTypes: [Egress], egress: [{{to: null, ports: null}}], ingress: null}}""",
        [*to("x"), *of("y", port=":81"), *to("y")],
        [],
    ),
    "numbers and names together": (
        f"{{{POD_X}, ingress: [{{ports: [{{port: web}}, {{port: 53, protocol: UDP}}, {{port: 81}}]}}]}}",
        ["y>x:8080", "z>x:81", "u>x/UDP:53"],
        ["y>x:80", "z>x/UDP:80"],
    ),
    "a range of ports where packets leave": (
        f"{{{POD_X}, policyTypes: [Egress], egress: [{{ports: [{{port: 80, endPort: 81}}]}}]}}",
        ["x>z:80", "x>y:81", f"x>{SERVICE}"],  # to itself
        ["x>z:8080", "x>z/UDP:80"],
    ),
    "exceptions that overlap, and one beyond the block": (
        f"""{{{POD_X}, ingress: [{{from: [{{ipBlock: {{cidr: 10.244.1.5/16,
        except: [10.244.2.0/24, 10.244.2.4/30, 10.244.1.6/32, 192.0.2.0/24]}}}}]}}]}}""",
        ["v>x"],
        to("x", but="v"),
    ),
    "blocks that overlap and touch": (
        f"""{{{POD_X}, ingress: [{{from: [{{ipBlock: {{cidr: 10.244.1.0/25}}}}, {{ipBlock: {{cidr: 10.244.1.0/26}}}},
        {{ipBlock: {{cidr: 10.244.1.128/25}}}}, {{ipBlock: {{cidr: 10.244.2.6/31}}}}]}}]}}""",
        ["y>x", "v>x", "z>x", "u>x"],
        ["w>x", "n2>x"],
    ),
    "blocks of both families": (
        f"""{{{POD_X}, ingress: [{{from: [{{ipBlock: {{cidr: '2001:db8::/32', except: ['2001:db8:1::/48']}}}},
        {{ipBlock: {{cidr: 10.244.2.0/24}}}}, {{podSelector: {{matchLabels: {{app: y}}}}}}]}}]}}""",
        ["w>x", "z>x", "u>x", "y>x"],
        ["v>x", "out>x"],
    ),
    "a pod's block holds by a Service too": (
        f"""{{podSelector: {{matchLabels: {{app: y}}}}, policyTypes: [Egress],
        egress: [{{to: [{{ipBlock: {{cidr: {PLACES["x"].address}/32}}}}], ports: [{{port: 8080}}]}}]}}""",
        [f"y>{SERVICE}", "y>x:8080"],
        ["y>x:80", "y>z:8080"],
    ),
    "the block of a Service's own address names nobody": (
        f"""{{podSelector: {{matchLabels: {{app: y}}}}, policyTypes: [Egress],
        egress: [{{to: [{{ipBlock: {{cidr: {SERVICE}/32}}}}]}}]}}""",
        [],
        [f"y>{SERVICE}", "y>x:8080"],
    ),
    "a selector of nobody, and one of a later API": (
        f"""{{podSelector: {{matchLabels: {{app: nobody}}}}}}
---
{{podSelector: {{matchExpressions: [{{key: app, operator: Later, values: [y]}}]}}}}
---
{{{POD_X}, ingress: [{{from: [{{podSelector: {{matchExpressions: [{{key: app, operator: Later, values: [y]}}]}}}}]}}]}}""",
        to("y"),
        to("x"),
    ),
    "one way alone is isolated where types say so": (
        f"{{{POD_X}, policyTypes: [Ingress], ingress: [{{}}], egress: [{{to: [{{podSelector: {{}}}}]}}]}}",
        [*of("x"), *to("x")],
        [],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_who_reaches_whom(name: str) -> None:
    text, passes, ends = CASES[name]
    load(text)
    assert judged(passes, ends) == {**dict.fromkeys(passes, True), **dict.fromkeys(ends, False)}


def test_pods_ping_whom_no_port_closes() -> None:
    """What has no ports passes where a rule names none."""
    load(f"{{{POD_X}, ingress: [{{ports: [{{port: 80}}]}}]}}\n---\n{{{POD_X}, ingress: [{{from: [{{{ONLY_B}}}]}}]}}")
    assert judged(["v>x/ICMP", "z>x/ICMP"], ["y>x/ICMP", "u>x/ICMP"]) == {
        **dict.fromkeys(["v>x/ICMP", "z>x/ICMP"], True),
        **dict.fromkeys(["y>x/ICMP", "u>x/ICMP"], False),
    }


def test_two_hundred_policies_take_one_pod() -> None:
    """Each allows one port; what none of them allows stays closed."""
    rows = [
        f"{{{POD_X}, ingress: [{{from: [{{podSelector: {{}}}}], ports: [{{port: {7000 + n}}}]}}]}}" for n in range(200)
    ]
    load("\n---\n".join([*rows, f"{{{POD_X}, ingress: [{{from: [{{podSelector: {{}}}}], ports: [{{port: 81}}]}}]}}"]))
    assert answers([ask("y>x:81"), ask("w>x:81"), ask("y>x:80"), ask("v>x:81")]) == [True, True, False, False]
    assert within(NODES[0], "nft", "list", "table", "ip", "kprov-policies").count("return") > 200
