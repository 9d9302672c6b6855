"""Enforces NetworkPolicies on this node: asks the API for them and for pods, and keeps the kernel's rules as they say.

Usage: python3 /opt/kprov/policies keep | close | stop
The settings are in /etc/kprov/policies.json. A node whose rules are in place keeps them while this program is away, and
whatever it is that goes wrong; what is new meanwhile is closed. It runs by the distribution's Python, 3.6 and later.
"""

import http.server
import json
import os
import subprocess
import sys
import threading
import time
from typing import Any, Dict, FrozenSet, List, Optional

import kubelets
from labels import Pod
from node import Given, Refused, dropped, joined, load, present
from rules import Rules, closed
from table import NOTHING, TABLE, Node, Table, difference, gone, whole
from watch import NAMESPACES, PODS, POLICIES, Server, Store, namespace, pod, policy

SETTINGS = "/etc/kprov/policies.json"
MARK = "/var/lib/kprov-policies/closed"  # is there while there are policies: after a boot the node's pods begin closed
UNIT = "kprov-policies.service"
_TOGETHER = 0.05  # seconds: changes that come at once are one
_LOOK = 15  # seconds between looks at the table
_SIX = "/proc/net/if_inet6"  # is there where the kernel has IPv6


class Engine:
    """The loop between what is known and what the kernel holds, and what it tells of itself."""

    def __init__(self, settings: "Dict[str, Any]") -> None:
        self.node = node_of(settings)
        self._rules = Rules(self.node)
        server = Server(settings["server"], settings["ca"], settings["certificate"], settings["key"])
        self._woken = threading.Event()
        self.given = Given(self._woken.set, settings["given"])
        self.pods = Store(server, PODS, pod, self._woken.set)
        self.spaces = Store(server, NAMESPACES, namespace, self._woken.set)
        self.policies = Store(server, POLICIES, policy, self._woken.set)
        self.trouble = "nothing was learned from the API server yet"
        self._held: "Optional[Table]" = None  # what the kernel has, where it is known
        self._settings = settings
        self._kubelets = kubelets_of(settings)
        self._readers: "Optional[FrozenSet[str]]" = None  # as the kernel has them
        self.applied, self.seconds = 0, 0.0
        self._seen: "Dict[str, int]" = {}

    @property
    def stores(self) -> "List[Store]":
        return [self.pods, self.spaces, self.policies]

    def run(self) -> None:
        """Never return."""
        for thread in [self.given, *self.stores]:
            thread.start()
        for store in self.stores:
            store.listed.wait()
        looked = time.monotonic()
        while True:
            self.bring()
            if self._woken.wait(max(0.0, looked + _LOOK - time.monotonic())):
                time.sleep(_TOGETHER)
                self._woken.clear()
            if time.monotonic() >= looked + _LOOK:  # also where there is always something that changes
                looked = time.monotonic()
                self.look()

    def look(self) -> None:
        """Look whether the rules are still there, so that they are written again where somebody flushed them.

        And which hosts there are: one that joins restarts nothing here.
        """
        now = kubelets_of(self._settings)
        if now != self._kubelets:
            self._kubelets, self._readers = now, None
        rules = self._held not in (None, NOTHING) and not present(TABLE)
        door = self._readers is not None and not present(kubelets.TABLE)
        if rules or door:
            _tell("the rules are gone: something flushed the firewall; they are written again")
            self._held = None if rules else self._held
            self._readers = None if door else self._readers

    def bring(self) -> None:
        """Bring the kernel to what is known. What nft refuses changes nothing, and is tried again."""
        pods = joined(self.node.name, list(self.pods.items().values()), self.given.addresses())
        try:
            self._let_in(pods)
            self._enforce(pods)
        except (Refused, OSError, subprocess.SubprocessError) as error:
            if self.trouble != str(error):
                _tell("nft does not take the rules, and those of before stay: %s" % error)
            self.trouble = str(error)
            return
        self.trouble = ""

    def _let_in(self, pods: "List[Pod]") -> None:
        readers = kubelets.reading(self._kubelets, self.node, pods)
        if self._kubelets.readers and readers != self._readers:
            load(kubelets.whole(self._kubelets, self.node, readers))
            self._readers = readers

    def _enforce(self, pods: "List[Pod]") -> None:
        spaces = {name: labels for (_, name), labels in self.spaces.items().items()}
        policies = self.policies.items().values()
        desired = self._rules.know(pods, spaces, policies)
        if desired == self._held:
            return
        began = time.monotonic()
        if policies:
            _mark()
        self._load(desired)
        if not policies:
            _unmark()
        self._held = desired
        self.applied += 1
        self.seconds += time.monotonic() - began

    def _load(self, desired: Table) -> None:
        """Say what changes; the whole where that is not known, begins or ends, or where the kernel holds something else."""
        if self._held not in (None, NOTHING) and desired != NOTHING:
            try:
                load(difference(self._held, desired))
                return
            except Refused:
                self._held = None
        for name, packets in dropped().items():  # a new table begins to count at nothing
            self._seen[name] = self._seen.get(name, 0) + packets
        load(whole(self.node, desired))

    def metrics(self) -> str:
        """Return what is told at /metrics."""
        lines = [
            _metric(
                "ready", "gauge", "Whether the rules in the kernel are those of the policies.", int(not self.trouble)
            ),
            _metric("policies", "gauge", "NetworkPolicies in the cluster.", len(self.policies.items())),
            _metric("applied_total", "counter", "Times that rules were put into the kernel.", self.applied),
            _metric("applying_seconds_total", "counter", "Seconds that this took.", self.seconds),
        ]
        connected = {'{resource="%s"}' % each.path.rsplit("/", 1)[1]: int(each.connected) for each in self.stores}
        lines.append(_metric("connected", "gauge", "Whether the API server tells of changes.", connected))
        now = dropped()
        packets = {
            '{reason="%s"}' % name: self._seen.get(name, 0) + now.get(name, 0)
            for name in ("ingress", "egress", "unknown")
        }
        lines.append(_metric("dropped_packets_total", "counter", "Packets that no policy allows.", packets))
        return "".join(lines)


def _metric(name: str, kind: str, about: str, value: "Any") -> str:
    name = "kprov_policies_" + name
    rows = value if isinstance(value, dict) else {"": value}
    head = "# HELP %s %s\n# TYPE %s %s\n" % (name, about, name, kind)
    return head + "".join("%s%s %s\n" % (name, labels, rows[labels]) for labels in sorted(rows))


def node_of(settings: "Dict[str, Any]") -> Node:
    """Return where the rules stand: what kprov says, and what the kernel has."""
    given = (settings["node"], settings["own"], settings["cache"], settings["bridge"])
    return Node(*given, six=os.path.exists(_SIX))


def kubelets_of(settings: "Dict[str, Any]") -> kubelets.Kubelets:
    """Return who reads kubelets, and where hosts are by now."""
    try:
        with open(settings["network"]) as opened:
            return kubelets.of_settings(settings["kubelets"], opened.read())
    except OSError:
        return kubelets.of_settings(settings["kubelets"], "")


def answering(engine: Engine) -> "type[http.server.BaseHTTPRequestHandler]":
    """Return what answers at /healthz and /metrics."""

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/healthz":
                self._say(503 if engine.trouble else 200, engine.trouble or "ok")
            elif self.path == "/metrics":
                self._say(200, engine.metrics())
            else:
                self._say(404, "only /healthz and /metrics")

        def _say(self, status: int, text: str) -> None:
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: "Any") -> None:
            pass

    return Answers


def keep(settings: "Dict[str, Any]") -> None:
    """Enforce for as long as the process lives."""
    engine = Engine(settings)
    server = http.server.HTTPServer(("127.0.0.1", settings["port"]), answering(engine))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    engine.run()


def close(settings: "Dict[str, Any]") -> None:
    """Close the node's pods after a boot, when there were policies before it, and kubelets: until all is known again."""
    node = node_of(settings)
    if os.path.exists(MARK) and not present(TABLE):
        load(whole(node, closed(node)))
    door = kubelets_of(settings)
    if bool(door.readers) != present(kubelets.TABLE):
        load(kubelets.whole(door, node, frozenset()))


def stop(settings: "Dict[str, Any]") -> None:
    """Take the rules away when enforcing ends: not when it starts again a moment later, nor when the machine stops."""
    jobs = _said("systemctl", "list-jobs", "--no-legend", UNIT)
    if " stop " in " %s " % " ".join(jobs.split()) and _said("systemctl", "is-system-running").strip() != "stopping":
        node = node_of(settings)
        load(gone(node) + kubelets.gone(node))
        _unmark()


def _said(*command: str) -> str:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, universal_newlines=True)
    return done.stdout


def _tell(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def _mark() -> None:
    with open(MARK, "w"):
        pass


def _unmark() -> None:
    if os.path.exists(MARK):
        os.unlink(MARK)


def main() -> int:
    """Do what the one argument says."""
    actions = {"keep": keep, "close": close, "stop": stop}
    if len(sys.argv) != 2 or sys.argv[1] not in actions:
        print(__doc__, file=sys.stderr)
        return 2
    with open(SETTINGS) as opened:
        settings = json.load(opened)
    actions[sys.argv[1]](settings)
    return 0


if __name__ == "__main__":
    sys.exit(main())
