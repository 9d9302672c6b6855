"""What a run may do while the private key of a CA is lost and not every host trusts the CA that comes next. Pure.

Nothing is issued then: whoever checks a leaf of the next CA would refuse it. Certificates that still serve stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from kprov.observe.observation import Observation
from kprov.plan.difference import difference
from kprov.plan.host import Change, HostPlan
from kprov.values.context import Trust
from kprov.values.errors import PreflightError
from kprov.values.resources import Certificate


def hold(plan: HostPlan, seen: Observation, trust: Trust, now: datetime) -> HostPlan:
    """Return the plan without certificates that would be renewed before their end."""
    if not trust.lost:
        return plan
    return replace(plan, changes=tuple(item for item in plan.changes if not _serves(item, seen, trust, now)))


def _serves(change: Change, seen: Observation, trust: Trust, now: datetime) -> bool:
    leaf = change.resource
    if not isinstance(leaf, Certificate) or leaf.spec.authority not in trust.lost:
        return False
    to_its_end = replace(leaf, spec=replace(leaf.spec, renew_before_days=0))
    found = difference(to_its_end, seen, trust.issuer, now)
    return found is None or found[0] not in ("create", "update")


def refuse_to_issue(plans: Mapping[str, HostPlan], trust: Trust) -> None:
    """Raise PreflightError for leaves that are to be issued now."""
    lacking = {
        host: [
            item.resource.spec.name
            for item in plan.changes
            if isinstance(item.resource, Certificate)
            and item.action in ("create", "update")
            and item.resource.spec.authority in trust.lost
        ]
        for host, plan in plans.items()
    }
    lacking = {host: names for host, names in lacking.items() if names}
    if lacking:
        raise PreflightError(
            "certificates are to be issued, and the private key of their CA is lost; nothing was touched",
            found="; ".join(f"{host}: {', '.join(names)}" for host, names in lacking.items()),
            needed="hosts that all trust the new CAs",
            todo="run `kprov certs rotate INVENTORY` first, for the cluster as it is: without new hosts, names or renewals",
        )
