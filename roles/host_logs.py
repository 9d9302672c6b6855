"""What hosts themselves log, for the add-on `logging`: vlagent as a unit on every host, also where no kubelet runs.

kprov's units are read from the journal, and the API server's audit log where it was asked for; what pods write is
collected by a DaemonSet of the add-on. The collector can write to the store and read nothing of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from kprov.addon.render import password
from kprov.roles.api_server import AUDIT_LOGS
from kprov.roles.documents import arguments
from kprov.roles.layout import credential, program
from kprov.roles.stores import store_folder
from kprov.roles.templating import render, render_script
from kprov.values import components
from kprov.values.addon import Addon
from kprov.values.context import Context
from kprov.values.paths import BIN
from kprov.values.resources import Directory, File, Gate, Resource, Unit, User

ADDON = "logging"
USER = "kprov-logging"
INTAKE_USER = "collector"  # a user, and the name of its password, in addons/logging
INTAKE_PORT = 9427
# The journal is asked for the units of all components, whether this host has them or not, and for no others.
UNITS = tuple(component.unit for component in components.COMPONENTS)
_SETTINGS = "/etc/kprov-logging"
_CA = f"{_SETTINGS}/ca.crt"
_NAMES = {True: f"{_SETTINGS}/resolv.conf", False: f"{_SETTINGS}/hosts"}  # by whether the host is a node
_PASSWORD = f"{_SETTINGS}/password"
_SCRIPT = f"{BIN}/kprov-journal"
_DATA = "/var/lib/kprov-logging"
_JOURNAL = f"{_DATA}/journal"
_STATE = f"{_DATA}/host"
_STORE = "/var/lib/kprov-logging-store"
_COLLECTOR = components.LOGS.name


def resources(ctx: Context) -> Iterable[Resource]:
    addon = ctx.cluster.addon(ADDON)
    if addon is None:
        return
    user = ctx.cluster.templates_dir
    yield User(name=USER)
    yield Directory(path=_DATA)
    yield Directory(path=_JOURNAL, owner=USER, group=USER, mode=0o700, purge=True)
    yield Directory(path=_STATE, owner=USER, group=USER, mode=0o700, purge=True)
    yield from store_folder(ctx.cluster, addon, ctx.host.name, _STORE)
    yield Directory(path=_SETTINGS)
    yield File(path=_CA, content=ctx.trust.bundle["kubernetes"])
    yield File(path=_NAMES[ctx.host.is_node], content=_names(ctx))
    secret = password(ctx.trust.encryption_key, ADDON, INTAKE_USER, addon.password_generation).reveal()
    yield File(path=_PASSWORD, content=secret.encode(), mode=0o600, secret=True)
    yield render_script(user, "host_logs/kprov-journal.sh", _SCRIPT)
    yield program(ctx, "vlagent")
    yield _journal(ctx)
    yield _collector(ctx, addon)


def _intake(ctx: Context) -> str:
    return f"logs-intake.{ADDON}.svc.{ctx.cluster.domain}"


def _names(ctx: Context) -> bytes:
    """How the unit, and nothing else on this host, finds the store: the cluster's DNS, or the nodes by their address.

    The name stays the same while addresses change: what waits to be sent is kept by URL.
    """
    if ctx.host.is_node:
        return f"nameserver {ctx.cluster.dns_ip}\noptions timeout:2 attempts:3\n".encode()
    addresses = [ctx.facts.node_ip(host) for host in ctx.cluster.group("control_plane")]
    return "".join(f"{address} {_intake(ctx)}\n" for address in addresses).encode()


def _journal(ctx: Context) -> Unit:
    return Unit(
        name=components.JOURNAL.unit,
        content=render(
            ctx.cluster.templates_dir,
            "host_logs/kprov-journal.service.j2",
            user=USER,
            script=_SCRIPT,
            folder=_JOURNAL,
            units=UNITS,
        ),
        reads=frozenset({_SCRIPT}),
        gates=(Gate(kind="active", argument=components.JOURNAL.unit),),
    )


def _collector(ctx: Context, addon: Addon) -> Unit:
    audit = bool(addon.parameters["audit"]) and ctx.host.in_group("control_plane")
    names = _NAMES[ctx.host.is_node]
    return Unit(
        name=components.LOGS.unit,
        content=render(
            ctx.cluster.templates_dir,
            "host_logs/kprov-logs.service.j2",
            user=USER,
            bin=BIN,
            settings=_SETTINGS,
            names=names,
            names_target=f"/etc/{names.rsplit('/', 1)[1]}",
            password=_PASSWORD,
            journal=_JOURNAL,
            state=_STATE,
            audit=AUDIT_LOGS if audit else "",
            arguments=(*arguments(_flags(ctx, addon), {}), *_sources(ctx, audit=audit)),
        ),
        reads=frozenset({f"{BIN}/vlagent", _CA, names, _PASSWORD}),
        gates=(Gate(kind="active", argument=components.LOGS.unit),),
    )


def _flags(ctx: Context, addon: Addon) -> dict[str, str]:
    # The addresses of Services can be reached from nodes only: the add-on opens a port on nodes for other hosts.
    port = INTAKE_PORT if ctx.host.is_node else addon.parameters["node_port"]
    return {
        "httpListenAddr": "",  # it only reads files
        "remoteWrite.url": f"https://{_intake(ctx)}:{port}/insert/native",
        "remoteWrite.tlsCAFile": _CA,
        "remoteWrite.basicAuth.username": INTAKE_USER,
        "remoteWrite.basicAuth.passwordFile": credential(_COLLECTOR, "password"),
        "remoteWrite.maxDiskUsagePerURL": f"{addon.parameters['buffer']}B",
        "remoteWrite.retryMaxTime": "10s",
        "remoteWrite.queues": "1",
        "remoteWrite.maxBlockSize": "1MiB",
        "memory.allowedBytes": "16MiB",
        "tmpDataPath": _STATE,
        "fileCollector.fileField": "",
        "fileCollector.hostnameField": "",
        "fileCollector.streamFields": "host,log,_SYSTEMD_UNIT",
        "fileCollector.msgField": "MESSAGE,requestURI",
        "fileCollector.timeField": "__REALTIME_TIMESTAMP,stageTimestamp",
        "fileCollector.ignoreFields": "__CURSOR,__MONOTONIC_TIMESTAMP,kind,apiVersion",
    }


def _sources(ctx: Context, *, audit: bool) -> Iterable[str]:
    """A glob for each kind of file, with what is told of the lines in it."""
    globs = {"units": f"{_JOURNAL}/*.json", **({"audit": f"{AUDIT_LOGS}/audit.log"} if audit else {})}
    for log, glob in globs.items():
        yield f"--fileCollector.glob={glob}"
        yield f"--fileCollector.extraFields={json.dumps({'host': ctx.host.name, 'log': log})}"
