"""Whether pods may find their images where the API server makes every start of one ask a registry. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from kprov.preflight.problem import INVENTORY, Problem, judged
from kprov.values.image_reference import LOCAL
from kprov.values.model import Cluster
from kprov.values.resources import Artifact

_PLUGIN = "AlwaysPullImages"
_SHOWN = 3


def check(cluster: Cluster, artifacts: Iterable[Artifact]) -> tuple[Problem, ...]:
    """Return the problem of images that are in no registry: cluster DNS and add-ons would not start again."""
    if _PLUGIN not in cluster.api.admission.enable:
        return ()
    built = sorted({artifact.reference for artifact in artifacts if artifact.reference.startswith(f"{LOCAL}/")})
    if not built:
        return ()
    more = f" and {len(built) - _SHOWN} more" if len(built) > _SHOWN else ""
    problem = Problem(
        name=_PLUGIN,
        host=INVENTORY,
        what=f"{_PLUGIN} makes every start of a pod ask a registry, and images that were built here are in none: cluster DNS "
        "and add-ons would not start again",
        found=", ".join(built[:_SHOWN]) + more,
        needed="upstream's images, and hosts that reach their registries or a mirror",
        todo="write `artifacts: {source: upstream}`, or take it out of `admission: {enable: […]}`",
        key="cluster.admission.enable",
    )
    return judged((problem,), cluster.preflight_ignore)
