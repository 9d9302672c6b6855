"""What a state folder holds that is made again out of what hosts hold: their CAs, whose keys are lost, in a rotation to new
ones that has begun. Pure but for new keys.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import datetime

from kprov.pki.authority import fingerprint
from kprov.pki.keys import Algorithm
from kprov.state.rotation import Trusted, begin, onward, reached
from kprov.state.sealed import new_identity
from kprov.state.trustfile import Identity, Keys
from kprov.values.certificate import AUTHORITIES
from kprov.values.context import Held


def made_again(cluster: str, held: Held, algorithm: Algorithm, ca_days: int, now: datetime, *, ended: bool) -> Trusted:
    """Return identity and keys. The identity is new: nothing on hosts tells the old one.

    ended: whether leaves are issued by the new CAs at once, as those that are there serve no longer.
    """
    identity = Identity(
        cluster=cluster,
        cluster_id=secrets.token_hex(16),
        made=now.isoformat(timespec="seconds"),
        authorities=held.authorities,
    )
    keys = Keys(
        authorities={},
        service_account=held.service_account,
        service_account_public=held.service_account_public,
        encryption=held.encryption,
        encryption_name=held.encryption_name,
        encrypted_by=held.encrypted_by,
        backup=new_identity(),
    )
    identity, keys = begin((identity, keys), AUTHORITIES, algorithm, ca_days, now)
    if identity.rotation is not None and held.former:
        leaving: dict[str, str] = {name: fingerprint(pem) for name, pem in held.former.items()}
        identity = replace(identity, rotation=replace(identity.rotation, leaving=leaving))
    return onward(reached((identity, keys), now), now) if ended else (identity, keys)
