"""NetworkPolicies as rules of nftables for the pods of one node. It reads no clock, asks nobody, and writes nothing.

The kernel holds the result and decides each packet by itself, so that pods keep their rules whatever becomes of this program.
What a change costs is as large as the change: of a pod that comes, each set is asked once whether it holds it.
It runs on hosts, by the Python of their distribution: 3.6 and later.
"""

import hashlib
import json
from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Tuple

from labels import Key, Labels, Pod, Policy, matches, takes
from ranges import ALL, Range, as_text, merged, of_block
from table import NOTHING, Held, Node, Table

_DNS_SPACE, _DNS_LABELS = "kube-system", {"k8s-app": "kube-dns"}
_PODS, _PORTS = "ipv4_addr", "ipv4_addr . inet_proto . inet_service"

Asked = Callable[[Pod], Tuple[str, ...]]  # a pod → the elements that a set holds for it


class Members:
    """What a set holds for each pod that it holds something for."""

    def __init__(self, kind: str, ask: Asked) -> None:
        self.kind, self._ask = kind, ask
        self._of: "Dict[Key, Tuple[str, ...]]" = {}
        self._held = Held(kind, frozenset())

    def put(self, key: Key, pod: "Pod | None") -> None:
        """Ask again for one pod; None: it is gone."""
        now = self._ask(pod) if pod is not None else ()
        if now == self._of.get(key, ()):
            return
        if now:
            self._of[key] = now
        else:
            del self._of[key]
        # Of two pods that are told to have one address, the other still has it.
        self._held = Held(self.kind, frozenset(element for each in self._of.values() for element in each))

    def fill(self, pods: "Dict[Key, Pod]") -> "Members":
        """Ask for all pods."""
        answers = ((key, self._ask(pod)) for key, pod in pods.items())
        self._of = {key: elements for key, elements in answers if elements}
        self._held = Held(self.kind, frozenset(element for each in self._of.values() for element in each))
        return self

    def held(self) -> Held:
        return self._held


class Compiled(NamedTuple):
    """A policy's rules of one way: what each looks like, and the sets that it names: name → kind and who is in it."""

    rules: "Tuple[str, ...]"
    asked: "Dict[str, Tuple[str, Asked]]"
    blocks: "Dict[str, Held]"


class Rules:
    """What is known of the cluster, and the table that follows from it."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._pods: "Dict[Key, Pod]" = {}
        self._spaces: "Dict[str, Labels]" = {}
        self._policies: "Dict[Key, Policy]" = {}
        self._members: "Dict[str, Members]" = {}
        self._compiled: "Dict[Tuple[Key, str], Compiled]" = {}
        self._taken: "Dict[Key, Tuple[Tuple[Key, ...], Tuple[Key, ...]]]" = {}  # own pods → policies: egress, ingress

    def know(self, pods: "Iterable[Pod]", spaces: "Dict[str, Labels]", policies: "Iterable[Policy]") -> Table:
        """Return the table of what there is now. Without a policy there is none at all.

        pods: of the whole cluster. spaces: labels of every namespace. Their order is of no meaning.
        """
        now = {(pod.space, pod.name): pod for pod in pods}
        said = {(policy.space, policy.name): policy for policy in policies}
        changed = _differing(self._pods, now)
        relabelled = set(_differing(self._spaces, spaces))
        spoken = _differing(self._policies, said)
        self._pods, self._spaces, self._policies = now, dict(spaces), said
        if not said:
            self._members, self._compiled, self._taken = {}, {}, {}
            return NOTHING
        for key in spoken:
            for way in ("egress", "ingress"):
                self._compiled.pop((key, way), None)
        again = list(changed)
        if relabelled:
            again += [key for key, pod in now.items() if pod.space in relabelled]
        for members in self._members.values():
            for key in again:
                members.put(key, now.get(key))
        self._choose(changed, {space for space, _ in spoken})
        return self._table()

    def _choose(self, changed: "Iterable[Key]", spaces: "set[str]") -> None:
        """Find for the node's pods which policies take them: for those that changed, and where policies did."""
        again = set(changed) | {key for key in self._pods if key[0] in spaces}
        if not self._taken:
            again |= set(self._pods)
        of_space = _grouped(self._policies)
        for key in again:
            pod = self._pods.get(key)
            if pod is None or pod.node != self._node.name:
                self._taken.pop(key, None)
                continue
            taken = [each for each in of_space.get(pod.space, ()) if matches(each.selector, pod.labels)]
            out = tuple((each.space, each.name) for each in taken if each.egress is not None)
            into = tuple((each.space, each.name) for each in taken if each.ingress is not None)
            self._taken[key] = (out, into)

    def _table(self) -> Table:
        chains: "Dict[str, Tuple[str, ...]]" = {}
        held: "Dict[str, Held]" = {}
        asked: "Dict[str, Tuple[str, Asked]]" = {}
        names: "Dict[Tuple[str, Tuple[Key, ...]], str]" = {}
        leaving: "Dict[str, str]" = {}
        coming: "Dict[str, str]" = {}
        for key, ways in sorted(self._taken.items()):
            address = self._pods[key].address
            for way, verdicts, policies in (("egress", leaving, ways[0]), ("ingress", coming, ways[1])):
                if not policies:
                    continue
                if (way, policies) not in names:
                    names[way, policies] = name = "%s-%s" % (way, _digest("/".join(each) for each in policies))
                    compiled = [self._compile(each, way) for each in policies]
                    for each in compiled:
                        asked.update(each.asked)
                        held.update(each.blocks)
                    chains[name] = _chain(way, compiled)
                verdicts[address] = names[way, policies]
        for name in set(self._members) - set(asked):
            del self._members[name]
        for name, (kind, ask) in asked.items():
            if name not in self._members:
                self._members[name] = Members(kind, ask).fill(self._pods)
            held[name] = self._members[name].held()
        known = {self._pods[key].address for key in self._taken} | {self._node.gateway}
        # Nobody is kept from itself, also by way of a Service.
        pairs = frozenset("%s . %s" % (each, each) for each in set(leaving) | set(coming))
        held["known"] = Held("ipv4_addr", frozenset(known))
        held["itself"] = Held("ipv4_addr . ipv4_addr", pairs)
        for name, verdicts in (("leaving", leaving), ("coming", coming)):
            elements = frozenset("%s : jump %s" % each for each in verdicts.items())
            held[name] = Held("ipv4_addr : verdict", elements, "map")
        return Table(held, chains)

    def _compile(self, key: Key, way: str) -> Compiled:
        """Return one policy's rules; they do not change before the policy does, whoever comes and goes."""
        if (key, way) not in self._compiled:
            policy = self._policies[key]
            written = _Written(self._node, way, policy.space, self._spaces_now)
            for rule in (policy.egress if way == "egress" else policy.ingress) or ():
                written.rule(rule)
            self._compiled[key, way] = Compiled(tuple(dict.fromkeys(written.rules)), written.asked, written.blocks)
        return self._compiled[key, way]

    def _spaces_now(self) -> "Dict[str, Labels]":
        return self._spaces


class _Written:
    """Rules of one way of one policy while they are collected."""

    def __init__(self, node: Node, way: str, space: str, spaces: "Callable[[], Dict[str, Labels]]") -> None:
        self._node, self._way, self._space, self._spaces = node, way, space, spaces
        self.rules: "List[str]" = []
        self.asked: "Dict[str, Tuple[str, Asked]]" = {}
        self.blocks: "Dict[str, Held]" = {}

    def rule(self, rule: "Dict[str, Any]") -> None:
        """Collect what packets that one rule allows look like; nothing of a rule that names nobody who could be there."""
        ports = list(self._ports(rule.get("ports") or []))
        for who in self._peers(rule.get("to" if self._way == "egress" else "from") or []):
            self.rules += [" ".join(word for word in (who, port) if word) for port in ports]

    def _peers(self, listed: "List[Dict[str, Any]]") -> "Iterable[str]":
        ranges = merged(part for peer in listed if peer.get("ipBlock") for part in of_block(peer["ipBlock"]))
        if not listed or ranges == ALL:
            yield ""
            return
        side = "daddr" if self._way == "egress" else "saddr"
        selecting = [peer for peer in listed if not peer.get("ipBlock")]
        if selecting:
            yield "ip %s @%s" % (side, self._pods(selecting))
        if ranges:
            elements = frozenset(as_text(each) for each in ranges)
            name = "blocks-%s" % _digest(sorted(elements))
            self.blocks[name] = Held("ipv4_addr; flags interval", elements)
            yield "ip %s @%s" % (side, name)

    def _pods(self, listed: "List[Dict[str, Any]]") -> str:
        own, spaces, cache = self._space, self._spaces, self._node.cache if self._way == "egress" else ""

        def ask(pod: Pod) -> "Tuple[str, ...]":
            labels = spaces().get(pod.space)
            if labels is None or not any(takes(peer, own, pod.space, labels, pod.labels) for peer in listed):
                return ()
            return (pod.address, cache) if cache and _is_dns(pod) else (pod.address,)  # it asks them for the pod

        name = "pods-%s" % _digest([self._way if cache else "", own, json.dumps(listed, sort_keys=True)])
        self.asked[name] = (_PODS, ask)
        return name

    def _ports(self, listed: "List[Dict[str, Any]]") -> "Iterable[str]":
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
                yield "ip daddr . meta l4proto . th dport @%s" % self._named(protocol, number)
        for protocol in sorted(numbers):
            ranges = merged(numbers[protocol])
            if ranges == [(0, 65535)]:
                yield "meta l4proto %s" % protocol
            else:
                words = ", ".join("%d" % low if low == high else "%d-%d" % (low, high) for low, high in ranges)
                yield "%s dport { %s }" % (protocol, words)

    def _named(self, protocol: str, name: str) -> str:
        """Return the set of ports of that name: what a name means is each receiving pod's own affair."""
        own = "" if self._way == "egress" else self._space

        def ask(pod: Pod) -> "Tuple[str, ...]":
            if own and pod.space != own:
                return ()
            return tuple(
                "%s . %s . %d" % (pod.address, protocol, number)
                for its, of, number in pod.ports
                if its == name and of.lower() == protocol
            )

        named = "ports-%s" % _digest([own, protocol, name])
        self.asked[named] = (_PORTS, ask)
        return named


def closed(node: Node) -> Table:
    """Return the table in which no pod of the node is known: for the time after a boot in which nothing was learned yet."""
    return Rules(node).know([], {}, [Policy("", "", {}, None, None)])


def _chain(way: str, compiled: "List[Compiled]") -> "Tuple[str, ...]":
    """Return the chain for pods that these policies, and no others, take: what none of them allows ends."""
    allowed = dict.fromkeys(("%s return" % rule).strip() for each in compiled for rule in each.rules)
    return ("ip saddr . ip daddr @itself return", *allowed, "counter name %s drop" % way)


def _differing(before: "Dict[Any, Any]", now: "Dict[Any, Any]") -> "List[Any]":
    """Return what is new, gone or another."""
    nobody = object()
    found = [key for key, value in now.items() if before.get(key, nobody) is not value and before.get(key) != value]
    return found + [key for key in before if key not in now]


def _is_dns(pod: Pod) -> bool:
    return pod.space == _DNS_SPACE and all(pod.labels.get(key) == value for key, value in _DNS_LABELS.items())


def _digest(words: "Iterable[str]") -> str:
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:20]


def _grouped(policies: "Dict[Key, Policy]") -> "Dict[str, List[Policy]]":
    result: "Dict[str, List[Policy]]" = {}
    for _, policy in sorted(policies.items()):
        result.setdefault(policy.space, []).append(policy)
    return result
