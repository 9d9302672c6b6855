"""Whether an API server may be stopped: what it and the others are asked, and what their answers mean. Nothing is sent."""

from __future__ import annotations

from collections.abc import Mapping

from kprov.plan import kube_answers as said
from kprov.plan.conversation import Request, Talk
from kprov.values.components import KUBE_APISERVER
from kprov.values.errors import ApplyError

_SECONDS = 20  # that another one gets to become ready


def another_ready(host: str, servers: Mapping[str, str]) -> Talk[None]:
    """Make sure that the API is served while the server of a host restarts. servers: control plane → URL, several.

    One that is not ready takes nothing away when it is stopped: the run that brings it back need not wait for others.
    """
    others = {name: url for name, url in servers.items() if name != host}
    own = _ready(host, f"https://127.0.0.1:{KUBE_APISERVER.port('https')}")
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
