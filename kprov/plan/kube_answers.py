"""What kubectl and the API server say: objects as JSON, and the reason of a Status. Pure.

kubectl prints a Status as `Error from server (REASON): MESSAGE`, and has no other form for it. Source: k8s.io/kubectl
v0.35.0 to v0.37.2, pkg/cmd/util/helpers.go (StandardErrorMessage, CheckErr); reasons: k8s.io/apimachinery,
pkg/apis/meta/v1/types.go (StatusReason). What it says when no server answers is net/http's and its own, in the same file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from kprov.plan.conversation import Answer

Object = Mapping[str, Any]

# What passes: a server that starts, is busy, or waits for a webhook's pods.
PASSING = (
    r"^Error from server \((ServiceUnavailable|Timeout|ServerTimeout|TooManyRequests)\)",
    r"^Error from server \(InternalError\).*failed calling webhook",
    r"^The connection to the server .* was refused",
    r"^Unable to connect to the server",
    r"^error: .*(connection refused|i/o timeout|TLS handshake timeout|unexpected EOF)",
)

# And when objects are applied: a kind that was made a moment ago is not known yet, and webhooks and servers of other APIs
# start with them, whose words come through as they are. kprov's own come while rights have not been read yet that let
# them, those of add-ons may come before their namespace.
_APPLYING = (
    *("refused", "timed? ?out", "unavailable", "try again", "not yet ready", "TLS handshake"),
    *("no matches for kind", "failed calling webhook"),
)
APPLYING = (*PASSING, *_APPLYING, "forbidden")
ADDING = (*PASSING, *_APPLYING, "not found")

_STATUS = re.compile(r"^Error from server(?: \((\w+)\))?: (.*)$", re.MULTILINE)
# Of an API that another server answers for, which is not there: about nothing that was asked.
_MUTTERED = re.compile(r"^E\d+ .*memcache\.go.*\n?", re.MULTILINE)


def error(answer: Answer) -> str:
    """Return what went wrong: the message of a Status, or kubectl's last line."""
    words = _MUTTERED.sub("", answer.words)
    found = _STATUS.search(words)
    lines = words.strip().splitlines()
    return found[2] if found else lines[-1] if lines else f"kubectl ended with exit code {answer.code}"


def objects(answer: Answer) -> Sequence[Object] | None:
    """Return the objects of a `get -o json`, one or a list of them; None when the answer is not of that form."""
    found = answer.json() if answer.ok else None
    if not isinstance(found, dict):
        return None
    items = found.get("items") if str(found.get("kind", "")).endswith("List") else [found]
    if not isinstance(items, list):
        return None
    return items if all(isinstance(item, dict) and "name" in item.get("metadata", {}) for item in items) else None


def condition(item: Object, kind: str) -> Object:
    """Return a condition of an object's status, empty where it has none of that type."""
    conditions = item.get("status", {}).get("conditions") or ()
    return next((one for one in conditions if one.get("type") == kind), {})
