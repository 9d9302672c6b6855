"""Connects to hosts and asks each of them everything in one exec. Reads only: nothing on a host is changed from here."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from threading import Lock

from kprov.observe.observation import Observation, parse, printable
from kprov.observe.probe import PROBE_COMMAND, Question, probe_program
from kprov.transport.base import Session, Transport
from kprov.values.errors import KprovError, TransportError
from kprov.values.model import Host

# Parsing is work for the interpreter, of which there is one: side by side it takes as long, and more memory.
_PARSING = Lock()
PROBE_TIMEOUT = 150.0  # seconds; the probe itself waits up to 60 for an apply that lost its operator


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """Open sessions and what their hosts said; failures of the others."""

    sessions: Mapping[str, Session] = field(default_factory=dict)
    observations: Mapping[str, Observation] = field(default_factory=dict)
    failures: Mapping[str, KprovError] = field(default_factory=dict)

    def close(self) -> None:
        for session in self.sessions.values():
            session.close()


def observe(session: Session, question: Question) -> Observation:
    """One exec. Raises TransportError when the host cannot run the probe or the connection is lost."""
    started = time.time()
    result = session.execute(PROBE_COMMAND, stdin=probe_program(question.queries()), timeout=PROBE_TIMEOUT)
    middle = (started + time.time()) / 2
    if result.status != 0:
        raise TransportError(
            "the probe did not run",
            where=session.host.name,
            found=f"exit code {result.status}",
            needed="a POSIX shell, gzip, GNU coreutils, awk, util-linux and systemd",
            log=printable(result.stderr.decode(errors="replace"))[-2000:],
        )
    with _PARSING:
        return parse(result.stdout, host=session.host.name, asked=question.keys, operator_clock=middle)


def gather(transport: Transport, hosts: Sequence[Host], questions: Mapping[str, Question], *, forks: int) -> Fleet:
    """Connects and asks, all hosts side by side. A host that fails is in `failures`, and stops no other."""

    def one(host: Host) -> tuple[Session | None, Observation | KprovError]:
        session = None
        try:
            session = transport.connect(host)
            return session, observe(session, questions.get(host.name, Question()))
        except KprovError as error:
            if session is not None:
                session.close()
            return None, error

    with ThreadPoolExecutor(max_workers=max(1, min(forks, len(hosts)))) as pool:
        answers = dict(zip((host.name for host in hosts), pool.map(one, hosts), strict=True))
    return Fleet(
        sessions={name: session for name, (session, _) in answers.items() if session is not None},
        observations={name: seen for name, (_, seen) in answers.items() if isinstance(seen, Observation)},
        failures={name: error for name, (_, error) in answers.items() if isinstance(error, KprovError)},
    )


def ask_again(fleet: Fleet, questions: Mapping[str, Question], *, forks: int) -> Fleet:
    """Asks some hosts again over their open sessions, and puts the new answers in place of the old."""
    if not questions:
        return fleet

    def one(name: str) -> Observation | KprovError:
        try:
            return observe(fleet.sessions[name], questions[name])
        except KprovError as error:
            return error

    with ThreadPoolExecutor(max_workers=max(1, min(forks, len(questions)))) as pool:
        answers = dict(zip(questions, pool.map(one, questions), strict=True))
    failed = {name: error for name, error in answers.items() if isinstance(error, KprovError)}
    observations = {
        **fleet.observations,
        **{
            name: _completed(seen, questions[name], fleet.observations[name])
            for name, seen in answers.items()
            if isinstance(seen, Observation)
        },
    }
    return replace(
        fleet,
        observations={name: seen for name, seen in observations.items() if name not in failed},
        failures={**fleet.failures, **failed},
    )


def _completed(seen: Observation, question: Question, before: Observation) -> Observation:
    """What a host said now, with what it was not asked again."""
    facts = seen.facts if question.facts else before.facts
    beside = seen.surroundings if question.facts else before.surroundings
    versions, resolved = {**before.versions, **seen.versions}, {**before.resolved, **seen.resolved}
    kms = seen.kms if question.kms else before.kms
    return replace(seen, facts=facts, surroundings=beside, versions=versions, resolved=resolved, kms=kms)
