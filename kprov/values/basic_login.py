"""User and password as HTTP basic authentication sends them (RFC 7617). It decides nothing, and shows nothing."""

from __future__ import annotations

import base64

from kprov.values.secret import Secret


def basic(user: str, password: Secret | None) -> str:
    """What stands after `Basic `: base64, which hides nothing. The caller keeps it secret."""
    return base64.b64encode(f"{user}:{password.reveal() if password else ''}".encode()).decode()
