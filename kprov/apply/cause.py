"""Which line of what a host printed names the cause, and that text without its repetitions. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import groupby

# What systemd says about a unit that ended: true, and never the cause.
_SYSTEMD = re.compile(
    r"\S+\.(service|socket): |Scheduled restart job|(Started|Starting|Stopped|Stopping) |Failed to start |"
    r"(activating|active|inactive|failed|deactivating) (auto-restart|running|dead|failed)"
)
# How programs begin a line that says why: apt's and dpkg's, klog's errors and fatal ones, Go's panics, and the plain word.
_ERROR = re.compile(
    r"E: |dpkg: error|[EF]\d{4} \d\d:|panic: |(error|fatal|failed)\b[: ]|\S+: (error|fatal): ", re.IGNORECASE
)
# What an API server fails on its way to being ready, which it tells everybody without the reason.
_CHECK = re.compile(r"\[-\](\S+) failed")
_KMS = (
    "start the KMS plugin on that host, and let the user kube-apiserver at its socket (`kprov status` tells which one, and "
    "why it does not serve); then run the same command again"
)
_MOMENT = re.compile(r"\d\d:\d\d:\d\d(\.\d+)?|\d{4}-\d\d-\d\d[T ]?|\b\d{5,}\b")


def find_cause(lines: Sequence[str]) -> str:
    """Return the last line that reads like an error of the program itself, else the first one, else an empty text."""
    own = [line.strip() for line in lines if line.strip() and not _SYSTEMD.match(line.strip())]
    errors = [line for line in own if _ERROR.match(line)]
    return (errors or own[:1] or [""])[-1]


def find_unready(text: str) -> tuple[str, str]:
    """Return which of its own checks an API server fails, and what to do; both empty where it tells of none."""
    checks = tuple(dict.fromkeys(_CHECK.findall(text)))
    if not checks:
        return "", ""
    found = f"it is not ready: {', '.join(checks)} {'fails' if len(checks) == 1 else 'fail'}"
    return found, _KMS if "kms-providers" in checks else ""


def collapse(lines: Iterable[str]) -> list[str]:
    """Return the lines with neighbours that differ in their time or process alone as one, and how often it came."""
    shown = []
    for _, same in groupby(lines, key=lambda line: _MOMENT.sub("", line)):
        copies = list(same)
        shown.append(copies[-1] if len(copies) == 1 else f"{copies[-1]} ({len(copies)} times)")
    return shown
