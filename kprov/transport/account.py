"""Whether the user who runs this has an account: in containers a user id often has none. Reads passwd, changes nothing."""

from __future__ import annotations

import os
import pwd


def has_account() -> bool:
    """Return whether this user id has an entry in passwd; ssh refuses to run without one."""
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        return False
    return True
