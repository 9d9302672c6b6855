"""What a cluster lives with, read from what its hosts and its API said: networks, names, addresses, flags. Pure; it judges
nothing. The API's word comes before what is recorded on hosts, as a run may have written what never came to life.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from types import MappingProxyType
from typing import Any

import yaml
from cryptography import x509
from cryptography.x509.oid import NameOID

from kprov.observe.observation import EtcdMember, Observation
from kprov.values.model import Component
from kprov.values.paths import (
    BACKUP_STATUS,
    CPU_STATE,
    KUBE_PROXY_CONFIG,
    KUBELET_CONFIG,
    MEMORY_STATE,
    POD_CIDRS,
    SERVICE_ACCOUNT_PUBLIC,
)
from kprov.values.yaml_text import load

_UNITS: Mapping[Component, str] = {
    component: f"/etc/systemd/system/{component}.service"
    for component in ("etcd", "kube-apiserver", "kubelet", "containerd")
}
TEXTS = (
    *_UNITS.values(),
    KUBELET_CONFIG,
    KUBE_PROXY_CONFIG,
    CPU_STATE,
    MEMORY_STATE,
    SERVICE_ACCOUNT_PUBLIC,
    BACKUP_STATUS,
)  # asked of every host in every run: a few KiB, compressed

_FLAG = re.compile(r'--([a-z0-9-]+)=("(?:\\.|[^"\\])*"|\S*)')
_ISSUER = re.compile(r"https://kubernetes\.default\.svc\.(\S+)")
_NODE_CERTIFICATE = "/etc/kubernetes/pki/kubelet-client.crt"
_MEMBER_CERTIFICATE = "/etc/etcd/pki/server.crt"
_NODE_PREFIX = "system:node:"

Object = Mapping[str, Any]


def objects_of(observations: Mapping[str, Observation]) -> tuple[Object, ...] | None:
    """Return kprov's own objects in the API; None when nobody could ask it."""
    return next((seen.objects for seen in observations.values() if seen.objects is not None), None)


def unit_flags(seen: Observation, component: Component) -> Mapping[str, tuple[str, ...]] | None:
    """Return the flags of a component's unit as it stands on a host, each with all its values.

    None where kprov has not put that unit there.
    """
    path = _UNITS[component]
    if ("unit", f"{component}.service") not in seen.records or path not in seen.texts:
        return None
    found: dict[str, tuple[str, ...]] = {}
    for name, word in _FLAG.findall(seen.texts[path].decode(errors="replace")):
        found[name] = (*found.get(name, ()), _unquoted(word))
    return found


def _unquoted(word: str) -> str:
    """Undo what systemd's command lines need (systemd.service(5))."""
    text = re.sub(r"\\(.)", r"\1", word[1:-1]) if word.startswith('"') else word
    return text.replace("%%", "%").replace("$$", "$")


def kubelet_settings(seen: Observation) -> Mapping[str, Any] | None:
    """Return the KubeletConfiguration that stands on a host; None where kprov has put none there."""
    return _settings(seen, KUBELET_CONFIG)


def _settings(seen: Observation, path: str) -> Mapping[str, Any] | None:
    return read_mapping(seen.texts[path]) if ("file", path) in seen.records and path in seen.texts else None


@lru_cache(maxsize=64)  # hosts of one kind have the same
def read_mapping(text: bytes) -> Mapping[str, Any] | None:
    """Return a YAML or JSON document that is a mapping; None for any other text."""
    try:
        found = load(text.decode())
    except (yaml.YAMLError, UnicodeDecodeError):
        return None
    return found if isinstance(found, dict) else None


def dns_address(objects: Iterable[Object]) -> IPv4Address | None:
    """Return the address of the Service of cluster DNS."""
    for item in objects:
        metadata = item["metadata"]
        if item["kind"] == "Service" and (metadata.get("namespace"), metadata["name"]) == ("kube-system", "kube-dns"):
            return _address(str(item.get("spec", {}).get("clusterIP", "")))
    return None


def _address(text: str) -> IPv4Address | None:
    try:
        return IPv4Address(text)
    except AddressValueError:
        return None


def service_networks(observations: Mapping[str, Observation]) -> dict[IPv4Network, list[str]]:
    """Return the networks of Services that API servers have, and on which hosts."""
    found: dict[IPv4Network, list[str]] = {}
    for name, seen in observations.items():
        for text in (unit_flags(seen, "kube-apiserver") or {}).get("service-cluster-ip-range", ()):
            try:
                found.setdefault(IPv4Network(text), []).append(name)
            except ValueError:
                continue
    return found


def domains(observations: Mapping[str, Observation]) -> dict[str, str]:
    """Return the cluster's domains, and who has each: API servers by the issuer of tokens, else kubelets."""
    issued: dict[str, list[str]] = {}
    told: dict[str, list[str]] = {}
    for name, seen in observations.items():
        for issuer in (unit_flags(seen, "kube-apiserver") or {}).get("service-account-issuer", ()):
            if match := _ISSUER.fullmatch(issuer):
                issued.setdefault(match[1], []).append(name)
        if text := (kubelet_settings(seen) or {}).get("clusterDomain"):
            told.setdefault(str(text), []).append(name)
    if issued:
        return {domain: f"issuer of tokens on {', '.join(names)}" for domain, names in issued.items()}
    return {domain: f"clusterDomain of kubelet on {', '.join(names)}" for domain, names in told.items()}


def name_servers(observations: Mapping[str, Observation]) -> dict[str, list[str]]:
    """Return what kubelets give pods as name servers, less those of their own node, and on which hosts."""
    found: dict[str, list[str]] = {}
    for name, seen in observations.items():
        for text in (kubelet_settings(seen) or {}).get("clusterDNS") or ():
            address = _address(str(text))
            if address is not None and not address.is_link_local:
                found.setdefault(str(address), []).append(name)
    return found


@lru_cache(maxsize=8)
def parse_table(text: bytes) -> Mapping[str, IPv4Network]:
    """Read a host's record of all pod networks; lines that are not `HOST CIDR` are left out: somebody may have edited it.

    Every host has the same record: it is parsed once, and not once a host.
    """
    found: dict[str, IPv4Network] = {}
    for line in text.decode(errors="replace").splitlines():
        name, _, cidr = line.partition(" ")
        try:
            found[name] = IPv4Network(cidr.strip())
        except ValueError:
            continue
    return MappingProxyType(found)


def node_object_networks(observations: Mapping[str, Observation]) -> dict[str, IPv4Network]:
    """Return the pod networks that Node objects have; none while nobody can ask the API."""
    return {
        item["metadata"]["name"]: IPv4Network(text)
        for item in objects_of(observations) or ()
        if item["kind"] == "Node" and (text := item.get("spec", {}).get("podCIDR"))
    }


def node_networks(observations: Mapping[str, Observation]) -> dict[str, tuple[IPv4Network, str]]:
    """Return each node's pod network and who says so: the Node object; while nobody can ask the API, the host's record."""
    if objects_of(observations) is not None:
        return {name: (net, "Node object") for name, net in node_object_networks(observations).items()}
    found: dict[str, tuple[IPv4Network, str]] = {}
    for name, seen in observations.items():
        if ("unit", "kubelet.service") in seen.records and ("file", POD_CIDRS) in seen.records:
            own = parse_table(seen.texts.get(POD_CIDRS, b"")).get(name)
            if own is not None:
                found[name] = (own, f"{POD_CIDRS} on the host")
    return found


def pod_networks(observations: Mapping[str, Observation]) -> dict[IPv4Network, list[str]]:
    """Return the networks of all pods that nodes know, by the configuration of kube-proxy, and on which hosts.

    One that does not hold the network of every node was written by a run that broke off, and is left out.
    """
    told: dict[str, list[str]] = {}
    for name, seen in observations.items():
        if text := (_settings(seen, KUBE_PROXY_CONFIG) or {}).get("clusterCIDR"):
            told.setdefault(str(text), []).append(name)
    nodes = [net for net, _ in node_networks(observations).values()]
    found: dict[IPv4Network, list[str]] = {}
    for text, names in told.items():
        try:
            whole = IPv4Network(text)
        except ValueError:
            continue
        if all(net.subnet_of(whole) for net in nodes):
            found[whole] = names
    return found


def etcd_members(observations: Mapping[str, Observation]) -> tuple[EtcdMember, ...]:
    """Return the members as the most complete of the living lists has them; none when no member answers."""
    return max((seen.etcd.members or () for seen in observations.values()), key=len, default=())


def own_name(seen: Observation) -> str:
    """Return the name that a host has in the cluster, by the certificates kprov gave it; empty where it has none."""
    for path, prefix in ((_NODE_CERTIFICATE, _NODE_PREFIX), (_MEMBER_CERTIFICATE, "")):
        if ("file", path) in seen.records and path in seen.texts:
            try:
                subject = x509.load_pem_x509_certificate(seen.texts[path]).subject
            except ValueError:
                continue
            names = [str(row.value) for row in subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
            if names and names[0].startswith(prefix):
                return names[0].removeprefix(prefix)
    return ""
