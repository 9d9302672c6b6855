"""The connection that a tunnel goes through: one control plane, and another one when it is lost. Prints nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

from kprov.transport.base import Session, Stream, Transport
from kprov.values.errors import TransportError, UnreachedError
from kprov.values.model import Host

T = TypeVar("T")
Tell = Callable[[str], None]


class Way:
    """Args:
    transport, hosts: any of the hosts will do; those that come first are tried first.
    tell: hears when a host is lost and which one is used instead. Called from the threads that dial.
    """

    def __init__(self, transport: Transport, hosts: Sequence[Host], tell: Tell) -> None:
        self._transport = transport
        self._hosts = tuple(hosts)
        self._tell = tell
        self._moving = threading.Lock()  # one thread looks for another host, the others wait for what it finds
        self._state = threading.Lock()
        self._session: Session | None = None
        self._lost: TransportError | None = None
        self._closed = False

    def settle(self, ask: Callable[[Session], T]) -> T:
        """Connects to the first host that can be reached and on which `ask` raises no TransportError; its answer.

        Raises TransportError, with the reason of each host, when there is none.
        """
        failures = []
        for host in self._hosts:
            try:
                session = self._transport.connect(host)
            except TransportError as error:
                failures.append(error)
                continue
            try:
                answer = ask(session)
            except TransportError as error:
                session.close()
                failures.append(error)
            except BaseException:
                session.close()
                raise
            else:
                self._use(session)
                return answer
        raise _none_left(failures)

    @property
    def host(self) -> str:
        """The host in use, empty when there is none."""
        session = self._session
        return session.host.name if session is not None else ""

    def dial(self, address: str, port: int) -> Stream:
        """Through the host in use; when it is lost, through another one, or the same again.

        Raises UnreachedError when that host cannot connect there, TransportError when no host is left.
        """
        session = self._session
        if session is not None:
            try:
                return session.dial(address, port)
            except UnreachedError:
                raise
            except TransportError as error:
                self._lost = error
        return self._moved(session).dial(address, port)

    def close(self) -> None:
        """Ends the connection; nobody dials afterwards."""
        with self._state:
            self._closed = True
            session, self._session = self._session, None
        if session is not None:
            session.close()

    def _moved(self, broken: Session | None) -> Session:
        with self._moving:
            if self._session is not None and self._session is not broken:
                return self._session
            if broken is not None:
                broken.close()
                self._session = None
            name = broken.host.name if broken is not None else ""
            failures = []
            for host in sorted(self._hosts, key=lambda host: host.name == name):
                try:
                    session = self._transport.connect(host)
                except TransportError as error:
                    failures.append(error)
                    continue
                self._use(session)
                if self._lost is not None:
                    self._tell(f"{self._lost.where}: {self._lost.what} ({self._lost.found}); now through {host.name}")
                return session
            raise _none_left(failures)

    def _use(self, session: Session) -> None:
        with self._state:
            closed = self._closed
            self._session = None if closed else session
        if closed:
            session.close()
            raise TransportError("the tunnel is closed")


def _none_left(failures: Sequence[TransportError]) -> TransportError:
    if len(failures) == 1:
        return failures[0]
    return TransportError(
        "no control plane can be used",
        found="; ".join(
            f"{error.where}: {error.what}{f', {error.found}' if error.found else ''}" for error in failures
        ),
        needed="one that is up and whose API server answers",
        todo="; ".join(dict.fromkeys(error.todo for error in failures if error.todo))
        or "see that one is up; `kprov status` asks them all",
    )
