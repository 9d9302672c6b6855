"""Whether clocks agree, and whose is wrong when they do not. Pure.

A certificate is valid from an hour before it is issued, etcd's leases and tokens live on clocks: 30 s is k0s's limit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import median

from kprov.observe.observation import Observation
from kprov.preflight.problem import OPERATOR, Problem

LIMIT = 30.0  # seconds

_SYNCHRONISE = "install chrony or enable systemd-timesyncd (timedatectl status)"


def compare(observations: Mapping[str, Observation]) -> Iterable[Problem]:
    """Each host against the median of all, and the operator against it, too.

    With an even number of hosts the operator's clock counts as one more witness. With a single host nobody can say
    which of the two clocks is wrong, so the message names both.
    """
    skews = {name: seen.facts.clock_skew for name, seen in observations.items()}
    if not skews:
        return
    if len(skews) == 1:
        yield from _alone(*next(iter(skews.items())))
        return
    witnesses = [*skews.values()] if len(skews) % 2 else [*skews.values(), 0.0]
    middle = median(witnesses)
    for name, skew in skews.items():
        if abs(skew - middle) > LIMIT:
            yield Problem(
                name="ClockSkew",
                host=name,
                what="the host's clock is wrong",
                found=f"{_ahead(skew - middle)} the other machines",
                needed=f"clocks within {LIMIT:.0f} s",
                todo=f"set this host's clock: {_SYNCHRONISE}",
            )
    if abs(middle) > LIMIT:
        yield Problem(
            name="ClockSkew",
            host=OPERATOR,
            what="the clock of the machine that kprov runs on is wrong",
            found=f"{_ahead(-middle)} the hosts, which agree with each other",
            needed=f"clocks within {LIMIT:.0f} s",
            todo=f"set this machine's clock before certificates are issued with it: {_SYNCHRONISE}",
        )


def _alone(name: str, skew: float) -> Iterable[Problem]:
    if abs(skew) > LIMIT:
        yield Problem(
            name="ClockSkew",
            host=name,
            what="the clocks of this host and of the machine that kprov runs on differ",
            found=f"the host is {_ahead(skew)} this machine; with one host nobody can tell which is wrong",
            needed=f"clocks within {LIMIT:.0f} s",
            todo=f"compare both with `date -u` and set the wrong one: {_SYNCHRONISE}",
        )


def _ahead(seconds: float) -> str:
    return f"{abs(seconds):.0f} s {'ahead of' if seconds > 0 else 'behind'}"
