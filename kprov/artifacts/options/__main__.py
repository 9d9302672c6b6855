"""`python -m kprov.artifacts.options [VERSION…]`: make the data on flags and fields again, for all versions or for some.

For developers: it needs Go and the network that serves modules, and takes as long as a build of Kubernetes. It writes
into the package's own folder.
"""

from __future__ import annotations

import sys
from pathlib import Path

from kprov.artifacts import catalog
from kprov.artifacts.options.collect import describe
from kprov.artifacts.options.flags import file_name


def main(only: list[str]) -> None:
    folder = Path(__file__).parent / "data"
    folder.mkdir(exist_ok=True)
    lines = catalog.load().lines.values()
    wanted = dict.fromkeys((release, line[release]) for line in lines for release in describe.RELEASES)
    for release, version in wanted:
        if only and version not in only:
            continue
        sys.stdout.write(f"{release} {version} …\n")
        text = describe.describe(release, version)
        (folder / file_name(release, version)).write_text(text, encoding="utf-8")


main(sys.argv[1:])
