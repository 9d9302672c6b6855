"""What `kprov probe` stands on: ports that lead to a cluster's servers, the objects it makes, and what etcd has of them.

It counts nothing; it prints nothing.
"""

from __future__ import annotations

import json
import ssl
import threading
import time
from base64 import b64decode
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import Any

from kprov.pki.table import admin_spec
from kprov.plan import probe_objects as made
from kprov.plan.probe_judge import Stored
from kprov.roles.layout import API_PORT, PROXY_PORT
from kprov.run.workspace import Workspace
from kprov.state.credential import client_tls
from kprov.state.store import Store
from kprov.tunnel.client import A, Client, Said, look_up, port_to
from kprov.tunnel.way import Way
from kprov.values.errors import KprovError, TransportError
from kprov.values.events import Note
from kprov.values.model import Host
from kprov.values.paths import BIN

_LIFE = timedelta(hours=1)
_RENEWED = 1800.0  # seconds after which the client has a new certificate
_STARTING = 120.0  # seconds that the pods get
MAPS = f"/api/v1/namespaces/{made.SPACE}/configmaps"
APPLY = "?fieldManager=kprov-probe&force=true"
PATCH = "application/apply-patch+yaml"
_ETCD = (
    f"{BIN}/etcdctl --endpoints=https://127.0.0.1:2379 --cacert=/etc/etcd/pki/ca.crt"
    " --cert=/etc/etcd/pki/healthcheck-client.crt --key=/etc/etcd/pki/healthcheck-client.key"
    f" get --prefix -w json /registry/configmaps/{made.SPACE}/"
)


class _Proof:
    """Who asks: a certificate that is made again in time, and when the cluster's keys in the state folder change."""

    def __init__(self, workspace: Workspace) -> None:
        self._cluster, self._store = workspace.cluster, workspace.store
        self._lock = threading.Lock()
        self._made = -_RENEWED
        self._read = 0
        self._context: ssl.SSLContext | None = None

    def context(self) -> ssl.SSLContext:
        with self._lock:
            changed = (self._store.path / "trust.json").stat().st_mtime_ns
            if self._context is None or changed != self._read or time.monotonic() - self._made > _RENEWED:
                store = Store.open(self._store.path, self._cluster.name, self._store.passphrase, self._store.own)
                self._context = client_tls(store, admin_spec(self._cluster), _LIFE)
                self._made, self._read = time.monotonic(), changed
            return self._context


class Ground:
    """A cluster as the probe reaches it.

    api, proxies: place → a port of this computer that leads to an API server, or to the local proxy of a node. web,
    names: node → a port that leads from there to the probe's Service. since: the revision when all objects were there.
    """

    def __init__(self, workspace: Workspace, stack: ExitStack) -> None:
        """stack: holds the connections. Raises TransportError."""
        self._workspace, self._stack = workspace, stack
        self._proof = _Proof(workspace)
        cluster = workspace.cluster
        self._ways = {host.name: stack.enter_context(_way(workspace, host)) for host in cluster.hosts}
        self.nodes = [host.name for host in cluster.nodes]
        self.asked = f"kubernetes.default.svc.{cluster.domain}"
        self.api = {f"api of {host.name}": self._local(host, API_PORT) for host in cluster.group("control_plane")}
        nodes = cluster.nodes if cluster.api_endpoint is None else ()  # else there is no proxy
        self.proxies = {f"proxy of {host.name}": self._local(host, PROXY_PORT) for host in nodes}
        self.web: dict[str, int] = {}
        self.names: dict[str, int] = {}
        self.since = 0

    def prepare(self) -> None:
        """Make the objects, and wait for the pods. Raises KprovError."""
        client = self.client(next(iter(self.api.values())))
        self._await_end_of_another(client)
        dns = _need(client.ask("GET", "/apis/apps/v1/namespaces/kube-system/deployments/coredns"), "the cluster's DNS")
        image = dns["spec"]["template"]["spec"]["containers"][0]["image"]
        maps = [made.config_map(map_of(place)) for place in (*self.api, *self.proxies)]
        for item in (*made.objects(self._workspace.cluster, image), *maps):
            what = f"{item['kind']} {item['metadata']['name']}"
            there = _need(client.ask("PATCH", path(item) + APPLY, item, PATCH), what)
            self.since = max(self.since, int(there["metadata"]["resourceVersion"]))
        service = self._ready(client)
        client.close()
        self.web = {name: self._port(name, service, made.HTTP) for name in self.nodes}
        self.names = {name: self._port(name, service, made.DNS) for name in self.nodes}
        self._await_service()

    def remove(self) -> None:
        """Take the objects away; what cannot be removed is told."""
        client = self.client(next(iter(self.api.values())))
        for one in (f"/api/v1/namespaces/{made.SPACE}", _BINDING):
            said = client.ask("DELETE", one)
            if said.why not in ("", "HTTP 404"):
                text = f"what the probe made is still there: {one}: {said.why}; delete it, or run the probe again"
                self._workspace.emit(Note(text=text, warning=True))
        client.close()

    def client(self, port: int) -> Client:
        """Return who asks an API server at a port."""
        return Client(port, self._proof.context)

    def stored(self) -> Mapping[str, Stored]:
        """What etcd itself has. Raises TransportError."""
        failures = []
        for host in self._workspace.cluster.group("etcd"):
            session = self._workspace.transport.connect(host)
            try:
                result = session.execute(_ETCD, timeout=30.0)
            finally:
                session.close()
            if result.status == 0:
                return _stored(json.loads(result.stdout))
            failures.append(f"{host.name}: {result.stderr.decode(errors='replace')[:200]}")
        raise TransportError("no etcd member says what it has", found="; ".join(failures), todo="see `kprov status`")

    def _local(self, host: Host, number: int) -> int:
        return self._port(host.name, "127.0.0.1", number)

    def _port(self, host: str, address: str, number: int) -> int:
        return self._stack.enter_context(port_to(self._ways[host], address, number))

    def _await_end_of_another(self, client: Client) -> None:
        """Return once a namespace that an earlier probe deleted is gone: it takes along what is made in it."""
        ends = time.monotonic() + _STARTING
        while True:
            said = client.ask("GET", f"/api/v1/namespaces/{made.SPACE}")
            if said.why or "deletionTimestamp" not in said.body["metadata"]:
                return
            if time.monotonic() > ends:
                raise KprovError(
                    "the namespace of an earlier probe is still ending",
                    where=f"Namespace {made.SPACE}",
                    found=f"it has not gone within {_STARTING:g} s",
                    todo=f"look at `kubectl get namespace {made.SPACE} -o yaml`, which says what keeps it",
                )
            time.sleep(1)

    def _ready(self, client: Client) -> str:
        """Return the Service's address once both pods are ready. Raises KprovError."""
        ends = time.monotonic() + _STARTING
        path = f"/apis/apps/v1/namespaces/{made.SPACE}/deployments/{made.NAME}"
        while True:
            there = _need(client.ask("GET", path), "the probe's Deployment")
            if there.get("status", {}).get("readyReplicas", 0) == 2:
                service = _need(
                    client.ask("GET", f"/api/v1/namespaces/{made.SPACE}/services/{made.NAME}"), "its Service"
                )
                return str(service["spec"]["clusterIP"])
            if time.monotonic() > ends:
                raise KprovError(
                    "the probe's pods do not become ready",
                    where=f"Deployment {made.SPACE}/{made.NAME}",
                    found=f"{there.get('status', {}).get('readyReplicas', 0)} of 2 after {_STARTING:g} s",
                    todo=f"look at `kubectl -n {made.SPACE} describe pods`",
                )
            time.sleep(1)

    def _await_service(self) -> None:
        """Return once the Service and its names answer from every node. Raises KprovError."""
        ends = time.monotonic() + _STARTING
        for name, port in self.web.items():
            while True:
                said = Client(port).ask("GET", "/health")
                said = said if said.why else look_up(self.names[name], self.asked, A)
                if not said.why:
                    break
                if time.monotonic() > ends:
                    raise KprovError("the probe's Service does not answer", where=f"from {name}", found=said.why)
                time.sleep(0.5)


@contextmanager
def _way(workspace: Workspace, host: Host) -> Iterator[Way]:
    way = Way(workspace.transport, [host], lambda _: None)
    way.settle(lambda _: None)  # a host that cannot be reached is told before anything is made
    try:
        yield way
    finally:
        way.close()


_BINDING = f"/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/{made.SPACE}"
_PLURALS = {"apps/v1": "deployments", "policy/v1": "poddisruptionbudgets"}


def path(item: Mapping[str, Any]) -> str:
    version, kind, name = item["apiVersion"], item["kind"], item["metadata"]["name"]
    if kind == "Namespace":
        return f"/api/v1/namespaces/{name}"
    if kind == "ClusterRoleBinding":
        return _BINDING
    base = "/api/v1" if version == "v1" else f"/apis/{version}"
    return f"{base}/namespaces/{made.SPACE}/{_PLURALS.get(version, kind.lower() + 's')}/{name}"


def map_of(place: str) -> str:
    """Return the ConfigMap that is written from a place."""
    return place.replace(" of ", "-")


def _stored(answer: Mapping[str, Any]) -> dict[str, Stored]:
    return {
        b64decode(row["key"]).decode().rpartition("/")[2]: Stored(version=row["version"], revision=row["mod_revision"])
        for row in answer.get("kvs", ())
    }


def _need(said: Said, what: str) -> Any:
    if said.why:
        raise KprovError(
            "the probe cannot make what it asks",
            where=what,
            found=said.why,
            needed="a cluster that answers, and no namespace of an earlier probe that is still ending",
            todo="look at `kprov status`, then run the same command again",
        )
    return said.body
