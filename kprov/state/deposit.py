"""What hosts keep of the state folder for timed backups: its keys, sealed for whoever may open backups.

The same text for as long as keys and recipients are the same, so that hosts are not changed by every run: it is kept here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from kprov.state.private import private_folder, read_private, replace_private
from kprov.state.sealed import recipient_of, seal_bytes
from kprov.state.store import Store
from kprov.values.context import Timed

NAME = "sealed.age"
_DIGEST = 32  # bytes before the sealed text: of what it was made


def timed(store: Store, recipients: Sequence[str]) -> Timed:
    """Return what hosts need. recipients: of the inventory. Raises StoreError."""
    everybody = (recipient_of(store.backup_key().reveal()), *recipients)
    return Timed(
        cluster_id=store.cluster_id,
        authorities=store.fingerprints(),
        recipients=everybody,
        state=_sealed(store, everybody),
    )


def _sealed(store: Store, recipients: Sequence[str]) -> bytes:
    digest = hashlib.sha256(b"\0".join((store.essence(), *(one.encode() for one in recipients)))).digest()
    with private_folder(store.path) as folder:
        known = read_private(folder, store.path / NAME)
        if known is not None and known[:_DIGEST] == digest:
            return known[_DIGEST:]
        sealed = seal_bytes(store.text(), recipients)
        replace_private(folder, NAME, digest + sealed)
    return sealed
