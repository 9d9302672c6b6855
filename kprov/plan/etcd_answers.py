"""What etcd and etcdctl say: JSON, and the words of etcd's errors, which have no codes of their own. Pure.

Source of the words: go.etcd.io/etcd/api/v3, v3rpc/rpctypes/error.go, the same in 3.5.10, 3.6.14 and 3.7.3. Several of them
share one gRPC code, so that nothing but the words tells them apart; etcdctl prints them behind `Error: `.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from kprov.observe.observation import EtcdMember, etcd_members
from kprov.plan.conversation import Answer

UNHEALTHY = "etcdserver: unhealthy cluster"  # also while a member is connected for less than five seconds
NO_LEADER = "etcdserver: no leader"
LEADER_CHANGED = "etcdserver: leader changed"
TIMED_OUT = "etcdserver: request timed out"
NOT_IN_SYNC = "etcdserver: can only promote a learner member which is in sync with leader"
NOT_A_LEARNER = "etcdserver: can only promote a learner member"
NOT_FOUND = "etcdserver: member not found"
URL_EXISTS = "etcdserver: Peer URLs already exists"

PASSING = (UNHEALTHY, NO_LEADER, LEADER_CHANGED, TIMED_OUT)  # a change of members may be asked again

_ALARMED = "Active Alarm(s): "  # etcdctl v3, ctlv3/command/ep_command.go: the only word of an alarm in its JSON
_ERROR = re.compile(r"^Error: (?:rpc error: code = \w+ desc = )?(.*)$", re.MULTILINE)


def error(answer: Answer) -> str:
    """Return what etcdctl calls the error; the last line of its words where it names none."""
    found = _ERROR.findall(answer.words)
    lines = answer.words.strip().splitlines()
    return str(found[-1]) if found else lines[-1] if lines else f"etcdctl ended with exit code {answer.code}"


def members(answer: Answer) -> tuple[EtcdMember, ...] | None:
    """Return the members that an answer lists, None where it lists none."""
    return etcd_members(answer.text) if answer.ok else None


def health(answer: Answer) -> Mapping[str, str] | None:
    """Return endpoint → what is wrong with it, nothing where it serves; None when the answer is not of that form.

    A full member serves: what is to be done about NOSPACE needs restarts, and each of them keeps the quorum.
    """
    rows = answer.json()
    try:
        return {str(row["endpoint"]): "" if row["health"] else _wrong(str(row.get("error", ""))) for row in rows}
    except (TypeError, KeyError):
        return None


def _wrong(said: str) -> str:
    alarms = said.removeprefix(_ALARMED).split() if said.startswith(_ALARMED) else []
    if alarms and set(alarms) == {"NOSPACE"}:
        return ""
    return said or "not healthy"
