"""The table of certificates on its reference page, rendered from the tree, so that docs and program cannot part.

`python -m kprov.pki.reference docs/reference/certificates.md` writes it into the page, between its two marks.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from kprov.pki.table import ADMIN, CLUSTER_ADMINS, SUPER_ADMIN
from kprov.values.certificate import AUTHORITIES
from kprov.values.component import Leaf
from kprov.values.components import COMPONENTS
from kprov.values.model import Group

BEGIN = "<!-- Rendered: python -m kprov.pki.reference docs/reference/certificates.md -->\n"
END = "<!-- end of what is rendered -->\n"

_HEAD = ("CA", "Certificate", "On", "Common name", "Organization", "Good for")
_USAGES = {"server": "server", "client": "client", "both": "server and client"}
_OPERATOR = (
    ("kubernetes", ADMIN, "operator", ADMIN, CLUSTER_ADMINS, "client"),
    ("kubernetes", SUPER_ADMIN, "operator, for one hour", SUPER_ADMIN, "system:masters", "client"),
)


def render() -> str:
    """Return the table as Markdown, ending with a line break."""
    hosts = [
        _row(leaf, component.groups)
        for authority in AUTHORITIES
        for component in COMPONENTS
        for leaf in component.leaves
        if leaf.authority == authority
    ]
    return "".join(f"| {' | '.join(row)} |\n" for row in (_HEAD, ("---",) * len(_HEAD), *hosts, *_OPERATOR))


def rewrite(page: str) -> str:
    """Return the page with the table of today. Raises ValueError for a page without the two marks."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("the page lacks the marks between which the table stands")
    return f"{before}{BEGIN}\n{render()}\n{END}{after}"


def _row(leaf: Leaf, groups: frozenset[Group]) -> Iterable[str]:
    name = leaf.cn.replace("{host}", "NAME")
    return leaf.authority, leaf.name, ", ".join(_places(groups)), name, ", ".join(leaf.o), _USAGES[leaf.usage]


def _places(groups: frozenset[Group]) -> Iterator[str]:
    if groups == {"etcd", "control_plane", "worker"}:
        yield "every host"
    elif groups == {"control_plane", "worker"}:
        yield "every node"
    else:
        yield from (group.replace("_", " ") for group in sorted(groups))


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(rewrite(path.read_text(encoding="utf-8")), encoding="utf-8")
