"""What this node itself knows and holds: addresses that its runtime has given to pods, and the table in its kernel.

It runs on hosts, by the Python of their distribution: 3.6 and later.
"""

import ctypes
import json
import os
import subprocess
import threading
import time
from typing import Any, Callable, Dict, Iterable, List, Tuple

from labels import Key, Pod
from table import COUNTERS, TABLE

_INOTIFY_EVENTS = 0x00000008 | 0x00000080 | 0x00000200  # closed after writing, moved to here, deleted


class Given(threading.Thread):
    """Who has which address on this node, from the moment it is given: before the first container of the pod starts.

    folder: where libcni, which every runtime uses, writes it.
    """

    def __init__(self, changed: "Callable[[], None]", folder: str) -> None:
        super().__init__(daemon=True, name="addresses")
        self._changed, self._folder = changed, folder
        self._read: "Dict[Tuple[str, int], Tuple[Key, str]]" = {}

    def run(self) -> None:
        """Say each change; where the folder is not there yet, there are no pods."""
        while True:
            handle = _listening(self._folder)
            self._changed()
            if handle < 0:
                time.sleep(1)
                continue
            while os.read(handle, 65536):
                self._changed()

    def addresses(self) -> "Dict[Key, str]":
        """Return namespace and name → address. Each file is read once; of two of one pod the later counts."""
        found: "Dict[Tuple[str, int], Tuple[Key, str]]" = {}
        try:
            entries = list(os.scandir(self._folder))
        except OSError:
            entries = []
        for entry in sorted(entries, key=lambda entry: _written(entry)):
            file = (entry.name, _written(entry))
            if file in self._read:
                found[file] = self._read[file]
                continue
            try:
                with open(entry.path) as opened:
                    found[file] = pod_of(json.load(opened))
            except (OSError, ValueError, KeyError, TypeError, StopIteration):
                continue  # gone, half written, or of somebody else's network
        self._read = found
        return dict(found.values())


def _written(entry: "os.DirEntry[str]") -> int:
    try:
        return entry.stat().st_mtime_ns
    except OSError:
        return 0


def _listening(folder: str) -> int:
    """Return a descriptor that can be read when something in the folder changes; -1 where it cannot be had."""
    library = ctypes.CDLL(None, use_errno=True)
    handle = library.inotify_init1(os.O_CLOEXEC)
    if handle >= 0 and library.inotify_add_watch(handle, folder.encode(), _INOTIFY_EVENTS) < 0:
        os.close(handle)
        return -1
    return int(handle)


def pod_of(document: "Dict[str, Any]") -> "Tuple[Key, str]":
    """Return whose address one file of libcni's tells, and the address. Raises where it tells of no pod."""
    if document["ifName"] == "lo":  # runtimes give each pod its loopback by a network of its own
        raise KeyError("lo")
    words = dict(document["cniArgs"])
    address = next(each["address"] for each in document["result"]["ips"] if "." in each["address"])
    return (words["K8S_POD_NAMESPACE"], words["K8S_POD_NAME"]), address.split("/")[0]


def joined(node: str, pods: "Iterable[Pod]", given: "Dict[Key, str]") -> "List[Pod]":
    """Return the pods that have an address: on this node the one its runtime gave counts before the one the API tells."""
    own = set(given.values())
    result: "List[Pod]" = []
    for pod in pods:
        here = pod.node == node
        address = given.get((pod.space, pod.name), "") if here else ""
        if not address and not (here and pod.address in own):  # an address that somebody else has by now
            address = pod.address
        if address:
            result.append(pod._replace(address=address))
    return result


class Refused(Exception):
    """nft took nothing of it; the table is as it was."""


def load(text: str) -> None:
    """Put the table in place, whole or not at all. Raises Refused."""
    done = _nft(["-f", "-"], text)
    if done.returncode:
        raise Refused(done.stderr.strip()[:1000])


def present(table: str) -> bool:
    """Say whether a table is there: others flush all there is."""
    return _nft(["list", "chain", "ip", table, "forward"], "").returncode == 0


def dropped() -> "Dict[str, int]":
    """Return how many packets each counter of the table has seen; none where it is not there."""
    done = _nft(["-j", "list", "counters", "table", "ip", TABLE], "")
    if done.returncode:
        return {}
    listed = json.loads(done.stdout).get("nftables") or []
    counters = [each["counter"] for each in listed if "counter" in each]
    return {each["name"]: each["packets"] for each in counters if each["name"] in COUNTERS}


def _nft(arguments: "List[str]", text: str) -> "subprocess.CompletedProcess[str]":
    pipe = subprocess.PIPE
    return subprocess.run(
        ["nft", *arguments], input=text, stdout=pipe, stderr=pipe, universal_newlines=True, timeout=60
    )
