"""All that the add-ons of a cluster want in it, out of what is desired, what lives and what the hosts said. No I/O but
the add-ons' own files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Network
from types import MappingProxyType
from typing import Any

from kprov.addon.certificates import SecretCertificate, secret_certificates
from kprov.addon.render import Surroundings, rendered
from kprov.objects.objects import Object, identity, stamped
from kprov.values.addon import Addon
from kprov.values.certificate import NOTHING, Renewal
from kprov.values.context import Trust
from kprov.values.image_reference import rewritten
from kprov.values.model import Cluster, ClusterFacts, Host, RegistrySettings
from kprov.values.resources import Artifact
from kprov.values.runtimes import must_rewrite

_NONE: Mapping[str, IPv4Network] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class AddonObjects:
    """One add-on's objects in apply order, its certificates among them; `issues` are those that have to be issued."""

    addon: Addon
    objects: tuple[Object, ...]
    issues: tuple[SecretCertificate, ...] = ()


def addon_objects(
    cluster: Cluster,
    facts: ClusterFacts,
    trust: Trust,
    artifacts: Mapping[tuple[str, str], Artifact],
    live: Iterable[Object],
    now: datetime,
    manifests: Mapping[str, str],
    renew: Renewal = NOTHING,
    pod_cidrs: Mapping[str, IPv4Network] = _NONE,
) -> tuple[AddonObjects, ...]:
    """For each add-on that is on. live: objects with kprov's label; now: aware UTC; manifests: add-on → upstream's text.

    renew: certificates that get a new key. pod_cidrs: node → the network of its pods, as far as it is known.

    Raises AddonError.
    """
    if not cluster.addons:
        return ()
    lives = {identity(item): item for item in live}
    values = cluster_values(cluster, facts, pod_cidrs)
    ca = {name.replace("-", "_"): pem.decode() for name, pem in trust.bundle.items()}
    mirrored = cluster.registry if must_rewrite(cluster) else None
    found = []
    for addon in cluster.addons:
        around = Surroundings(
            cluster=values,
            ca=ca,
            token_key=trust.service_account_public.decode(),
            images={**_dns_image(artifacts), **image_references(addon, artifacts, mirrored)},
            secret_seed=trust.encryption_key,
            manifest=manifests.get(addon.name, ""),
        )
        certificates = secret_certificates(cluster, addon, lives, values, trust, now, renew)
        objects = [stamped(item) for item in rendered(addon, around)]
        place = next((number for number, item in enumerate(objects) if item["kind"] != "Namespace"), len(objects))
        objects[place:place] = [_stamped(certificate.secret) for certificate in certificates]
        found.append(
            AddonObjects(
                addon=addon,
                objects=tuple(objects),
                issues=tuple(certificate for certificate in certificates if certificate.reason),
            )
        )
    return tuple(found)


def _stamped(secret: Object) -> Object:
    """The stamp leaves out what is issued: the same specification has the same stamp."""
    bare = stamped({key: value for key, value in secret.items() if key != "data"})
    return {**bare, "data": secret["data"]} if "data" in secret else bare


def _dns_image(artifacts: Mapping[tuple[str, str], Artifact]) -> dict[str, str]:
    """The image of cluster DNS, which every node has: an add-on may run it too."""
    references = [artifact.reference for (name, _), artifact in artifacts.items() if name == "image-coredns"]
    return {"coredns": references[0]} if references else {}


def image_references(
    addon: Addon, artifacts: Mapping[tuple[str, str], Artifact], mirrored: RegistrySettings | None = None
) -> dict[str, str]:
    """Image name → reference: that of the file nodes are given, else upstream's, which nodes pull, or empty.

    mirrored: where what nodes pull must be asked for by name, as a runtime of theirs cannot put a mirror in its place.
    """
    given = {name: artifact.reference for (name, _), artifact in artifacts.items()}
    found = {}
    for image in addon.images:
        pulled = image.entry.reference.format(version=image.version)
        if pulled and mirrored is not None:
            pulled = rewritten(pulled, mirrored)
        found[image.name] = given.get(image.entry.name) or pulled
    return found


def cluster_values(
    cluster: Cluster, facts: ClusterFacts, pod_cidrs: Mapping[str, IPv4Network] = _NONE
) -> dict[str, Any]:
    """What templates see of the cluster."""

    def hosts(of: Sequence[Host]) -> list[dict[str, Any]]:
        return [
            {
                "name": host.name,
                "address": address,
                "sources": [address, *_tunnel_end(cluster, pod_cidrs.get(host.name))],
                "groups": sorted(host.groups),
                "runtime": host.runtime,
            }
            for host in of
            if (address := _address(host, facts))
        ]

    return {
        "name": cluster.name,
        "domain": cluster.domain,
        "dns_ip": str(cluster.dns_ip),
        "pod_cidr": str(cluster.pod_cidr),
        "service_cidr": str(cluster.service_cidr),
        "kubernetes": cluster.versions["kubernetes"],
        "hosts": [
            {"name": host.name, "groups": sorted(host.groups), "runtime": host.runtime} for host in cluster.hosts
        ],
        "nodes": hosts(cluster.nodes),
        "etcd": hosts(cluster.group("etcd")),
        "control_plane": hosts(cluster.group("control_plane")),
        "addons": [addon.name for addon in cluster.addons],
        "enforces_policies": cluster.network.enforces,
        "issuers": [
            {"url": one["url"], "audiences": list(one["audiences"]), "ca": str(one.get("certificateAuthority") or "")}
            for one in (row["issuer"] for row in cluster.api.authentication.get("jwt", ()))
        ],
    }


def _tunnel_end(cluster: Cluster, pods: IPv4Network | None) -> Iterable[str]:
    """The address with which a host's own processes come to pods of other nodes through the tunnel."""
    return (str(pods[1]),) if pods is not None and cluster.network.mode == "vxlan" else ()


def _address(host: Host, facts: ClusterFacts) -> str:
    """Empty when only the host itself could tell. One that does not answer, beside `--limit`, is still in the cluster."""
    try:
        return facts.node_ip(host)
    except KeyError:
        return ""
