"""A checked inventory → the frozen values of `kprov.values.model`; notes what only shows when variables are put together."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from kprov.artifacts.options import flags as known_flags
from kprov.inventory.backup_keys import seconds
from kprov.inventory.fields import FlagText
from kprov.inventory.keys import SecretReference
from kprov.inventory.merge import Merger, Variables, given, node_labels, node_taints
from kprov.inventory.mistakes import Path as KeyPath
from kprov.inventory.passwords import SecretReader, Unresolved
from kprov.inventory.review import Review
from kprov.inventory.schema import HostKeys, Inventory
from kprov.values.addon import Addon
from kprov.values.api_settings import ApiSettings
from kprov.values.backup_place import Address, S3Settings, SftpSettings, parse
from kprov.values.certificate import Authority, OwnAuthority
from kprov.values.model import (
    ArtifactSettings,
    BackupSettings,
    CloudSettings,
    Cluster,
    Connection,
    Group,
    Handler,
    Host,
    Keep,
    NetworkSettings,
    PkiSettings,
    RegistrySettings,
    UpgradeSettings,
)
from kprov.values.runtimes import DEFAULT
from kprov.values.secret import Secret


def hosts(review: Review, folder: Path, reader: SecretReader, versions: Mapping[str, str]) -> tuple[Host, ...]:
    """All hosts in the order of the inventory, variables merged in; unresolved secrets are noted as mistakes."""
    secrets = _secrets(review, reader)
    merger = Merger(review.inventory)
    return tuple(
        _host(name, entry, review.groups[name], merger.variables(entry, review.groups[name]), secrets, folder, versions)
        for name, entry in review.inventory.hosts.items()
    )


def _secrets(review: Review, reader: SecretReader) -> dict[int, Secret]:
    """Secrets by the identity of the reference that names them, so that each mistake is noted at its own line."""
    inventory = review.inventory
    places: list[tuple[KeyPath, Variables]] = [(("cluster",), given(inventory.cluster))]
    places += [(("groups", group), given(variables)) for group, variables in inventory.groups.items()]
    places += [(("hosts", name), given(entry)) for name, entry in inventory.hosts.items()]
    secrets: dict[int, Secret] = {}
    for path, variables in places:
        for field, reference in variables.items():
            if not isinstance(reference, SecretReference) or not review.sound(*path, field):
                continue
            try:
                secrets[id(reference)] = reader.read(reference)
            except Unresolved as error:
                review.fault((*path, field), str(error), found="a reference", needed="`{env: NAME}` or `{file: PATH}`")
    return secrets


def _host(
    name: str,
    entry: HostKeys,
    groups: frozenset[Group],
    variables: Variables,
    secrets: Mapping[int, Secret],
    folder: Path,
    versions: Mapping[str, str],
) -> Host:
    connection = Connection(
        address=entry.address,
        port=variables.get("port"),
        user=variables.get("user"),
        key=_key(variables.get("key"), folder),
        jump=variables.get("jump"),
        host_key=entry.host_key,
        become=variables.get("become") is not False,
        password=secrets.get(id(variables.get("password"))),
        become_password=secrets.get(id(variables.get("become_password"))),
    )
    return Host(
        name=name,
        groups=groups,
        connection=connection,
        node_ip=entry.node_ip,
        pod_cidr=entry.pod_cidr,
        labels=MappingProxyType(node_labels(variables, groups)),
        taints=node_taints(variables, groups),
        provider_id=entry.provider_id or "",
        runtime=variables.get("runtime") or DEFAULT,
        handlers=MappingProxyType(
            {
                name: Handler(path=keys.path, type=keys.type, options=_frozen(keys.options))
                for name, keys in variables.get("handlers", {}).items()
            }
        ),
        restrict_oom_score_adj=variables.get("restrict_oom_score_adj") is True,
        kubelet=_frozen(variables.get("kubelet")),
        kube_proxy=_frozen(variables.get("kube_proxy")),
        kube_scheduler=_frozen(variables.get("kube_scheduler")),
        containerd=_frozen(variables.get("containerd")),
        extra_args=MappingProxyType(
            {
                component: _flags(component, flags, versions)
                for component, flags in variables.get("extra_args", {}).items()
            }
        ),
    )


def _flags(component: str, flags: Mapping[str, FlagText], versions: Mapping[str, str]) -> Mapping[str, FlagText]:
    """Flags as the component's command line takes them."""
    version = versions.get(known_flags.RELEASES.get(component, ""))
    known = (known_flags.flags_of(component, version) if version else None) or {}
    return MappingProxyType({name: known_flags.written(known.get(name), value) for name, value in flags.items()})


def _frozen(mapping: Any) -> Mapping[str, Any]:
    return MappingProxyType(dict(mapping or {}))


def _key(text: str | None, folder: Path) -> Path | None:
    # Links are kept as they are written: where they lead may change between two runs.
    return None if text is None else Path(os.path.normpath(folder.absolute() / Path(text).expanduser()))


def _place(text: str | None, folder: Path) -> Path | Address | None:
    return None if text is None else parse(text) or _key(text, folder)


def cluster(
    inventory: Inventory,
    hosts: tuple[Host, ...],
    versions: Mapping[str, str],
    addons: tuple[Addon, ...],
    registry: RegistrySettings,
    cloud: CloudSettings | None,
    folder: Path,
    api: ApiSettings,
    authorities: Mapping[Authority, OwnAuthority],
) -> Cluster:
    """The cluster of a faultless inventory."""
    keys = inventory.cluster
    templates = folder / "templates"
    return Cluster(
        name=keys.name,
        versions=_frozen(versions),
        hosts=hosts,
        domain=keys.domain,
        pod_cidr=keys.pod_cidr,
        pod_cidr_node_prefix=keys.pod_cidr_node_prefix,
        service_cidr=keys.service_cidr,
        dns_ip=keys.dns_ip or keys.service_cidr[10],
        api_endpoint=keys.api_endpoint,
        api_sans=tuple(dict.fromkeys(keys.api_sans)),
        pki=PkiSettings(**keys.pki.model_dump(exclude={"authority"}), authorities=authorities),
        artifacts=ArtifactSettings(**{**keys.artifacts.model_dump(), "sources": _frozen(keys.artifacts.sources)}),
        registry=registry,
        upgrade=UpgradeSettings(**keys.upgrade.model_dump()),
        backup=BackupSettings(
            to=_place(keys.backup.to, folder),
            sftp=SftpSettings(key=_key(keys.backup.sftp.key, folder), host_key=keys.backup.sftp.host_key),
            s3=S3Settings(
                endpoint=keys.backup.s3.endpoint,
                region=keys.backup.s3.region,
                ca=_key(keys.backup.s3.ca, folder),
                credentials=_key(keys.backup.s3.credentials, folder),
            ),
            recipients=tuple(keys.backup.recipients),
            every=seconds(keys.backup.every) if keys.backup.every else 0,
            folder=keys.backup.folder,
            keep=Keep(**keys.backup.keep.model_dump()),
        ),
        network=NetworkSettings(**{**keys.network.model_dump(), "hosts": keys.network.hosts or ""}),
        kube_proxy_mode=keys.kube_proxy_mode,
        swap=keys.swap,
        allow_cgroup_v1=keys.allow_cgroup_v1,
        preflight_ignore=tuple(keys.preflight_ignore),
        coredns=_frozen(keys.coredns.model_dump()),
        etcd=_frozen(keys.etcd.model_dump()),
        cloud=cloud,
        api=api,
        addons=addons,
        templates_dir=templates if templates.is_dir() else None,
    )
