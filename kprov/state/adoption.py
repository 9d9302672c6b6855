"""What a state folder holds that is made again out of what hosts hold: their CAs, whose keys are lost, in a rotation to new
ones that has begun. Pure but for new keys.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType

from kprov.pki.authority import fingerprint
from kprov.pki.keys import Algorithm
from kprov.state.rotation import Trusted, begin, onward, reached, same
from kprov.state.sealed import new_identity
from kprov.state.trustfile import Identity, Keys
from kprov.values.certificate import AUTHORITIES, Authority, OwnAuthority
from kprov.values.context import Held


def made_again(
    cluster: str,
    held: Held,
    algorithm: Algorithm,
    ca_days: int,
    now: datetime,
    *,
    ended: bool,
    own: Mapping[Authority, OwnAuthority] = MappingProxyType({}),
) -> Trusted:
    """Return identity and keys. The identity is new: nothing on hosts tells the old one.

    ended: whether leaves are issued by the new CAs at once, as those that are there serve no longer. own: CAs of the user's,
    whose keys were never in the folder: those that hosts have stay.
    """
    stay = {name: one.chain for name, one in own.items() if same(one.chain, held.authorities[name])}
    identity = Identity(
        cluster=cluster,
        cluster_id=secrets.token_hex(16),
        made=now.isoformat(timespec="seconds"),
        authorities={**held.authorities, **stay},
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
    replaced = [name for name in AUTHORITIES if name not in stay]
    if not replaced:
        return identity, keys
    identity, keys = begin((identity, keys), replaced, algorithm, ca_days, now, own)
    if identity.rotation is not None and held.former:
        leaving: dict[str, str] = {name: fingerprint(pem) for name, pem in held.former.items()}
        identity = replace(identity, rotation=replace(identity.rotation, leaving=leaving))
    return onward(reached((identity, keys), now), now) if ended else (identity, keys)
