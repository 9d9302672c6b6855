"""What a gathered fleet may not be before anything is touched: unreachable, locked, of another trust. Pure; raises only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from kprov.apply.lock import locked_by
from kprov.objects.listing import listed
from kprov.objects.objects import is_ready
from kprov.observe.gather import Fleet
from kprov.observe.observation import Observation
from kprov.observe.silent_hosts import cluster_facts
from kprov.pki.authority import fingerprints
from kprov.pki.conflict import BRING, keys_conflict, trust_conflict
from kprov.pki.keys import public_keys
from kprov.plan.encryption_change import has_unknown_keys
from kprov.roles.api_server import ENCRYPTION
from kprov.roles.layout import CA, FRONT_PROXY_CA
from kprov.state.restore_record import NAME, read_record
from kprov.state.store import Store
from kprov.values.certificate import Authority
from kprov.values.errors import BackupError, KprovError, PkiError, PreflightError
from kprov.values.many_hosts import count_hosts, merge_texts
from kprov.values.model import Cluster
from kprov.values.paths import SERVICE_ACCOUNT_PUBLIC

ETCD_CA = "/etc/etcd/pki/ca.crt"
CA_FILES: Mapping[Authority, str] = {"kubernetes": CA, "etcd": ETCD_CA, "front-proxy": FRONT_PROXY_CA}


def refuse_unreachable(fleet: Fleet, limit: frozenset[str] | None) -> None:
    failures = {name: error for name, error in fleet.failures.items() if limit is None or name in limit}
    if len(failures) == 1:
        raise next(iter(failures.values()))
    if failures:
        raise PreflightError(
            f"{len(failures)} hosts are unreachable; nothing was touched",
            todo="fix them, or exclude them with --limit",
            log="\n".join(_unreachable(failures)),
        )


def _unreachable(failures: Mapping[str, KprovError]) -> Iterator[str]:
    """Each reason once, with the hosts that gave it."""
    same: dict[str, list[KprovError]] = {}
    for error in failures.values():
        same.setdefault(error.what, []).append(error)
    for what, errors in same.items():
        if len(errors) == 1:
            yield str(errors[0])
            continue
        found, needed, todo = (
            merge_texts([(error.where, getattr(error, name)) for error in errors])
            for name in ("found", "needed", "todo")
        )
        hosts = count_hosts([error.where for error in errors])
        yield str(KprovError(what, where=hosts, found=found, needed=needed, todo=todo))


def refuse_unknown_addresses(cluster: Cluster, fleet: Fleet) -> None:
    """Servers that did not answer, and whose address nobody knows: every other host's settings name it."""
    facts = cluster_facts(fleet.observations)
    unknown = []
    for host in cluster.hosts:
        if host.name in fleet.failures and host.groups & {"etcd", "control_plane"}:
            try:
                facts.node_ip(host)
            except KeyError:
                unknown.append(host.name)
    if unknown:
        raise PreflightError(
            "hosts that others are told of did not answer, and nobody knows their addresses; nothing was touched",
            found=", ".join(unknown),
            needed="an answer, or the address the cluster knows them by",
            todo="write it into the inventory as `node_ip` of the host",
        )


def refuse_left_out(cluster: Cluster, fleet: Fleet) -> None:
    """Raise PreflightError for nodes that live, and whose hosts the inventory names no more: a line that got lost.

    Their Nodes would be deleted under their pods. One that is dead may go like that; `down` asks whoever can be asked.
    """
    live = next((seen.objects for seen in fleet.observations.values() if seen.objects is not None), ())
    ours = {name for _, kind, _, name in listed(live) if kind == "Node"} - {host.name for host in cluster.hosts}
    left = [str(item["metadata"]["name"]) for item in live if item["kind"] == "Node" and is_ready(item)]
    if names := sorted(ours.intersection(left)):
        raise PreflightError(
            "nodes of this cluster are not in the inventory, and live; nothing was touched",
            found=f"{', '.join(names)}: Ready",
            needed="each host in the inventory until it has left: its pods would be deleted with its Node, without a drain",
            todo=f"write {'it' if len(names) == 1 else 'them'} again; to remove one: `kprov down --limit {names[0]}`, then "
            "take it out",
        )


def refuse_locked(fleet: Fleet) -> None:
    for name, seen in fleet.observations.items():
        if seen.holder:
            raise locked_by(name, seen.holder)


def refuse_half_restored(store: Store) -> None:
    """Raise BackupError while etcd is half restored: some members may have the old data, some the new.

    Once it serves the restored data, what is left to do is what any run does.
    """
    record = read_record(store.path)
    if record is not None and not record.founded:
        raise BackupError(
            "a restore of this cluster was cut off; nothing was touched",
            where=str(store.path / NAME),
            found=f"the backup {record.file}",
            needed="that restore to be ended",
            todo=f"run `kprov restore {record.file} INVENTORY` again: it goes on from there",
        )


def refuse_foreign_trust(store: Store, fleet: Fleet, places: Mapping[str, str] = MappingProxyType({})) -> None:
    """Raise PkiError for CAs or keys on hosts that are not this operator's, PreflightError when a cluster was only renamed.

    places: of the inventory's keys, dotted → `FILE:LINE`.
    """
    observed = trusted_by(fleet.observations)
    error = trust_conflict(store.known_fingerprints() if store.exists else None, observed)
    if error is None:
        _refuse_other_keys(store, fleet)
        return
    if not store.exists and (old := _neighbour(store, observed)):
        raise PreflightError(
            "the name of a cluster cannot be changed while it lives; nothing was touched",
            where=places.get("cluster.name", "cluster.name"),
            found=f"{old}, whose CAs {', '.join(sorted(observed))} have",
            needed=store.cluster_name,
            todo=f"write `name: {old}` again; another name is another cluster, on other hosts or after `kprov down`",
        )
    raise error


def trusted_by(observations: Mapping[str, Observation]) -> dict[str, dict[Authority, frozenset[str]]]:
    """Return the fingerprints of the CAs that kprov made each host trust; hosts without any are left out."""
    observed: dict[str, dict[Authority, frozenset[str]]] = {}
    for name, seen in observations.items():
        found = {
            authority: frozenset(fingerprints(seen.texts[path]))
            for authority, path in CA_FILES.items()
            if path in seen.texts and ("file", path) in seen.records
        }
        if found:
            observed[name] = found
    return observed


def _refuse_other_keys(store: Store, fleet: Fleet) -> None:
    rotation = store.rotation
    if rotation is not None and rotation.ends and "service-account" in rotation.kinds:
        return  # hosts may still have the one that goes, and nobody else
    observed = {
        name: public_keys(seen.texts[SERVICE_ACCOUNT_PUBLIC])
        for name, seen in fleet.observations.items()
        if SERVICE_ACCOUNT_PUBLIC in seen.texts and ("file", SERVICE_ACCOUNT_PUBLIC) in seen.records
    }
    error = keys_conflict(public_keys(store.trust().service_account_public), observed) if observed else None
    if error is not None:
        raise error


def refuse_other_encryption(cluster: Cluster, store: Store, observations: Mapping[str, Observation]) -> None:
    """Raise PkiError for API servers that encrypt with a key that neither folder nor inventory knows.

    Nobody could read again what it encrypted. observations: of those that have one, with the text of ENCRYPTION.
    """
    rotation = store.rotation
    if rotation is not None and rotation.ends and "encryption" in rotation.kinds:
        return  # the one that a rotation drops is known no more
    texts = {
        name: seen.texts[ENCRYPTION]
        for name, seen in sorted(observations.items())
        if ENCRYPTION in seen.texts and ("file", ENCRYPTION) in seen.records
    }
    if names := [name for name, text in texts.items() if has_unknown_keys(cluster, store.trust(), text)]:
        raise PkiError(
            "API servers encrypt with a key that neither the state folder nor the inventory knows; nothing was touched",
            where=", ".join(names),
            needed="the state folder and the inventory that the key was changed with",
            todo=BRING,
        )


def _neighbour(store: Store, observed: Mapping[str, Mapping[Authority, frozenset[str]]]) -> str:
    """The cluster whose state folder beside this one has the CAs that were seen on hosts; empty when there is none."""
    for folder in sorted(store.path.parent.glob("*/")) if store.path.parent.is_dir() else ():
        try:
            other = Store.open(folder, folder.name)
            known = other.known_fingerprints() if other.exists else {}
        except KprovError:
            continue
        if known and trust_conflict(known, observed) is None:
            return folder.name
    return ""
