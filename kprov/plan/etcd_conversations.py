"""Changing etcd's members: what is asked of them, and what their answers mean. Generators; nothing is sent.

Source: etcd operations guide, runtime reconfiguration: learners first, one change at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kprov.observe.observation import EtcdMember
from kprov.plan import etcd_answers as said
from kprov.plan.conversation import Answer, Request, Talk
from kprov.values.errors import ApplyError

_CHANGE_SECONDS = 30
_PROMOTION_SECONDS = 120
_OWN = "https://127.0.0.1:2379"  # of the host that is asked


@dataclass(frozen=True, kw_only=True)
class Joined:
    """A newcomer as the cluster knows it. initial: etcd's --initial-cluster for it. member: its id, hexadecimal."""

    member: str
    learner: bool
    initial: str


def joined(name: str, peer_url: str, live: Sequence[str]) -> Talk[Joined]:
    """Have the members take a newcomer in as a learner, unless they know it already. live: their client URLs."""
    known = yield from _listed(live)
    if _at(peer_url, known) is None:
        add = _etcdctl(
            f"etcd member {name}", live, "member", "add", name, "--learner", f"--peer-urls={peer_url}",
            again=said.PASSING, seconds=_CHANGE_SECONDS,
        )  # fmt: skip
        (answer,) = yield (add,)
        listed = said.members(answer)
        if listed is None and not answer.ok and said.error(answer) != said.URL_EXISTS:
            raise _refused(f"etcd took no new member {name}", answer, "every member to be connected to a majority")
        # It is known after all when an earlier answer was lost on its way.
        known = listed or (yield from _listed(live))
    own = _at(peer_url, known)
    if own is None:
        raise ApplyError(
            f"etcd member {name} was added, and the members do not list it",
            found=", ".join(sorted(url for member in known for url in member.peer_urls)),
            needed=peer_url,
            todo="look at the members (etcdctl member list), then run the same command again",
        )
    names = {member.id: name if member is own else member.name for member in known}
    pairs = [f"{names[member.id]}={member.peer_urls[0]}" for member in known if names[member.id] and member.peer_urls]
    return Joined(member=own.id, learner=own.learner, initial=",".join(pairs))


def promoted(name: str, newcomer: Joined, live: Sequence[str]) -> Talk[None]:
    """Make a learner that was just started a voter, as soon as it has what the leader has."""
    if not newcomer.learner:
        yield ()
        return
    again = (said.NOT_IN_SYNC, *said.PASSING)
    promote = _etcdctl(
        f"etcd member {name} votes", live, "member", "promote", newcomer.member, again=again, seconds=_PROMOTION_SECONDS
    )
    (answer,) = yield (promote,)
    # A voter already: an earlier run was cut off after this step.
    if not answer.ok and said.error(answer) != said.NOT_A_LEARNER:
        raise _refused(
            f"etcd member {name} did not become a voter",
            answer,
            f"it in sync with the leader within {_PROMOTION_SECONDS} s",
        )


def removed(name: str, member: str, live: Sequence[str]) -> Talk[None]:
    """Take a member out, unless it is gone already. member: its id, hexadecimal. live: client URLs of those that stay."""
    remove = _etcdctl(
        f"etcd member {name}", live, "member", "remove", member, again=said.PASSING, seconds=_CHANGE_SECONDS
    )
    (answer,) = yield (remove,)
    if not answer.ok and said.error(answer) != said.NOT_FOUND:
        raise _refused(f"etcd kept its member {name}", answer, "a majority of the members that stay to be connected")


def needed_of(others: int) -> int:
    """Return how many of a member's others must serve while it restarts: a majority of all, or all of them."""
    return min((others + 1) // 2 + 1, others)


def quorum_kept(others: Sequence[str], needed: int) -> Talk[None]:
    """Make sure that a member can restart. others: client URLs of all but that one."""
    (answer,) = yield (_etcdctl("quorum of etcd", others, "endpoint", "health"),)
    states = said.health(answer)
    if states is None:
        raise _refused("the other etcd members could not be asked for their health", answer, "an answer of each")
    serving = [endpoint for endpoint, wrong in states.items() if not wrong]
    if len(serving) < needed:
        wrong = [f"{endpoint}: {why}" for endpoint, why in sorted(states.items()) if why]
        raise ApplyError(
            "etcd would lose its quorum while this member restarts",
            found=f"{len(serving)} of the other members {'is' if len(serving) == 1 else 'are'} healthy; {'; '.join(wrong)}",
            needed=f"{needed} of them",
            todo="bring the others back first, then run the same command again",
        )


def disarmed() -> Talk[None]:
    """Clear the alarm of a full store, once all members have been restarted with a larger quota; asked of one of them."""
    (answer,) = yield (_etcdctl("alarm NOSPACE of etcd", [_OWN], "alarm", "disarm"),)
    if not answer.ok:
        raise _refused("etcd kept its alarm NOSPACE", answer, "a member that answers")


def _listed(live: Sequence[str]) -> Talk[tuple[EtcdMember, ...]]:
    (answer,) = yield (_etcdctl("members of etcd", live, "member", "list"),)
    found = said.members(answer)
    if found is None:
        raise _refused("the etcd members could not be listed", answer, "a live member that answers")
    return found


def _at(peer_url: str, members: Sequence[EtcdMember]) -> EtcdMember | None:
    return next((member for member in members if peer_url in member.peer_urls), None)


def _etcdctl(
    about: str, endpoints: Sequence[str], *arguments: str, again: tuple[str, ...] = (), seconds: int = 0
) -> Request:
    asked = (f"--endpoints={','.join(endpoints)}", *arguments)
    changes = arguments[:2] in (("member", "add"), ("member", "promote"), ("member", "remove"), ("alarm", "disarm"))
    return Request(program="etcdctl", about=about, arguments=asked, again=again, seconds=seconds, changes=changes)


def _refused(what: str, answer: Answer, needed: str) -> ApplyError:
    return ApplyError(
        what,
        found=said.error(answer),
        needed=needed,
        todo="fix what etcd names, then run the same command again: it goes on from here",
        log=answer.words,
    )
