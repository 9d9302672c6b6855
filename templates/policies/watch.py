"""What the API server tells of pods, namespaces and policies, kept as small values: a list once, then what changes.

It only reads, and decides nothing. It runs on hosts, by the Python of their distribution: 3.6 and later.
"""

import http.client
import json
import ssl
import sys
import threading
import time
import urllib.parse
from typing import Any, Callable, Dict, Iterator, Optional, Tuple

from labels import Key, Labels, Pod, Policy

PODS = "/api/v1/pods"
NAMESPACES = "/api/v1/namespaces"
POLICIES = "/apis/networking.k8s.io/v1/networkpolicies"
_PAGE = 500
_WATCH = 300  # seconds of one watch: after them the certificate is read again
_SILENCE = 100  # seconds: the server says something once a minute, so that one that is silent for longer is gone
_LONGEST_PAUSE = 5.0

# The cluster's CA is trusted though it may not have signed itself: OpenSSL's number, for Python before 3.10.
_PARTIAL_CHAIN = 0x80000


class Stale(Exception):
    """The server no longer knows what came after what is known here: the list begins again."""


class Server:
    """Where the API is, and who asks. Certificates are read for each connection, so that a renewed one needs no restart."""

    def __init__(self, url: str, ca: str, certificate: str, key: str) -> None:
        self._where = urllib.parse.urlsplit(url)
        self._ca, self._certificate, self._key = ca, certificate, key

    def connect(self) -> http.client.HTTPSConnection:
        context = ssl.create_default_context(cafile=self._ca)
        context.verify_flags |= _PARTIAL_CHAIN
        context.load_cert_chain(self._certificate, self._key)
        host, port = self._where.hostname or "", self._where.port or 443
        return http.client.HTTPSConnection(host, port, timeout=_SILENCE, context=context)


class Store(threading.Thread):
    """One kind of object, kept as `keep` makes it; what that makes None of is not kept. Each change is told to `changed`."""

    def __init__(
        self,
        server: Server,
        path: str,
        keep: "Callable[[Dict[str, Any]], Optional[Any]]",
        changed: "Callable[[], None]",
    ) -> None:
        super().__init__(daemon=True, name=path)
        self.path = path
        self.listed = threading.Event()
        self.connected = False
        self._server, self._keep, self._changed = server, keep, changed
        self._items: "Dict[Key, Any]" = {}
        self._said = ""

    def items(self) -> "Dict[Key, Any]":
        """Return what there is now: a copy."""
        return dict(self._items)

    def run(self) -> None:
        """Ask for as long as the process lives."""
        pause = 0.25
        while True:
            began = time.monotonic()
            try:
                self._follow()
            except (OSError, http.client.HTTPException, ValueError, KeyError, Stale) as error:
                self._tell("%s: %s" % (type(error).__name__, error))
            self.connected = False
            pause = 0.25 if time.monotonic() - began > 10 else min(2 * pause, _LONGEST_PAUSE)
            time.sleep(pause)

    def _tell(self, what: str) -> None:
        if what != self._said:
            print("%s cannot be read: %s; what was known stays" % (self.path, what), file=sys.stderr, flush=True)
        self._said = what

    def _follow(self) -> None:
        connection = self._server.connect()
        try:
            version = self._list(connection)
            self.connected, self._said = True, ""
            while True:
                for kind, item in _events(connection, self.path, version):
                    version = item["metadata"]["resourceVersion"]
                    self.take(kind, item)
                connection.close()  # it reads the certificate again
                connection = self._server.connect()
        finally:
            connection.close()

    def _list(self, connection: http.client.HTTPSConnection) -> str:
        found: "Dict[Key, Any]" = {}
        more = ""
        while True:
            page = _asked(connection, "%s?limit=%d&continue=%s" % (self.path, _PAGE, urllib.parse.quote(more)))
            for item in page.get("items") or ():
                kept = self._keep(item)
                if kept is not None:
                    found[_key(item)] = kept
            more = page["metadata"].get("continue") or ""
            if not more:
                break
        differs = found != self._items or not self.listed.is_set()
        self._items = found
        self.listed.set()
        if differs:
            self._changed()
        return str(page["metadata"]["resourceVersion"])

    def take(self, kind: str, item: "Dict[str, Any]") -> None:
        """Keep what one event says."""
        if kind == "BOOKMARK":
            return
        kept = None if kind == "DELETED" else self._keep(item)
        before = self._items.get(_key(item))
        if kept == before:
            return
        items = dict(self._items)
        if kept is None:
            del items[_key(item)]
        else:
            items[_key(item)] = kept
        self._items = items
        self._changed()


def _events(connection: http.client.HTTPSConnection, path: str, version: str) -> "Iterator[Tuple[str, Dict[str, Any]]]":
    question = "watch=1&allowWatchBookmarks=true&timeoutSeconds=%d&resourceVersion=%s" % (_WATCH, version)
    connection.request("GET", "%s?%s" % (path, question), headers={"Accept": "application/json"})
    answer = connection.getresponse()
    if answer.status != 200:
        raise _refusal(answer)
    while True:
        line = answer.readline()
        if not line:
            return
        event = json.loads(line.decode())
        if event["type"] == "ERROR":
            raise Stale(event["object"].get("message") or "the watch ended")
        yield event["type"], event["object"]


def _asked(connection: http.client.HTTPSConnection, path: str) -> "Dict[str, Any]":
    connection.request("GET", path, headers={"Accept": "application/json"})
    answer = connection.getresponse()
    if answer.status != 200:
        raise _refusal(answer)
    page: "Dict[str, Any]" = json.loads(answer.read().decode())
    return page


def _refusal(answer: http.client.HTTPResponse) -> Exception:
    said = answer.read().decode(errors="replace")
    try:
        said = json.loads(said).get("message") or said
    except (ValueError, AttributeError):
        pass
    return Stale("%d %s" % (answer.status, said[:300]))


def _key(item: "Dict[str, Any]") -> Key:
    return item["metadata"].get("namespace") or "", item["metadata"]["name"]


def pod(item: "Dict[str, Any]") -> "Optional[Pod]":
    """Keep a pod that has a node and runs, or will: one on its host's network has no address of its own."""
    spec, status = item["spec"], item.get("status") or {}
    if spec.get("hostNetwork") or not spec.get("nodeName") or status.get("phase") in ("Succeeded", "Failed"):
        return None
    told = [each["ip"] for each in status.get("podIPs") or () if "." in each["ip"]]
    lasting = [each for each in spec.get("initContainers") or () if each.get("restartPolicy") == "Always"]
    ports = tuple(
        (port["name"], port.get("protocol") or "TCP", port["containerPort"])
        for container in list(spec["containers"]) + lasting
        for port in container.get("ports") or ()
        if port.get("name")
    )
    space, name = _key(item)
    return Pod(space, name, spec["nodeName"], told[0] if told else "", item["metadata"].get("labels") or {}, ports)


def namespace(item: "Dict[str, Any]") -> "Optional[Labels]":
    """Keep a namespace's labels."""
    return item["metadata"].get("labels") or {}


def policy(item: "Dict[str, Any]") -> "Optional[Policy]":
    """Keep a policy. One that does not say which ways it isolates means ingress, and egress where it has rules for it."""
    spec = item["spec"]
    types = spec.get("policyTypes") or (["Ingress", "Egress"] if spec.get("egress") else ["Ingress"])
    space, name = _key(item)
    return Policy(
        space,
        name,
        spec.get("podSelector") or {},
        (spec.get("ingress") or []) if "Ingress" in types else None,
        (spec.get("egress") or []) if "Egress" in types else None,
    )
