"""Contexts for role tests out of a few plain values: the part of an inventory and of facts that a case is about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

from kprov.addon.choose import by_name
from kprov.addon.describe import shelf
from kprov.artifacts.catalog import load, resolve_versions
from kprov.values.addon import Addon, Description, HostDirectory
from kprov.values.api_settings import AdmissionSettings, ApiFile, ApiSettings, AuditSettings, EncryptionSettings
from kprov.values.context import Context, Timed, Trust
from kprov.values.model import (
    BackupSettings,
    CloudSettings,
    Cluster,
    ClusterFacts,
    Connection,
    Facts,
    Handler,
    Host,
    Interface,
    Keep,
    Listener,
    NetworkSettings,
    RegistryAccess,
    RegistryEntry,
    RegistrySettings,
    Taint,
)
from kprov.values.resources import Artifact
from kprov.values.secret import Secret

TRUST = Trust(
    bundle={"kubernetes": b"PEM kubernetes\n", "etcd": b"PEM etcd\n", "front-proxy": b"PEM front-proxy\n"},
    issuer={"kubernetes": b"issuer\n", "etcd": b"issuer\n", "front-proxy": b"issuer\n"},  # no role writes it
    service_account_key=b"PEM service account PRIVATE\n",
    service_account_public=b"PEM service account public\n",
    encryption_key=b"k" * 32,
    timed=Timed(
        cluster_id="0" * 32,
        authorities={"kubernetes": "a" * 64},
        recipients=("age1made-up", "ssh-ed25519 AAAA somebody"),
        state=b"sealed state\n",
    ),
)

_FACTS = Facts(
    hostname="",
    machine_id="0" * 32,
    arch="amd64",
    os_id="debian",
    os_version="12",
    kernel=(6, 1),
    kernel_release="6.1.0-20-amd64",
    systemd=252,
    cgroup=2,
    clock=0.0,
    clock_skew=0.0,
    cpus=4,
    memory=8 * 2**30,
    swap=False,
    interfaces=(),
    default_address=None,
    disk_free={},
    disk_size={},
    listeners=(),
    modules=frozenset(),
    loadable=frozenset(),
    commands=frozenset({"nft"}),
    nft=(1, 0),
    package_manager="apt",
    selinux="",
    leftovers=(),
    is_root=True,
)


def context(given: Mapping[str, Any]) -> Context:
    """A Context from `cluster` (fields of Cluster), `hosts` (name → groups, facts, fields of Host) and `host`; `bundle` has
    other CAs than usual, `roots` those above them.

    A host that is `silent` did not answer: there are no facts of it.
    """
    hosts = tuple(_host(name, values, number) for number, (name, values) in enumerate(given["hosts"].items(), start=1))
    facts = ClusterFacts(
        {
            host.name: _facts(host, given["hosts"][host.name].get("facts", {}), number)
            for number, host in enumerate(hosts, start=1)
            if not given["hosts"][host.name].get("silent")
        }
    )
    cluster = _cluster(given.get("cluster", {}), hosts)
    subnets = cluster.pod_cidr.subnets(new_prefix=cluster.pod_cidr_node_prefix)
    return Context(
        cluster=cluster,
        host=cluster.host(given.get("host", hosts[0].name)),
        facts=facts,
        trust=_trust(given.get("bundle", {}), given.get("roots", {})),
        artifacts={**_artifacts(cluster.versions), **_programs(cluster.addons)},
        pod_cidrs={host.name: subnet for host, subnet in zip(cluster.nodes, subnets, strict=False)},
    )


def _trust(bundle: Mapping[str, str], roots: Mapping[str, str]) -> Trust:
    pems = [{name: text.encode() for name, text in given.items()} for given in (bundle, roots)]
    return replace(TRUST, bundle={**TRUST.bundle, **pems[0]}, roots=pems[1])


def _cluster(values: Mapping[str, Any], hosts: tuple[Host, ...]) -> Cluster:
    known: dict[str, Any] = {key: value for key, value in values.items() if key != "kubernetes"}
    for key, kind in (("pod_cidr", IPv4Network), ("service_cidr", IPv4Network), ("dns_ip", IPv4Address)):
        if key in known:
            known[key] = kind(known[key])
    if "addons" in known:
        known["addons"] = tuple(map(_addon, known["addons"]))
    if "registry" in known:
        known["registry"] = _registry(known["registry"])
    if "cloud" in known:
        known["cloud"] = CloudSettings(**known["cloud"])
    if "api" in known:
        known["api"] = _api(known["api"])
    if "backup" in known:
        keep = Keep(**known["backup"].get("keep", {}))
        known["backup"] = BackupSettings(**{**known["backup"], "keep": keep})
    if "network" in known:
        known["network"] = NetworkSettings(**known["network"])
    if "templates_dir" in known:
        known["templates_dir"] = Path(known["templates_dir"])
    return Cluster(name="test", versions=resolve_versions(values.get("kubernetes", "")), hosts=hosts, **known)


def _api(values: Mapping[str, Any]) -> ApiSettings:
    """Fields of ApiSettings; `files`: name → text, those named in `again` are read again."""
    again = values.get("again", ())
    files = tuple(
        ApiFile(name=name, content=Secret(text), at_start=name not in again)
        for name, text in values.get("files", {}).items()
    )
    return ApiSettings(
        authentication=values.get("authentication", {}),
        authorizers=tuple(values.get("authorizers", ())),
        audit=AuditSettings(**values.get("audit", {})),
        admission=AdmissionSettings(**values.get("admission", {})),
        encryption=EncryptionSettings(**values.get("encryption", {})),
        files=files,
    )


def _addon(values: Mapping[str, Any]) -> Addon:
    """One of kprov's own by its name, with parameters of its own; any other out of what is given."""
    if values["name"] in shelf(None):
        addon = next(addon for addon in by_name([values["name"]]) if addon.name == values["name"])
        return replace(addon, parameters={**addon.parameters, **values.get("parameters", {})})
    folders = tuple(HostDirectory(**row) for row in values.get("directories", ()))
    description = Description(
        name=values["name"], folder=Path("addons"), summary="", namespace=values["name"], directories=folders
    )
    return Addon(description=description, version="", parameters=values.get("parameters", {}), images=())


def _registry(values: Mapping[str, Any]) -> RegistrySettings:
    """`mirror`, `ca` (text), `username`, `password` (text), and `registries` with the same by name."""
    entries = {
        host: RegistryEntry(mirror=entry.get("mirror", ""), access=_access(entry))
        for host, entry in values.get("registries", {}).items()
    }
    return RegistrySettings(mirror=values.get("mirror", ""), access=_access(values), registries=entries)


def _access(values: Mapping[str, Any]) -> RegistryAccess:
    password = Secret(values["password"]) if "password" in values else None
    return RegistryAccess(ca=values.get("ca", "").encode(), username=values.get("username", ""), password=password)


def _host(name: str, values: Mapping[str, Any], number: int) -> Host:
    apart = ("groups", "connection", "facts", "silent", "taints", "handlers")
    fields = {key: value for key, value in values.items() if key not in apart}
    return Host(
        name=name,
        groups=frozenset(values["groups"]),
        connection=Connection(**{"address": f"192.0.2.{number}", **values.get("connection", {})}),
        taints=tuple(Taint(**taint) for taint in values.get("taints", ())),
        handlers={name: Handler(**fields) for name, fields in values.get("handlers", {}).items()},
        **fields,
    )


def _facts(host: Host, values: Mapping[str, Any], number: int) -> Facts:
    changed: dict[str, Any] = dict(values)
    address = f"192.0.2.{number}"
    mtu = changed.pop("mtu", 1500)
    for key in ("kernel", "nft"):
        if changed.get(key) is not None:
            changed[key] = tuple(changed[key])
    changed["listeners"] = tuple(Listener(**item) for item in changed.get("listeners", ()))
    return replace(
        _FACTS,
        **{
            "hostname": host.name,
            "interfaces": (Interface(name="eth0", mtu=mtu, addresses=(f"{address}/24",)),),
            "default_address": address,
            **changed,
        },
    )


def _programs(addons: tuple[Addon, ...]) -> dict[tuple[str, str], Artifact]:
    """Those that add-ons have on hosts."""
    return {
        (program.name, arch): Artifact(
            name=program.name,
            version=program.version,
            arch=arch,
            sha256="0" * 64,
            size=1,
            local=f"cache/{program.name}",
        )
        for addon in addons
        for program in addon.programs
        for arch in ("amd64", "arm64")
    }


def _artifacts(versions: Mapping[str, str]) -> dict[tuple[str, str], Artifact]:
    catalog = load()
    names = {program: name for name, component in catalog.components.items() for program in component.programs}
    names |= {name: image.component for name, image in catalog.images.items()}
    references = {name: image.reference or image.built for name, image in catalog.images.items()}
    return {
        (name, arch): Artifact(
            name=name,
            version=versions[component],
            arch=arch,
            sha256="0" * 64,
            size=1,
            local=f"cache/{name}",
            url=f"https://example.org/{name}",
            reference=references.get(name, "").format(version=versions[component]),
        )
        for name, component in names.items()
        if component in versions
        for arch in ("amd64", "arm64")
    }
