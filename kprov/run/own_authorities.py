"""CAs that are the user's own: refuses a run that would replace one in silence, or take over one that ends too early."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from kprov.pki.own import ends_too_early
from kprov.plan.own_authority import Position, unlike
from kprov.state.store import Store
from kprov.values.certificate import AUTHORITIES, Authority
from kprov.values.errors import PreflightError
from kprov.values.model import Cluster


def refuse_other_authorities(cluster: Cluster, store: Store, places: Mapping[str, str]) -> None:
    """Raise PreflightError where the inventory names another CA than the one in use, or one that ends too early.

    A CA is replaced by a rotation alone. places: of the inventory's keys, dotted → `FILE:LINE`.
    """
    own, rotation = cluster.pki.authorities, store.rotation
    if not store.exists:
        refuse_short_lived(cluster, own, places)
        return
    for name in AUTHORITIES:
        phase = rotation.phase if rotation is not None and name in rotation.kinds else None
        position = Position(
            signs=store.ca[name],
            kept=name in store.keeps,
            other=store.others.get(name, b""),
            other_kept=name in store.keeps_others,
            phase=phase,
        )
        reason = unlike(position, own[name].chain if name in own else None)
        if reason is None:
            continue
        back = " (or take it back with --back)" if phase is not None else ""
        raise PreflightError(
            f"the {name} CA of a living cluster is replaced by a rotation alone; nothing was touched",
            where=_place(name, places),
            found=reason,
            needed="the CA that is in use",
            todo=f"write it as it was{back}; to replace it: `kprov certs rotate INVENTORY {name}`",
        )


def refuse_short_lived(cluster: Cluster, names: Iterable[Authority], places: Mapping[str, str]) -> None:
    """Raise PreflightError for a CA of the user's that is to be taken over and would end before what it signs."""
    days, now = cluster.pki.leaf_days, datetime.now(UTC)
    for name in names:
        ends = ends_too_early(cluster.pki.authorities[name].chain, days, now) if name in cluster.pki.authorities else ""
        if ends:
            raise PreflightError(
                f"your {name} CA ends before the certificates that it would sign; nothing was touched",
                where=_place(name, places),
                found=ends,
                needed=f"a CA, and CAs above it, that live for {days} days at least, as certificates do",
                todo="name one that lives longer, or write fewer `leaf_days` under `pki`",
            )


def _place(name: Authority, places: Mapping[str, str]) -> str:
    """Where the inventory says it: the certificate, or else the nearest thing above."""
    keys = ("cluster.pki.authority", "cluster.pki", "cluster")
    word = name.replace("-", "_")
    dotted = (f"cluster.pki.authority.{word}.certificate", f"cluster.pki.authority.{word}", *keys)
    return next((places[key] for key in dotted if key in places), dotted[0])
