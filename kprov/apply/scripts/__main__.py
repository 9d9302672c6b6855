"""Print one of the shell programs, whole: `python -m kprov.apply.scripts apply.sh`. For linters."""

from __future__ import annotations

import sys

from kprov.apply.scripts import text

if __name__ == "__main__":
    sys.stdout.buffer.write(text(sys.argv[1]))
