"""The machines under check: their sessions, addresses and API, and the operator's trust. It changes nothing on them."""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from datetime import timedelta
from functools import cached_property
from typing import Any

import testinfra.host

from kprov.pki.table import admin_spec
from kprov.state.credential import client_tls
from kprov.state.store import Store
from kprov.testinfra import wire
from kprov.testinfra.backend import KprovBackend
from kprov.transport import Session, Transport, connect_many
from kprov.values.certificate import Authority
from kprov.values.errors import TransportError
from kprov.values.model import Cluster, Host

ADMIN_LIFE = timedelta(minutes=30)
API_NAME = "kubernetes"  # a name that every API server's certificate has


class Fleet:
    """One run's machines. `close` ends all connections."""

    def __init__(self, cluster: Cluster, store: Store, transport: Transport) -> None:
        self.cluster = cluster
        self.store = store
        self._answers = connect_many(transport, cluster.hosts)
        self._hosts: dict[str, testinfra.host.Host] = {}
        self._node_ips: dict[str, str] = {}
        self._objects: dict[str, Any] = {}

    def close(self) -> None:
        for answer in self._answers.values():
            if not isinstance(answer, TransportError):
                answer.close()

    def session(self, name: str) -> Session:
        """Raises TransportError when the host was not reached."""
        answer = self._answers[name]
        if isinstance(answer, TransportError):
            raise answer
        return answer

    def host(self, name: str) -> testinfra.host.Host:
        """testinfra's view of a host. Raises TransportError when it was not reached."""
        if name not in self._hosts:
            backend = KprovBackend(self.session(name))
            self._hosts[name] = testinfra.host.Host(backend)
            backend.set_host(self._hosts[name])
        return self._hosts[name]

    def node_ip(self, name: str) -> str:
        """The address of a host, as the machine itself tells it. Raises TransportError."""
        if name not in self._node_ips:
            self._node_ips[name] = node_ip(
                self.cluster.host(name),
                self.host(name).check_output("ip -o -4 addr show"),
                self.host(name).run("ip -4 route get 203.0.113.1").stdout,
            )
        return self._node_ips[name]

    def trusting(self, authority: Authority) -> ssl.SSLContext:
        """TLS that trusts one of the cluster's CAs and shows no certificate of its own."""
        context = ssl.create_default_context(cadata=self.store.ca[authority].decode("ascii"))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context

    @cached_property
    def admin(self) -> ssl.SSLContext:
        """TLS as an administrator, for half an hour; the key stays on this machine and in memory."""
        return client_tls(self.store, admin_spec(self.cluster, days=1), ADMIN_LIFE)

    def ask_api(self, host: str, path: str) -> wire.Answer:
        """A GET as administrator of the API server on one control plane. Raises WireError, TransportError."""
        return wire.get_tls(self.session(host), "127.0.0.1", 6443, path, self.admin, API_NAME)

    def objects(self, path: str, *, fresh: bool = False) -> Any:
        """A GET of the API at whichever control plane answers first; the parsed JSON. Asked once unless `fresh`."""
        if fresh or path not in self._objects:
            self._objects[path] = self._first_answer(path)
        return self._objects[path]

    def _first_answer(self, path: str) -> Any:
        failures = []
        for host in self.cluster.group("control_plane"):
            try:
                answer = self.ask_api(host.name, path)
            except (wire.WireError, TransportError) as error:
                failures.append(f"{host.name}: {error}")
                continue
            if answer.status == 200:
                return json.loads(answer.body)
            failures.append(f"{host.name}: status {answer.status} for {path}")
        raise AssertionError("no API server answers: " + "; ".join(failures))

    @property
    def nodes(self) -> Mapping[str, Any]:
        """Node objects by name."""
        return {item["metadata"]["name"]: item for item in self.objects("/api/v1/nodes")["items"]}


def node_ip(host: Host, shown: str, route: str) -> str:
    """The address others know a host by: the inventory's, else the one it was reached at, else the default route's.

    shown, route: what `ip -o -4 addr show` and `ip -4 route get` print.
    """
    if host.node_ip is not None:
        return str(host.node_ip)
    owned = {line.split()[3].split("/")[0] for line in shown.splitlines() if len(line.split()) > 3}
    address = host.connection.address
    if address in owned and not address.startswith("127."):
        return address
    words = route.split()
    if "src" not in words:
        raise AssertionError(f"{host.name} has neither the address {address} nor a default route")
    return words[words.index("src") + 1]
