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

NOT_FOUND = r"^Error from server \(NotFound\)"

# And when objects are applied: a kind that was made a moment ago is not known yet, and webhooks and servers of other APIs
# start with them, whose words come through as they are: of Go's net and net/http, k8s.io/apiserver's webhook errors, and
# kubectl's resource builder (k8s.io/apimachinery, pkg/api/meta/errors.go, NoKindMatchError). kprov's own come while rights
# have not been read yet that let them, those of add-ons may come before their namespace.
_APPLYING = (
    *("[Rr]efused", "[Tt]imed? ?out", "[Uu]navailable", "try again", "not yet ready", "TLS handshake"),
    *("no matches for kind", "failed calling webhook"),
)
APPLYING = (*PASSING, *_APPLYING, "[Ff]orbidden")
ADDING = (*PASSING, *_APPLYING, "[Nn]ot ?[Ff]ound")

# What a runtime says of a network that is not there, quoted by kubelet in the message of the condition Ready. Source:
# k8s.io/kubernetes v1.35 to v1.37, pkg/kubelet/container/runtime.go (RuntimeCondition.String): TYPE=STATUS, of the type
# that k8s.io/cri-api names (pkg/apis/runtime/v1/constants.go, NetworkReady).
WITHOUT_NETWORK = "NetworkReady=false"

_STATUS = re.compile(r"^Error from server(?: \((\w+)\))?: (.*)$", re.MULTILINE)
# Of an API that another server answers for, which is not there: about nothing that was asked.
_MUTTERED = re.compile(r"^E\d+ .*memcache\.go.*\n?", re.MULTILINE)


def words(answer: Answer) -> str:
    """Return all that kubectl said, without what it mutters."""
    return answer.text + _MUTTERED.sub("", answer.words)


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
