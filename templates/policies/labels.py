"""What pods, namespaces and policies are here, and whom a selector takes. Pure.

It runs on hosts, by the Python of their distribution: 3.6 and later.
"""

from typing import Any, Dict, List, NamedTuple, Optional, Tuple

Labels = Dict[str, str]
Key = Tuple[str, str]  # namespace and name


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


def takes(peer: "Dict[str, Any]", own: str, space: str, of_space: "Labels", labels: "Labels") -> bool:
    """Say whether a peer of a policy in namespace `own` that names pods takes one of namespace `space`."""
    within = peer.get("namespaceSelector")
    if within is None:
        if space != own:
            return False
    elif not matches(within, of_space):
        return False
    return matches(peer.get("podSelector") or {}, labels)
