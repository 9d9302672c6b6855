"""Print the probe, whole: `python -m kprov.observe.scripts`. For linters."""

from __future__ import annotations

import sys

from kprov.observe.scripts import text

if __name__ == "__main__":
    sys.stdout.buffer.write(text())
