"""A page of an add-on, reachable on this computer for as long as a block lasts: asks the API, opens the tunnel."""

from __future__ import annotations

import secrets
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from kprov.addon.render import password
from kprov.pki.table import super_admin_spec
from kprov.state.credential import client_tls, trusting
from kprov.state.store import Store
from kprov.transport.base import Session, Stream, Transport
from kprov.tunnel import target as questions
from kprov.tunnel.api import Api
from kprov.tunnel.bearer import USER, BearerStream, Renewed, Requests
from kprov.tunnel.forward import ADDRESS, Forward, listen
from kprov.tunnel.target import Target, Token
from kprov.tunnel.tls import TlsStream
from kprov.tunnel.way import Way
from kprov.values.addon import Addon, Opening
from kprov.values.errors import KprovError
from kprov.values.model import Cluster
from kprov.values.secret import Secret

_ASKING = timedelta(minutes=10)  # the life of the credential that the API is asked with


@dataclass(frozen=True, kw_only=True)
class Page:
    """An open page. url holds no secret; token, or user and password, are what it asks for.

    lasting: whether the password is the page's own, and not one for this block alone. issuer: whom people sign on with
    instead of all that, which sends them back to `callback`.
    """

    url: str
    via: str
    token: Token | None = None
    user: str = ""
    password: Secret | None = None
    lasting: bool = True
    issuer: str = ""
    callback: str = ""


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
    with ExitStack() as stack:
        listener = stack.enter_context(listen(port))
        way = Way(transport, cluster.group("control_plane"), tell)
        stack.callback(way.close)
        context = _proven(cluster, store)
        there = way.settle(lambda session: _found(_api(session, context), addon, opening))

        def ask() -> Token:
            """Whenever one is needed: the credential that asks ends before a tunnel does."""
            return _token(Api(host=way.host, dial=way.dial, context=_proven(cluster, store)), addon, opening)

        login = _login(store, addon, opening, ask) if not addon.issuer else _Login()
        forward = Forward(listener, _dialler(way, there, opening, store, login), tell)
        stack.callback(forward.close)
        # TLS ends here, where kprov knows which CA to trust: the browser would know neither it nor the name.
        base = f"http://{ADDRESS}:{listener.getsockname()[1]}"
        yield Page(
            url=f"{base}{opening.path}",
            via=way.host,
            token=login.token,
            user=login.user,
            password=login.password,
            lasting=login.bearer is None,
            issuer=addon.issuer,
            callback=f"{base}{opening.callback}" if addon.issuer else "",
        )


@dataclass(frozen=True, kw_only=True)
class _Login:
    """What is shown to the user: a token, or user and password. bearer: what the page gets in the password's place."""

    token: Token | None = None
    user: str = ""
    password: Secret | None = None
    bearer: Renewed | None = None


def _login(store: Store, addon: Addon, opening: Opening, ask: Callable[[], Token]) -> _Login:
    if opening.audience:
        bearer = Renewed(ask)
        bearer.text()  # whatever stands in its way is said before anything is shown
        return _Login(user=USER, password=Secret(secrets.token_urlsafe(24)), bearer=bearer)
    if opening.service_account:
        return _Login(token=ask())
    if opening.password:
        seed = store.trust().encryption_key
        return _Login(
            user=opening.user, password=password(seed, addon.name, opening.password, addon.password_generation)
        )
    return _Login()


def _proven(cluster: Cluster, store: Store) -> ssl.SSLContext:
    return client_tls(store, super_admin_spec(cluster), _ASKING)


def _api(session: Session, context: ssl.SSLContext) -> Api:
    return Api(host=session.host.name, dial=session.dial, context=context)


def _dialler(way: Way, there: Target, opening: Opening, store: Store, login: _Login) -> Callable[[], Stream]:
    reach: Callable[[], Stream] = partial(way.dial, there.address, there.port)
    if opening.scheme == "https":
        reach = _over_tls(reach, store, there.name)
    if login.bearer is not None and login.password is not None:
        reach = _with_bearer(reach, login.password, login.bearer)
    return reach


def _over_tls(reach: Callable[[], Stream], store: Store, name: str) -> Callable[[], Stream]:
    context = trusting(store)

    def dial() -> Stream:
        stream = reach()
        try:
            return TlsStream(stream, context, name)
        except BaseException:
            stream.close()
            raise

    return dial


def _with_bearer(reach: Callable[[], Stream], shown: Secret, bearer: Renewed) -> Callable[[], Stream]:
    def dial() -> Stream:
        requests = Requests(shown, bearer.text())  # for all of a connection: those last minutes, a token's half longer
        return BearerStream(reach(), requests)

    return dial


def _found(api: Api, addon: Addon, opening: Opening) -> Target:
    """Raises AddonError when the page is not there, TransportError when this API server cannot be asked."""
    service = api.get(questions.service_path(addon, opening))
    there = questions.target(addon, opening, service)
    if not questions.has_endpoints(api.get(questions.slices_path(addon, opening)) or {}):
        raise questions.no_endpoints(addon, opening, service, api.get(questions.pods_path(addon)) or {})
    return there


def _token(api: Api, addon: Addon, opening: Opening) -> Token:
    answer = api.create(questions.token_path(addon, opening), questions.token_request(opening))
    if answer is None:
        raise KprovError(
            f"the add-on {addon.name} has no service account to look with",
            where=f"ServiceAccount {addon.namespace}/{opening.service_account}",
            found="none of that name",
            todo="run `kprov up`",
        )
    return questions.token(answer)
