"""NetworkPolicies as rules of nftables for the pods of one node. Pure: it reads no clock, asks nobody, and writes nothing.

The kernel holds the result and decides each packet by itself, so that pods keep their rules whatever becomes of this program.
It runs on hosts, by the Python of their distribution: 3.6 and later.
"""

import hashlib
import ipaddress
import json
from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

from ranges import ALL, Range, as_text, merged, of_block

TABLE = "kprov-policies"
_DNS_SPACE, _DNS_LABELS = "kube-system", {"k8s-app": "kube-dns"}

Labels = Dict[str, str]


class Pod(NamedTuple):
    """A pod with an address of its own. ports: (name, protocol, number) of those that have a name."""

    space: str
    name: str
    node: str
    address: str
    labels: "Labels"
    ports: "Tuple[Tuple[str, str, int], ...]" = ()


class Policy(NamedTuple):
    """What one NetworkPolicy says, in the API's own words. ingress, egress: None where it does not isolate that way."""

    space: str
    name: str
    selector: "Dict[str, Any]"
    ingress: "Optional[List[Dict[str, Any]]]"
    egress: "Optional[List[Dict[str, Any]]]"


class Node(NamedTuple):
    """Where the rules stand. own: the network of its pods. cache: where they find the node's DNS cache, if there is one."""

    name: str
    own: str
    cache: str = ""

    @property
    def gateway(self) -> str:
        """The node's own address in the network of its pods."""
        return str(ipaddress.ip_network(self.own)[1])


class Peers(NamedTuple):
    """Addresses that a rule names. everybody: all there are, also outside."""

    everybody: bool
    addresses: "frozenset[str]"
    blocks: "Tuple[Range, ...]"


def matches(selector: "Dict[str, Any]", labels: "Labels") -> bool:
    """Say whether a label selector takes these labels; one without a word takes all."""
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_fits(each, labels) for each in selector.get("matchExpressions") or ())


def _fits(expression: "Dict[str, Any]", labels: "Labels") -> bool:
    key, operator = expression["key"], expression["operator"]
    values = expression.get("values") or ()
    if operator == "In":
        return labels.get(key) in values if key in labels else False
    if operator == "NotIn":
        return key not in labels or labels[key] not in values
    if operator == "Exists":
        return key in labels
    if operator == "DoesNotExist":
        return key not in labels
    return False  # an operator that a later API has: it takes nobody, so that nothing opens


def render(node: Node, pods: "Sequence[Pod]", spaces: "Dict[str, Labels]", policies: "Sequence[Policy]") -> str:
    """Return what `nft -f` shall make of the table, as one transaction. Without a policy there is no table at all.

    pods: of the whole cluster. spaces: labels of every namespace. The same arguments in another order give the same text.
    """
    head = "table ip %s\ndelete table ip %s\n" % (TABLE, TABLE)
    if not policies:
        return head
    return head + _Rules(node, pods, spaces, policies).text()


def closed(node: Node) -> str:
    """Return the table in which no pod of the node is known: for the time after a boot in which nothing was learned yet."""
    return "table ip %s\ndelete table ip %s\n" % (TABLE, TABLE) + _table(node, [node.gateway], "", "", [], [])


def _table(
    node: Node, known: "Iterable[str]", leaving: str, coming: str, sets: "Iterable[str]", chains: "Iterable[str]"
) -> str:
    lines = ["table ip %s {" % TABLE]
    lines += ["    counter %s { }" % name for name in ("ingress", "egress", "unknown")]
    lines.append("    set known { type ipv4_addr; elements = { %s } }" % ", ".join(sorted(known)))
    lines += ["    " + text for text in sets]
    lines += ["    " + text for text in chains]
    lines += [
        "    map leaving { type ipv4_addr : verdict; %s }" % leaving,
        "    map coming { type ipv4_addr : verdict; %s }" % coming,
        # Answers pass, and what is said of a connection that passes. Each packet of who opened it is judged, so that a
        # policy holds for connections that stood before it.
        "    chain forward {",
        "        type filter hook forward priority filter - 1; policy accept;",
        "        ct direction reply accept",
        "        ct state related accept",
        "        ip saddr %s ip saddr != @known counter name unknown drop" % node.own,
        "        ip daddr %s ip daddr != @known counter name unknown drop" % node.own,
        "        ip saddr vmap @leaving",
        "        ip daddr vmap @coming",
        "    }",
        "    chain input {",
        "        type filter hook input priority filter - 1; policy accept;",
        "        ct direction reply accept",
        "        ct state related accept",
        "        ip saddr %s ip saddr != @known counter name unknown drop" % node.own,
        "        ip saddr vmap @leaving",
        "    }",
        "}",
    ]
    return "\n".join(lines) + "\n"


class _Rules:
    """Sets and chains while they are collected: what several rules need stands once."""

    def __init__(
        self, node: Node, pods: "Sequence[Pod]", spaces: "Dict[str, Labels]", policies: "Sequence[Policy]"
    ) -> None:
        self._node = node
        self._pods = sorted(pods, key=lambda pod: (pod.space, pod.name))
        self._spaces = spaces
        self._policies = sorted(policies, key=lambda policy: (policy.space, policy.name))
        self._by_space = _grouped(self._pods, lambda pod: pod.space)
        self._sets: "Dict[str, str]" = {}
        self._chains: "Dict[str, str]" = {}
        self._peers: "Dict[str, Peers]" = {}

    def text(self) -> str:
        own = [pod for pod in self._pods if pod.node == self._node.name]
        of_space = _grouped(self._policies, lambda policy: policy.space)
        leaving, coming = {}, {}
        for pod in own:
            taken = [policy for policy in of_space.get(pod.space, ()) if matches(policy.selector, pod.labels)]
            out = [policy for policy in taken if policy.egress is not None]
            into = [policy for policy in taken if policy.ingress is not None]
            if out:
                leaving[pod.address] = self._chain("egress", out)
            if into:
                coming[pod.address] = self._chain("ingress", into)
        known = {pod.address for pod in own} | {self._node.gateway}
        isolated = sorted(set(leaving) | set(coming))
        if isolated:  # nobody is kept from itself, also by way of a Service
            pairs = ", ".join("%s . %s" % (address, address) for address in isolated)
            self._sets["itself"] = "set itself { type ipv4_addr . ipv4_addr; elements = { %s } }" % pairs
        return _table(
            self._node,
            known,
            _elements(leaving),
            _elements(coming),
            (self._sets[name] for name in sorted(self._sets)),
            (self._chains[name] for name in sorted(self._chains)),
        )

    def _chain(self, way: str, policies: "List[Policy]") -> str:
        """Return the name of the chain for pods that these policies, and no others, take: what none of them allows ends."""
        rules: "List[str]" = []
        for policy in policies:
            for rule in (policy.egress if way == "egress" else policy.ingress) or ():
                rules += [text for text in self._rule(way, policy, rule) if text not in rules]
        name = "%s-%s" % (way, _digest([policy.space + "/" + policy.name for policy in policies]))
        lines = ["ip saddr . ip daddr @itself return", *(("%s return" % text).strip() for text in rules)]
        lines.append("counter name %s drop" % way)
        self._chains[name] = "chain %s { %s; }" % (name, "; ".join(lines))
        return name

    def _rule(self, way: str, policy: Policy, rule: "Dict[str, Any]") -> "Iterable[str]":
        """Yield what packets that one rule allows look like; nothing of a rule that names nobody who is there."""
        side = "daddr" if way == "egress" else "saddr"
        peers = self._named(way, policy.space, rule.get("to" if way == "egress" else "from") or [])
        for who in self._matches(side, peers):
            for port in self._ports(way, policy, rule.get("ports") or []):
                yield " ".join(word for word in (who, port) if word)

    def _matches(self, side: str, peers: Peers) -> "Iterable[str]":
        if peers.everybody:
            yield ""
            return
        if peers.addresses:
            yield "ip %s @%s" % (side, self._set("pods", "ipv4_addr", sorted(peers.addresses)))
        if peers.blocks:
            elements = [as_text(each) for each in peers.blocks]
            yield "ip %s @%s" % (side, self._set("blocks", "ipv4_addr; flags interval", elements))

    def _named(self, way: str, space: str, listed: "List[Dict[str, Any]]") -> Peers:
        key = json.dumps([way, space, listed], sort_keys=True)
        if key not in self._peers:
            self._peers[key] = self._resolved(way, space, listed)
        return self._peers[key]

    def _resolved(self, way: str, space: str, listed: "List[Dict[str, Any]]") -> Peers:
        if not listed:
            return Peers(True, frozenset(), ())
        addresses: "set[str]" = set()
        blocks: "List[Range]" = []
        for peer in listed:
            if peer.get("ipBlock"):
                blocks += of_block(peer["ipBlock"])
            else:
                addresses.update(self._selected(way, space, peer))
        ranges = merged(blocks)
        return Peers(ranges == ALL, frozenset(addresses), tuple(ranges))

    def _selected(self, way: str, space: str, peer: "Dict[str, Any]") -> "Iterable[str]":
        within = peer.get("namespaceSelector")
        spaces = [space] if within is None else [name for name in self._spaces if matches(within, self._spaces[name])]
        for name in spaces:
            for pod in self._by_space.get(name, ()):
                if matches(peer.get("podSelector") or {}, pod.labels):
                    yield pod.address
                    if way == "egress" and self._node.cache and _is_dns(pod):
                        yield self._node.cache  # it asks them for the pod

    def _ports(self, way: str, policy: Policy, listed: "List[Dict[str, Any]]") -> "Iterable[str]":
        """Yield what the ports of a rule look like: one word for numbers of a protocol, one for each name."""
        if not listed:
            yield ""
            return
        numbers: "Dict[str, List[Range]]" = {}
        for port in listed:
            protocol = (port.get("protocol") or "TCP").lower()
            number = port.get("port")
            if number is None:
                numbers.setdefault(protocol, []).append((0, 65535))
            elif isinstance(number, int):
                numbers.setdefault(protocol, []).append((number, port.get("endPort") or number))
            else:
                found = self._with_port(way, policy, protocol, number)
                if not found:
                    continue
                kind = "ipv4_addr . inet_proto . inet_service"
                yield "ip daddr . meta l4proto . th dport @%s" % self._set("ports", kind, found)
        for protocol in sorted(numbers):
            ranges = merged(numbers[protocol])
            if ranges == [(0, 65535)]:
                yield "meta l4proto %s" % protocol
            else:
                words = ", ".join("%d" % low if low == high else "%d-%d" % (low, high) for low, high in ranges)
                yield "%s dport { %s }" % (protocol, words)

    def _with_port(self, way: str, policy: Policy, protocol: str, name: str) -> "List[str]":
        """Return the ports of that name, as elements of a set: what a name means is each receiving pod's own affair."""
        receiving = self._pods if way == "egress" else self._by_space.get(policy.space, [])
        return sorted(
            "%s . %s . %d" % (pod.address, protocol, number)
            for pod in receiving
            for own, of, number in pod.ports
            if own == name and of.lower() == protocol
        )

    def _set(self, what: str, kind: str, elements: "List[str]") -> str:
        name = "%s-%s" % (what, _digest(elements))
        self._sets[name] = "set %s { type %s; elements = { %s } }" % (name, kind, ", ".join(elements))
        return name


def _is_dns(pod: Pod) -> bool:
    return pod.space == _DNS_SPACE and all(pod.labels.get(key) == value for key, value in _DNS_LABELS.items())


def _elements(chains: "Dict[str, str]") -> str:
    words = ", ".join("%s : jump %s" % (address, chains[address]) for address in sorted(chains))
    return "elements = { %s };" % words if words else ""


def _digest(words: "Iterable[str]") -> str:
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:20]


def _grouped(items: "Iterable[Any]", key: "Callable[[Any], str]") -> "Dict[str, List[Any]]":
    result: "Dict[str, List[Any]]" = {}
    for item in items:
        result.setdefault(key(item), []).append(item)
    return result
