"""The known word that is spelled most like a wrong one. Values only."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `did you mean 'x'?` for the known word that is spelled most like `word`, or an empty text."""
    words = {candidate.lower().replace("_", "-"): candidate for candidate in known}
    close = get_close_matches(word.lower().replace("_", "-"), words, n=1, cutoff=0.6)
    return f"did you mean '{words[close[0]]}'?" if close else ""
