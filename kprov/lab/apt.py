"""Where a guest's distribution packages come from: this host's own sources, told for the guest's release; pure text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

# What of the host's apt settings is about reaching sources; the rest is the host's own affair.
_KEPT = re.compile(r"Acquire::(?:https?|Retries|Proxy[^:]*|Check-Valid-Until|Check-Date|ForceIPv4|ForceIPv6)\b.*")
_URI = re.compile(r"https?://\S+")


def kept_settings(dump: str) -> str:
    """Of `apt-config dump`, the lines a guest needs to reach the same sources, without credentials in them."""
    lines = [line for line in dump.splitlines() if _KEPT.fullmatch(line) and '""' not in line and "@" not in line]
    return "".join(f"{line}\n" for line in ['Acquire::Languages "none";', *lines])


def translated(sources: Mapping[str, str], host_suite: str, suite: str) -> dict[str, str]:
    """The host's Debian source files (name → text) with the release's name replaced."""
    return {name: re.sub(rf"\b{re.escape(host_suite)}\b", suite, text) for name, text in sources.items()}


def mirror(sources: Mapping[str, str], suite: str) -> str | None:
    """The first address, in these files, of the release's main archive, to give to debootstrap. None: its default."""
    for text in sources.values():
        for paragraph in re.split(r"\n\s*\n", text):
            if found := _deb822(paragraph, suite) or _one_line(paragraph, suite):
                return found
    return None


def _deb822(paragraph: str, suite: str) -> str | None:
    lines = (line for line in paragraph.splitlines() if not line.startswith("#"))
    fields = {key.strip().lower(): value.split() for key, _, value in (line.partition(":") for line in lines)}
    desired = {"types": "deb", "suites": suite, "components": "main"}
    if all(word in fields.get(key, ()) for key, word in desired.items()):
        return _first_uri(fields.get("uris", ()))
    return None


def _one_line(paragraph: str, suite: str) -> str | None:
    for line in paragraph.splitlines():
        words = re.sub(r"\[[^]]*\]", "", line).split("#", 1)[0].split()
        if len(words) >= 4 and words[0] == "deb" and words[2] == suite and "main" in words[3:]:
            return _first_uri(words[1:2])
    return None


def _first_uri(words: Sequence[str]) -> str | None:
    return next((word.rstrip("/") for word in words if _URI.fullmatch(word)), None)


def nameservers(texts: Sequence[str]) -> str:
    """The first resolv.conf text whose servers a machine on another address can reach, without its loopback servers."""
    for text in texts:
        lines = [line for line in text.splitlines() if line.split()[:1] in (["nameserver"], ["search"], ["options"])]
        reachable = [line for line in lines if not re.match(r"nameserver\s+(127\.|::1)", line)]
        if any(line.startswith("nameserver") for line in reachable):
            return "".join(f"{line}\n" for line in reachable)
    return ""
