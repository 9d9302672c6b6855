"""Which versions of Kubernetes' and etcd's programs run on hosts, in the words `Observation.versions` has.

A program whose hash is in the operator's cache is known by it and costs nothing; others are asked on their host, in
one more exec. It asks and tells; whether a version may follow another is preflight's affair.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from kprov.artifacts.cache import Cache
from kprov.observe.gather import Fleet, ask_again
from kprov.observe.observation import Observation
from kprov.observe.probe import Question
from kprov.preflight.versions import has_run
from kprov.values.components import COMPONENTS
from kprov.values.paths import BIN

# Whose running version decides what may come next; their units have the names of their programs.
PROGRAMS = tuple(component.program for component in COMPONENTS if component.version_decides)


def cached(root: Path) -> Mapping[str, str]:
    """sha256 → version of every program in the cache that decides about upgrades."""
    return {record.sha256: record.version for _, record in Cache(root).records(PROGRAMS)}


def by_hash(seen: Observation, versions: Mapping[str, str]) -> dict[str, str]:
    """The programs of a host that are known by their hash.

    Only with their unit's stamp in place: without it, what runs may still be an older program than the file.
    """
    known = {}
    for program in PROGRAMS:
        file = seen.files.get(f"{BIN}/{program}")
        if has_run(seen, program) and file is not None and f"{program}.service" in seen.stamps:
            version = versions.get(file.sha256 or "")
            if version is not None:
                known[program] = version
    return known


def unknown(seen: Observation, known: Mapping[str, str]) -> tuple[str, ...]:
    """The programs that have run on a host, and whose version its answer did not tell."""
    return tuple(program for program in PROGRAMS if program not in known and has_run(seen, program))


def identified(fleet: Fleet, versions: Mapping[str, str], *, forks: int) -> Fleet:
    """The fleet with `Observation.versions` filled in. A host that fails on the second question is in `failures`."""
    known = {name: by_hash(seen, versions) for name, seen in fleet.observations.items()}
    questions = {
        name: Question(programs=programs, facts=False)
        for name, seen in fleet.observations.items()
        if (programs := unknown(seen, known[name]))
    }
    answers = ask_again(fleet, questions, forks=forks)
    observations = {
        # What else was asked in the first place, such as Kubernetes objects, stays as it was answered.
        name: replace(seen, versions={**answers.observations[name].versions, **known[name]})
        for name, seen in fleet.observations.items()
        if name in answers.observations
    }
    return replace(answers, observations=observations)
