"""Which hosts a run has seen well since something was last done there. Pure.

Every exec that does something leaves its run's generation on its host. The last stage, once all is well, writes on its
control plane which host had which generation then. A run that was cut off, or whose last stage failed, leaves hosts whose
generation no control plane knows: the next run asks the last stage's questions again, whatever else there is to do.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from kprov.observe.observation import Observation


def unproven(observations: Mapping[str, Observation]) -> tuple[str, ...]:
    """Return the hosts that no control plane has seen well as they are now."""
    known = {pair for seen in observations.values() for pair in seen.well.items()}
    return tuple(
        name
        for name, seen in observations.items()
        if seen.records and seen.generation and (name, seen.generation) not in known
    )


def proven(
    observations: Mapping[str, Observation], *, touched: Collection[str], asked: Collection[str], generation: str
) -> dict[str, str]:
    """Return what is written down when the last stage has seen all well: host → generation.

    touched: hosts to which this run sent something, which have its generation now. asked: hosts that the last stage was
    about; of the others, only what was known stays.
    """
    known = {pair for seen in observations.values() for pair in seen.well.items()}
    found: dict[str, str] = {}
    for name, seen in observations.items():
        if name in asked:
            found[name] = generation if name in touched else seen.generation
        elif (name, seen.generation) in known and name not in touched:
            found[name] = seen.generation
    return {name: value for name, value in found.items() if value}
