"""The table in the kernel as a value, and what nft has to be told to make it, or to make one of it out of another. Pure.

It runs on hosts, by the Python of their distribution: 3.6 and later.
"""

import ipaddress
from typing import Dict, FrozenSet, Iterable, List, NamedTuple, Tuple

TABLE = "kprov-policies"
COUNTERS = ("ingress", "egress", "unknown")
_PIECE = 1000  # elements of one line that is told to nft


class Node(NamedTuple):
    """Where the rules stand.

    own: the network of its pods. bridge: where they are. cache: where they find the node's DNS cache, if there is one.
    six: the kernel has IPv6, by which pods of one bridge reach each other without having been given it.
    """

    name: str
    own: str
    cache: str = ""
    bridge: str = "cni0"
    six: bool = False

    @property
    def gateway(self) -> str:
        """The node's own address in the network of its pods."""
        return str(ipaddress.ip_network(self.own)[1])


class Held(NamedTuple):
    """A set of the table, or a map. kind: its type, in nft's words."""

    kind: str
    elements: "FrozenSet[str]"
    what: str = "set"


class Table(NamedTuple):
    """What differs from node to node and from time to time. chains: name → rules."""

    held: "Dict[str, Held]"
    chains: "Dict[str, Tuple[str, ...]]"


NOTHING = Table({}, {})


def gone(node: Node) -> str:
    """Return what takes the table away, whether it is there or not."""
    families = ("ip", "ip6") if node.six else ("ip",)
    return "".join("table %s %s\ndelete table %s %s\n" % (each, TABLE, each, TABLE) for each in families)


def whole(node: Node, table: Table) -> str:
    """Return the whole table, in place of what is there; of nothing what takes it away."""
    if not table.held:
        return gone(node)
    lines = ["table ip %s {" % TABLE]
    lines += ["    counter %s { }" % name for name in COUNTERS]
    lines += [_held(name, held) for name, held in sorted(table.held.items()) if held.what == "set"]
    lines += ["    chain %s { %s; }" % (name, "; ".join(rules)) for name, rules in sorted(table.chains.items())]
    lines += [_held(name, held) for name, held in sorted(table.held.items()) if held.what == "map"]
    own = "ip saddr %s ip saddr != @known counter name unknown drop" % node.own
    # A pod sends with its own address, or with none that its node would take for a pod's.
    foreign = "iifname %s ip saddr != @known counter name unknown drop" % node.bridge
    # Answers pass, and what is said of a connection that passes. Each packet of who opened it is judged, so that a
    # policy holds for connections that stood before it.
    lines += [
        "    chain forward {",
        "        type filter hook forward priority filter - 1; policy accept;",
        "        ct direction reply accept",
        "        ct state related accept",
        "        %s" % own,
        "        %s" % foreign,
        "        ip daddr %s ip daddr != @known counter name unknown drop" % node.own,
        "        ip saddr vmap @leaving",
        "        ip daddr vmap @coming",
        "    }",
        "    chain input {",
        "        type filter hook input priority filter - 1; policy accept;",
        "        ct direction reply accept",
        "        ct state related accept",
        "        %s" % own,
        "        %s" % foreign,
        "        ip saddr vmap @leaving",
        "    }",
        "}",
    ]
    return gone(node) + "\n".join(lines) + "\n" + (_six(node) if node.six else "")


def _held(name: str, held: Held) -> str:
    words = " elements = { %s };" % ", ".join(sorted(held.elements)) if held.elements else ""
    return "    %s %s { type %s;%s }" % (held.what, name, held.kind, words)


def _six(node: Node) -> str:
    """Pods have no address of IPv6 but the one that each link has of itself, which no policy could name."""
    return """table ip6 %s {
    chain forward { type filter hook forward priority filter - 1; policy accept; iifname %s drop; oifname %s drop; }
    chain input { type filter hook input priority filter - 1; policy accept; iifname %s drop; }
}
""" % (TABLE, node.bridge, node.bridge, node.bridge)


def difference(before: Table, after: Table) -> str:
    """Return what makes one table of the other, as one transaction; as long as what differs, and empty where nothing does."""
    lines: "List[str]" = []
    for name in sorted(set(after.held) - set(before.held)):
        held = after.held[name]
        lines.append("add %s ip %s %s { type %s; }" % (held.what, TABLE, name, held.kind))
    for name in sorted(set(after.chains) - set(before.chains)):
        lines.append("add chain ip %s %s" % (TABLE, name))
    for name, rules in sorted(after.chains.items()):
        if before.chains.get(name) != rules:
            lines += ["flush chain ip %s %s" % (TABLE, name)] if name in before.chains else []
            lines += ["add rule ip %s %s %s" % (TABLE, name, rule) for rule in rules]
    lines += _elements(before, after)
    old = sorted(set(before.chains) - set(after.chains))
    lines += ["flush chain ip %s %s" % (TABLE, name) for name in old]
    lines += ["delete chain ip %s %s" % (TABLE, name) for name in old]
    for name in sorted(set(before.held) - set(after.held)):
        lines.append("delete %s ip %s %s" % (before.held[name].what, TABLE, name))
    return "".join(line + "\n" for line in lines)


def _elements(before: Table, after: Table) -> "Iterable[str]":
    for name, held in sorted(after.held.items()):
        was = before.held[name].elements if name in before.held else frozenset()
        if was is held.elements:
            continue
        for word, some in (("delete", was - held.elements), ("add", held.elements - was)):
            listed = sorted(some)
            for at in range(0, len(listed), _PIECE):
                piece = ", ".join(listed[at : at + _PIECE])
                yield "%s element ip %s %s { %s }" % (word, TABLE, name, piece)
