"""What a MetricsQL expression asks for."""

from __future__ import annotations

import re

_PART = re.compile(
    r"""
    \b(?:by|on|without|ignoring)\s*\([^)]*\)      # labels
  | \[[^]]*\]                                     # how far back
  | "[^"]*"
  | \b\d[\w.]*                                    # numbers, and how long ago
  | (?P<selector>
        [a-zA-Z_:][\w:]*+\{[^}]*\} | \{[^}]*\}
      | (?!(?:and|or|unless|offset|bool|by|on|without|ignoring)\b)
        [a-zA-Z_:][\w:]*+ (?!\s*\(|\s+(?:by|without)\b)
    )
  | [a-zA-Z_:][\w:]*+                             # functions and operators
    """,
    re.VERBOSE,
)


def selectors(expression: str) -> set[str]:
    """Its selectors of series: `name`, `name{…}`, `{…}`."""
    found = (match["selector"] for match in _PART.finditer(expression))
    return {selector for selector in found if selector}
