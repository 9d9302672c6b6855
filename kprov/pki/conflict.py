"""Tell whether the hosts trust the CAs this operator holds. Pure; it protects against making a second set."""

from __future__ import annotations

from collections.abc import Mapping

from kprov.values.certificate import Authority
from kprov.values.errors import PkiError

Fingerprints = Mapping[Authority, str]
_SHOWN = 16  # characters of a fingerprint that people compare


def trust_conflict(local: Fingerprints | None, observed: Mapping[str, Fingerprints]) -> PkiError | None:
    """The reason why going on would cut a living cluster off from its CAs, or None when there is no conflict.

    local: fingerprints of the state folder, None when it holds no CAs. observed: by host name, the CAs
    whose certificates lie on the host; hosts that have none may be left out or be empty.
    """
    known = local or {}
    foreign = {
        host: {name: print_ for name, print_ in prints.items() if known.get(name) != print_}
        for host, prints in sorted(observed.items())
    }
    foreign = {host: prints for host, prints in foreign.items() if prints}
    if not foreign:
        return None
    if local is None:
        return _lost(foreign)
    agreeing = [host for host, prints in observed.items() if prints and host not in foreign]
    return _other_cluster(foreign, known, agreeing) if agreeing else _wrong_folder(foreign, known)


def _lost(foreign: Mapping[str, Fingerprints]) -> PkiError:
    return PkiError(
        "these hosts belong to a cluster whose CA keys are not in the state folder",
        where=", ".join(foreign),
        found=_described(foreign),
        needed="the state folder (.kprov/CLUSTER beside the inventory) that made this cluster",
        todo="restore the folder from a backup, or name it with --state-dir; if the cluster is to be thrown away, "
        "run `kprov down` first. kprov never makes a second CA for a living cluster",
    )


def _wrong_folder(foreign: Mapping[str, Fingerprints], known: Fingerprints) -> PkiError:
    return PkiError(
        "the CA keys in the state folder are not those of the cluster on these hosts",
        where=", ".join(foreign),
        found=_described(foreign),
        needed=_prints(known),
        todo="restore the folder that made this cluster from a backup, or name it with --state-dir; if the cluster on "
        "the hosts is to be thrown away, run `kprov down` first",
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
    return ", ".join(f"{name} CA {print_[:_SHOWN]}…" for name, print_ in sorted(prints.items()))
