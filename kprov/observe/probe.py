"""The questions that a host is asked, and the program that answers them. Values and text only; it asks nobody.

The program (scripts/probe) changes nothing on a host. It is constant text: questions travel as data on its standard input.
"""

from __future__ import annotations

import base64
import gzip
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from kprov.observe import scripts
from kprov.observe.living import TEXTS
from kprov.values.components import COMPONENTS
from kprov.values.paths import NETWORK_HOSTS, NETWORK_MODE, POD_CIDRS
from kprov.values.resources import Key

Query = tuple[str, ...]  # kind, name, more

# Without gzip the shell would be given nothing, and say nothing.
PROBE_COMMAND = "command -v gzip > /dev/null || { echo 'gzip: not found' >&2; exit 127; }; gzip -dc | sh -s"
_ALWAYS: tuple[Query, ...] = tuple(("text", path) for path in (POD_CIDRS, NETWORK_MODE, NETWORK_HOSTS, *TEXTS))


@dataclass(frozen=True, kw_only=True)
class Question:
    """What one host is asked besides what its ledger names.

    keys: things to look at. kubeconfig: a short-lived credential for the host that also lists Kubernetes objects
    (selector and kinds as kubectl takes them). urls: whether the host can reach them. names: those it is
    to resolve. knocks: addresses and ports of other hosts that it is to connect to. texts: files to show.
    programs: those whose running version is asked; their units have the same name. facts: about the machine, which may
    be known from a moment ago. kms: what the host's API server says of its KMS, asked with that credential.
    status: versions and health.
    locked: the run lock is ours, so that nobody has to be told who holds it.
    """

    keys: Sequence[Key] = ()
    kubeconfig: bytes = b""
    selector: str = ""
    kinds: str = ""
    urls: Sequence[str] = ()
    names: Sequence[str] = ()
    knocks: Sequence[tuple[str, int]] = ()
    texts: Sequence[str] = ()
    programs: Sequence[str] = ()
    facts: bool = True
    kms: bool = False
    deep: bool = False
    status: bool = False
    locked: bool = False

    def queries(self) -> Iterable[Query]:
        yield from _ALWAYS
        for kind, name in self.keys:
            yield ("path" if kind in ("file", "binary", "directory") else kind, name)
        if self.kinds:
            yield ("objects", base64.b64encode(self.kubeconfig).decode(), self.selector, self.kinds)
        if self.kms:
            yield ("kms", base64.b64encode(self.kubeconfig).decode())
        for url in self.urls:
            yield ("reach", url)
        for name in self.names:
            yield ("resolve", name)
        for address, port in self.knocks:
            yield ("knock", f"{address} {port}")
        for path in self.texts:
            yield ("text", path)
        for name in self.programs:
            yield ("program", name)
        if self.facts:
            yield ("facts", "yes")
        if self.deep:
            yield ("deep", "yes")
        if self.status:
            for one in COMPONENTS:
                yield ("status", one.name, one.program or "-", one.health.kind, one.health.argument)
        if self.locked:
            yield ("locked", "yes")


def probe_program(queries: Iterable[Query]) -> bytes:
    """Return what PROBE_COMMAND reads. Raises ValueError for a query that is not one line of fields."""
    return _packed_program() + gzip.compress(_questions(queries).encode(), compresslevel=6, mtime=0)


def _questions(queries: Iterable[Query]) -> str:
    """Return the call of the program with its queries on a here-document."""
    lines = []
    for query in queries:
        if any("\t" in word or "\n" in word for word in query) or "KPROV_QUERIES" in query:
            raise ValueError(f"a query holds a tab or a line break: {query[0]}")
        lines.append("\t".join(query) + "\n")
    return f"main <<'KPROV_QUERIES'\n{''.join(lines)}KPROV_QUERIES\n"


@lru_cache(maxsize=1)
def _packed_program() -> bytes:
    """Packed by itself, once for all hosts: what is packed piece by piece is unpacked as one."""
    return gzip.compress(program(), compresslevel=9, mtime=0)


def program() -> bytes:
    """Return the probe without indentation and lines of comment: every byte goes to every host in every run."""
    return re.sub(rb"^[ \t]*#.*\n|^[ \t]+", b"", scripts.text(), flags=re.MULTILINE)
