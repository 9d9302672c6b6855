"""A page of an add-on, reachable on this computer for as long as a block lasts: asks the API, opens the tunnel."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta

from kprov.addon.render import password
from kprov.addon.spec import Addon, Opening
from kprov.credential import client_tls
from kprov.errors import KprovError
from kprov.model import Cluster, Secret
from kprov.pki.table import super_admin_spec
from kprov.store import Store
from kprov.transport.base import Session, Stream, Transport
from kprov.tunnel import target as questions
from kprov.tunnel.api import Api
from kprov.tunnel.forward import ADDRESS, Forward, listen
from kprov.tunnel.target import Target, Token
from kprov.tunnel.tls import TlsStream
from kprov.tunnel.way import Way

_ASKING = timedelta(minutes=10)  # the life of the credential that the API is asked with


@dataclass(frozen=True, kw_only=True)
class Page:
    """An open page. url holds no secret; token, or user and password, are what it asks for."""

    url: str
    via: str
    token: Token | None = None
    user: str = ""
    password: Secret | None = None


@contextmanager
def opened(
    cluster: Cluster,
    store: Store,
    transport: Transport,
    found: tuple[Addon, Opening],
    *,
    port: int,
    tell: Callable[[str], None],
) -> Iterator[Page]:
    """Args:
    found: from `target.chosen`.
    port: on this computer, 0 for any that is free.
    tell: hears what happens to the tunnel meanwhile; called from other threads.

    Raises KprovError when the port is taken, AddonError when there is no page, TransportError when no control plane can
    be used, StoreError without keys.
    """
    addon, opening = found
    secret = _password(store, addon, opening) if opening.password else None
    context = client_tls(store, super_admin_spec(cluster), _ASKING)
    with ExitStack() as stack:
        listener = stack.enter_context(listen(port))
        way = Way(transport, cluster.group("control_plane"), tell)
        stack.callback(way.close)

        def ask(session: Session) -> tuple[Target, Token | None]:
            return _asked(Api(session=session, context=context), addon, opening)

        there, token = way.settle(ask)
        forward = Forward(listener, _dialler(way, there, opening, store), tell)
        stack.callback(forward.close)
        # TLS ends here, where kprov knows which authority to trust: the browser would know neither it nor the name.
        yield Page(
            url=f"http://{ADDRESS}:{listener.getsockname()[1]}{opening.path}",
            via=way.host,
            token=token,
            user=opening.user,
            password=secret,
        )


def _password(store: Store, addon: Addon, opening: Opening) -> Secret:
    return password(store.trust().encryption_key, addon.name, opening.password, addon.password_generation)


def _dialler(way: Way, there: Target, opening: Opening, store: Store) -> Callable[[], Stream]:
    if opening.scheme == "http":
        return lambda: way.dial(there.address, there.port)
    context = ssl.create_default_context(cadata=store.ca["kubernetes"].decode("ascii"))
    context.minimum_version = ssl.TLSVersion.TLSv1_2

    def dial() -> Stream:
        stream = way.dial(there.address, there.port)
        try:
            return TlsStream(stream, context, there.name)
        except BaseException:
            stream.close()
            raise

    return dial


def _asked(api: Api, addon: Addon, opening: Opening) -> tuple[Target, Token | None]:
    """Raises AddonError when the page is not there, TransportError when this API server cannot be asked."""
    service = api.get(questions.service_path(addon, opening))
    there = questions.target(addon, opening, service)
    if not questions.has_endpoints(api.get(questions.slices_path(addon, opening)) or {}):
        raise questions.no_endpoints(addon, opening, service, api.get(questions.pods_path(addon)) or {})
    if not opening.service_account:
        return there, None
    answer = api.create(questions.token_path(addon, opening), questions.token_request())
    if answer is None:
        raise KprovError(
            f"the add-on {addon.name} has no service account to look with",
            where=f"ServiceAccount {addon.namespace}/{opening.service_account}",
            found="none of that name",
            todo="run `kprov up`",
        )
    return there, questions.token(answer)
