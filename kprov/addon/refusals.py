"""What the API server said when it refused an add-on's object → what is wrong and what to do. Pure text."""

from __future__ import annotations

import re
from collections.abc import Iterator

_CONFLICT = re.compile(r"conflict with \"([^\"]+)\"[^:]*: ?(?:\n- )?(\.\S+)")
_IMMUTABLE = re.compile(r"field is immutable|updates to \S+ spec for fields other than", re.IGNORECASE)
# apply.sh's words about pods that are not ready: where they are, and below that what their containers wait for.
_POD = re.compile(r"^pod \S+(?: on (\S+))?$")
_PULL = re.compile(
    r"^  (\S+): (ErrImagePull|ImagePullBackOff|InvalidImageName|ErrImageNeverPull|ImageInspectError): ?(.*)$"
)
_AGAIN = re.compile(r"^Back-off pulling image \"[^\"]*\": (?:ErrImagePull: )?")
_WEBHOOK = re.compile(r"failed calling webhook \"([^\"]+)\": ([^\n]*)")
_SUBJECT = re.compile(r"(?:The |for: )?(\w+) \"([^\"]+)\" is invalid: ([^\n]*)")


def explained(addon: str, log: str) -> tuple[str, str]:
    """What was found, and what to do, from kubectl's words. addon: its name."""
    if pulls := tuple(_pulls(log)):
        return (
            "; ".join(f"{node} cannot pull {image}: {said}" for node, image, said in pulls),
            f"let that node reach that registry, or have the image where it can; `kprov addons info {addon}` "
            "names the images",
        )
    conflict = _CONFLICT.search(log)
    if conflict:
        manager, field = conflict.groups()
        return (
            f"the field {field} belongs to another manager, {manager}; it was left as it is",
            f"let {manager} have it and take the field out of the add-on, or give it up there, then run again",
        )
    if webhook := _WEBHOOK.search(log):
        return (
            f"the webhook {webhook[1]} was asked first and does not answer: {webhook[2]}",
            "mend what it belongs to, or switch that off: an add-on's webhooks go before anything else is done",
        )
    invalid = _SUBJECT.search(log)
    if _IMMUTABLE.search(log):
        what = f"{invalid[1]} {invalid[2]}: {invalid[3]}" if invalid else _first(log)
        return what, f"`kprov up --recreate {addon}` deletes what differs of its workloads and makes it anew"
    if invalid:
        return f"{invalid[1]} {invalid[2]}: {invalid[3]}", "mend that field in the add-on's manifest, then run again"
    return _first(log), f"mend what the log names, then run again; `kprov addons info {addon}` tells what it takes"


def _first(log: str) -> str:
    lines = [line for line in log.strip().splitlines() if line.strip()]
    return lines[0] if lines else "it failed without a word"


def _pulls(log: str) -> Iterator[tuple[str, str, str]]:
    """Node, reference and the runtime's own words of each image that cannot be pulled, each pair once."""
    node, told = "", set()
    for line in log.splitlines():
        if pod := _POD.match(line):
            node = pod[1] or "a node"
        elif (pull := _PULL.match(line)) and (node, pull[1]) not in told:
            told.add((node, pull[1]))
            yield node, pull[1], _AGAIN.sub("", pull[3]) or pull[2]
