"""What keeps packets of pods from their way on a host whose units all run: sentences for `findings.py`. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath

from kprov.observe.observation import Observation
from kprov.observe.surroundings import PeerRoute
from kprov.roles.kube_proxy import rules_table
from kprov.roles.network import CONFLIST, PUBLISHED_CONFLISTS
from kprov.values.model import Cluster


def service_rules(cluster: Cluster, seen: Observation) -> Iterable[str]:
    proxy, table = seen.units.get("kube-proxy.service"), rules_table(cluster, seen.facts)
    if seen.surroundings.asked and proxy is not None and proxy.running and table not in seen.surroundings.tables:
        yield f"kube-proxy runs, but its rules ({table}) are not in the kernel: no Service is reached from here"


def forwarding(seen: Observation) -> Iterable[str]:
    for name in seen.surroundings.off:
        yield f"{name} is 0: packets of its pods end here, or pass without the rules of Services"


def peer_routes(seen: Observation) -> Iterable[str]:
    for peer in seen.surroundings.peers:
        by_pods = f"from its pods {_answer(peer.by_pods)}" if peer.by_pods is not None else ""
        wrong = [
            text
            for answer, text in ((peer.by_host, f"from the host {_answer(peer.by_host)}"), (peer.by_pods, by_pods))
            if answer is not None and not _leads(peer, answer)
        ]
        if wrong:
            yield f"packets to the pods in {peer.network} do not go via {peer.gateway}: {'; '.join(wrong)}"


def _leads(peer: PeerRoute, answer: str) -> bool:
    return f" via {peer.gateway} " in f"{answer} "


def _answer(answer: str | None) -> str:
    return f"the kernel answers `{answer}`" if answer else "there is no route"


def cni_files(cluster: Cluster, seen: Observation) -> Iterable[str]:
    """Of the folder that is kprov's alone."""
    return _before(CONFLIST, seen) if cluster.network.built_in else ()


def shared_cni_files(cluster: Cluster, seen: Observation) -> Iterable[str]:
    """Of the folder of networks that others publish, where other software has files, too."""
    own = PUBLISHED_CONFLISTS.get(cluster.network.mode)
    return _before(own, seen) if own is not None else ()


def _before(conflist: str, seen: Observation) -> Iterable[str]:
    """The runtime takes the file whose name comes first; it reads names with these endings only."""
    own = PurePosixPath(conflist)
    for path in map(PurePosixPath, seen.surroundings.cni):
        if path.parent == own.parent and path.suffix in (".conf", ".conflist", ".json") and path.name < own.name:
            yield f"{path} comes before {own.name}: new pods get the network that it describes, and not the cluster's"
