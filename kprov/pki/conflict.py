"""Tell whether the hosts trust what this operator holds. Pure; it protects against making a second set of CAs or keys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kprov.values.certificate import Authority
from kprov.values.errors import PkiError

Fingerprints = Mapping[Authority, frozenset[str]]  # several while one CA follows another
_SHOWN = 16  # characters of a fingerprint that people compare


def trust_conflict(local: Fingerprints | None, observed: Mapping[str, Fingerprints]) -> PkiError | None:
    """The reason why going on would cut a living cluster off from its CAs, or None when there is no conflict.

    local: fingerprints of all CAs that the state folder knows, None when it holds none. observed: by host name, the CAs
    whose certificates lie on the host; hosts that have none may be left out or be empty.
    """
    known = local or {}
    foreign = {
        host: {name: there for name, prints in all_of.items() if (there := prints - known.get(name, frozenset()))}
        for host, all_of in sorted(observed.items())
    }
    foreign = {host: prints for host, prints in foreign.items() if prints}
    if not foreign:
        return None
    if local is None:
        return _lost(foreign)
    if any(observed[host][name] & known.get(name, frozenset()) for host, prints in foreign.items() for name in prints):
        return _older_copy(foreign, known)
    agreeing = [host for host, prints in observed.items() if prints and host not in foreign]
    return _other_cluster(foreign, known, agreeing) if agreeing else _wrong_folder(foreign, known)


def keys_conflict(known: frozenset[str], observed: Mapping[str, frozenset[str]]) -> PkiError | None:
    """The reason why going on would make every token of the cluster void, or None.

    known: the public keys of service accounts in the state folder, as PEM. observed: by host, those that API servers have.
    """
    foreign = [host for host, keys in sorted(observed.items()) if keys - known]
    if not foreign:
        return None
    return PkiError(
        "the state folder is an older copy: the keys of service accounts on these hosts are others; nothing was touched",
        where=", ".join(foreign),
        needed="the state folder that the keys were changed with",
        todo=BRING,
    )


BRING = (
    "copy the state folder from whoever worked on this cluster last, or restore it from the latest backup "
    "(`kprov restore FILE INVENTORY --state-only`, after moving this one away)"
)


def _lost(foreign: Mapping[str, Fingerprints]) -> PkiError:
    return PkiError(
        "these hosts belong to a cluster whose CA keys are not in the state folder",
        where=", ".join(foreign),
        found=_described(foreign),
        needed="the state folder (.kprov/CLUSTER beside the inventory) that made this cluster",
        todo="restore the folder from a backup (`kprov restore FILE INVENTORY --state-only`), or name it with --state-dir; "
        "where it is lost for good, run `kprov adopt`; if the cluster is to be thrown away, run `kprov down` first. "
        "kprov never makes a second CA for a living cluster",
    )


def _older_copy(foreign: Mapping[str, Fingerprints], known: Fingerprints) -> PkiError:
    return PkiError(
        "the state folder is an older copy: CAs have been made since that it does not know; nothing was touched",
        where=", ".join(foreign),
        found=_described(foreign),
        needed=_prints(known),
        todo=BRING,
    )


def _wrong_folder(foreign: Mapping[str, Fingerprints], known: Fingerprints) -> PkiError:
    return PkiError(
        "the CA keys in the state folder are not those of the cluster on these hosts",
        where=", ".join(foreign),
        found=_described(foreign),
        needed=_prints(known),
        todo="restore the folder that made this cluster from a backup, or name it with --state-dir: this one is of another "
        "cluster, or a copy from before its CAs were replaced; if the cluster on the hosts is to be thrown away, run "
        "`kprov down` first",
    )


def _other_cluster(foreign: Mapping[str, Fingerprints], known: Fingerprints, agreeing: list[str]) -> PkiError:
    return PkiError(
        "some hosts hold CA certificates of another cluster",
        where=", ".join(foreign),
        found=_described(foreign),
        needed=f"{_prints(known)}, as on {', '.join(sorted(agreeing))}",
        todo="run `kprov down --limit HOST` for these hosts (with the inventory of the other cluster while it lives), "
        "or take them out of this inventory",
    )


def _described(foreign: Mapping[str, Fingerprints]) -> str:
    return "; ".join(f"{host}: {_prints(prints)}" for host, prints in foreign.items())


def _prints(prints: Fingerprints) -> str:
    return ", ".join(f"{name} CA {_short(found)}" for name, found in sorted(prints.items()))


def _short(prints: Iterable[str]) -> str:
    return " and ".join(f"{one[:_SHOWN]}…" for one in sorted(prints))
