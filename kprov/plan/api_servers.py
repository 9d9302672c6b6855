"""Whether an API server may be stopped, and whether it has read what it reads by itself: what it and the others are
asked, and what their answers mean. Nothing is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kprov.plan import kube_answers as said
from kprov.plan.conversation import Request, Talk
from kprov.values.components import KUBE_APISERVER
from kprov.values.errors import ApplyError

LOCAL = f"https://127.0.0.1:{KUBE_APISERVER.port('https')}"
_SECONDS = 20  # that another one gets to become ready
_PATIENCE = 120  # seconds; it looks at its files once a minute, where the kernel does not tell it


def another_ready(host: str, servers: Mapping[str, str]) -> Talk[None]:
    """Make sure that the API is served while the server of a host restarts. servers: control plane → URL, several.

    One that is not ready takes nothing away when it is stopped: the run that brings it back need not wait for others.
    """
    others = {name: url for name, url in servers.items() if name != host}
    own = _ready(host, LOCAL)
    found: list[str] = []
    for name, url in others.items():
        answers = yield (own, _ready(name, url, seconds=_SECONDS))
        if not answers[0].ok or answers[-1].ok:
            return
        found.append(f"{name}: {said.error(answers[-1])}")
    raise ApplyError(
        f"nobody would reach the API while kube-apiserver of {host} restarts, so it was left alone",
        found=f"no other API server is ready: {'; '.join(found)}",
        needed="another API server that is ready",
        todo="bring another one back first, or take its host out of the inventory, then run the same command again",
    )


def _ready(name: str, url: str, *, seconds: int = 0) -> Request:
    return Request(
        program="kubectl",
        about=f"API server of {name}",
        arguments=("get", "--raw=/readyz", f"--server={url}", "--request-timeout=5s"),
        again=said.PASSING if seconds else (),
        seconds=seconds,
    )


def read_by_all(servers: Sequence[str], hashes: Mapping[str, str]) -> Talk[None]:
    """Wait until every API server (URL) tells that it has read files with these hashes. Raises ApplyError.

    hashes: kind of configuration → sha256. A server that cannot take a file goes on with the one before, in silence.
    """
    asked = [(server, kind, sha256) for server in servers for kind, sha256 in hashes.items()]
    answers = yield [
        Request(
            program="metrics",
            about=f"that {server} has read its {kind} configuration",
            arguments=(server, _metric(kind)),
            again=said.PASSING,
            until=f'hash="sha256:{sha256}"',
            seconds=_PATIENCE,
        )
        for server, kind, sha256 in asked
    ]
    for (server, kind, sha256), answer in zip(asked, answers, strict=False):
        if f'hash="sha256:{sha256}"' not in answer.text:
            raise ApplyError(
                f"an API server has not read its new {kind} configuration, and goes on with the one before",
                where=server,
                found=answer.text.strip() or answer.words.strip() or "no answer",
                needed=f"{_metric(kind)} with sha256:{sha256[:12]}…",
                todo="look at `journalctl -u kube-apiserver` there, which says why; then run the same command again",
            )


def _metric(kind: str) -> str:
    return f"apiserver_{kind}_config_controller_last_config_info"
