"""Why OpenSSH could not connect: turns what its client printed into the sentences a user is told. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Self

from kprov.transport import sentences
from kprov.transport.known_hosts import HostKey
from kprov.transport.sentences import Target
from kprov.values.errors import TransportError

_DROPPED = re.compile(
    r"kex_exchange_identification|ssh_exchange_identification|Connection (closed|reset) by (?!UNKNOWN)|Broken pipe"
    r"|banner line contains invalid"
)
_NOISE = re.compile(
    r"^(debug\d: |OpenSSH_\d|@@@|Warning: Permanently added|Connection closed by UNKNOWN|mux_client_|Control[Ss]ocket |"
    r"Control socket|stdio forwarding failed|\*\* (WARNING: connection is not using|This session|The server) )"
)
_UNREACHED = re.compile(r"channel \d+: open failed: (administratively prohibited|connect failed): ?(.*)")


class NotLetIn(TransportError):
    """The host refused every key that was offered."""

    @classmethod
    def of(cls, error: TransportError) -> Self:
        return cls(
            error.what, where=error.where, found=error.found, needed=error.needed, todo=error.todo, log=error.log
        )


class KeyLocked(NotLetIn):
    """The inventory's key needs a passphrase, and no agent holds it."""


def is_dropped(log: str) -> bool:
    """Whether the server hung up before it had judged us: what sshd does when many connect at once, or it is too busy."""
    judged = ("Permission denied", "Too many authentication", "timed out during banner exchange")
    return bool(_DROPPED.search(log)) and not any(word in log for word in judged)


def is_key_question(log: str) -> bool:
    """Whether the host's key was refused, so that it is worth asking which one it shows."""
    return "Host key verification failed" in log or "REVOKED HOST KEY" in log


def explain(
    log: str, target: Target, *, offered: HostKey | None, expected: tuple[HostKey, ...], pinned: bool, bastion: str = ""
) -> TransportError:
    """Return the error a user can act on.

    Args:
        log: all that the client printed before it ended.
        offered: the key that the host shows, where that was asked.
        expected: the key that is pinned; none when nothing is.
        bastion: what the client of the jump host printed last.
    """
    if bastion and (found := _UNREACHED.search(bastion)) is not None and not is_key_question(log):
        if found[1].startswith("administratively"):
            return sentences.jump_forwards_nothing(target)
        return sentences.jump_cannot_reach(target, found[2] or "connect failed")
    if is_key_question(log):
        return _key(log, target, offered, expected, pinned=pinned)
    for pattern, sentence in _SENTENCES:
        if (found := re.search(pattern, log)) is not None:
            return sentence(target, log, found)
    if is_dropped(log):
        return sentences.hung_up(target, last(log), log=said(log))
    return sentences.not_made(target, last(log) or "it failed with no output", log=said(log))


def last(log: str) -> str:
    """The last line that says something."""
    lines = said(log).splitlines()
    return lines[-1] if lines else ""


def said(log: str) -> str:
    """What the client printed without what it always prints."""
    text = re.sub(r"[^\n\x20-\x7e]", "?", log.replace("\r", ""))
    return "\n".join(line[:300] for line in text.splitlines() if line.strip() and not _NOISE.match(line))


def _key(
    log: str, target: Target, offered: HostKey | None, expected: tuple[HostKey, ...], *, pinned: bool
) -> TransportError:
    revoked = "REVOKED" in log or "revoked" in log
    certificate = re.search(r"(Certificate invalid: .*|No matching CA found.*|Host certificate .*)", log)
    shown = f"{offered.type} {offered.fingerprint}" if offered is not None else ""
    if "IDENTIFICATION HAS CHANGED" in log or revoked or pinned:
        fingerprint = re.search(r"SHA256:\S+", log)
        found = shown or (fingerprint[0].rstrip(".") if fingerprint else "another key")
        return sentences.key_changed(target, found, expected, pinned=pinned, revoked=revoked)
    error = sentences.key_unknown(target, offered)
    if certificate is not None:
        error.found = f"{certificate[0]}; {error.found}"
    return error


Sentence = Callable[[Target, str, "re.Match[str]"], TransportError]


def _not_let_in(target: Target, log: str, found: re.Match[str]) -> TransportError:
    return NotLetIn.of(sentences.not_let_in(target, found[1].replace(",", ", "), log=said(log)))


def _too_many(target: Target, log: str, found: re.Match[str]) -> TransportError:
    return NotLetIn(
        f"the host did not let user {target.user} in",
        where=str(target),
        found=f"too many keys were offered before the right one: tried {target.auth}",
        needed="the right key among the first that are offered (MaxAuthTries in sshd_config)",
        todo="set key in the inventory, or IdentityFile with IdentitiesOnly yes in ~/.ssh/config",
    )


# The first that fits counts. OpenSSH does not translate what it says.
_SENTENCES: tuple[tuple[str, Sentence], ...] = (
    (r"Too many authentication failures", _too_many),
    (r"Permission denied \(([^)]*)\)", _not_let_in),
    (r"Could not resolve hostname [^:]*: (.*)", lambda t, _, found: sentences.unresolved(t, found[1].strip())),
    (r"Unable to negotiate.*|no matching .* found.*", lambda t, _, found: sentences.incompatible(t, found[0].strip())),
    (r"connect to host .*: Connection refused", lambda t, *_: sentences.refused(t)),
    (r"connect to host .*: (Connection|Operation) timed out", lambda t, *_: sentences.no_answer(t)),
    (r"Connection timed out during banner exchange|Timeout, server", lambda t, *_: sentences.no_answer(t)),
    (
        r"connect to host .*: (No route to host|Network is unreachable|Host is down)",
        lambda t, _, found: sentences.unroutable(t, found[1]),
    ),
)
