"""Takes out decisions one by one and lists those that no unit test notices: `make mutants`.

Which tests execute a line is found by running them once; of each mutant only those run, in a process of its own whose
functions got the mutant's code, and the first failure ends it. A mutant that lives is a test that is missing, or stands in
explained.txt beside its reason.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(Path(__file__).parent), str(ROOT / "tests/unit"), str(ROOT)]

import pytest
from covering import Covering
from decisions import Mutant, install, mutants

# What talks, and what guards.
MODULES = (
    *(
        "plan/*_conversations.py",
        "plan/steps.py",
        "plan/rolls.py",
        "plan/questions.py",
        "plan/proof.py",
        "plan/farewell.py",
    ),
    *("plan/etcd.py", "plan/etcd_answers.py", "plan/kube_answers.py", "plan/upgrades.py", "plan/runtime_swap.py"),
    *("apply/rolls.py", "apply/conversing.py", "apply/engine.py", "apply/sending.py", "apply/lock.py", "apply/down.py"),
    *("apply/etcd.py", "apply/objects.py", "pki/conflict.py", "run/*.py"),
)
TESTS = ("plan", "apply", "pki", "run", "observe", "preflight")
EXPLAINED = Path(__file__).parent / "explained.txt"
QUIET = ["-q", "-x", "-n0", "--no-header", "-p", "no:cacheprovider", "-p", "no:randomly"]
Covered = Mapping[tuple[str, int], list[str]]  # file and line → tests
_NOWHERE = "/nonexistent"
_FIRST = 12
_SECONDS = 60  # a mutant that runs for longer does not end: that is noticed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "modules", nargs="*", default=MODULES, help="patterns below kprov/; default: what talks and guards"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    began = time.monotonic()
    os.chdir(ROOT)
    files = sorted({path for pattern in given.modules for path in (ROOT / "kprov").glob(pattern)})
    files = [path for path in files if path.name != "__init__.py"]
    covering = Covering(files)
    tests = [str(ROOT / "tests/unit" / folder) for folder in TESTS]
    if pytest.main(["-q", "-n0", "--no-header", "-p", "no:cacheprovider", *tests], plugins=[covering]) != 0:
        print("the tests fail as they are: mend them first", file=sys.stderr)
        return 2
    covered = covering.tests()
    print(f"{time.monotonic() - began:.0f} s until each line's tests are known", flush=True)
    return report(files, covered, given, began)


def report(files: list[Path], covered: Covered, given: argparse.Namespace, began: float) -> int:
    explained = dict(_explained())
    work = [mutant for path in files for mutant in mutants(path, ROOT)]
    lived, unexplained = [], []
    for mutant in _lived(work, covered, given.jobs):
        lived.append(mutant)
        if mutant.key not in explained:
            unexplained.append(mutant)
            print(f"lives: {mutant.key}   ({mutant.place})", flush=True)
    gone = set(explained) - {mutant.key for mutant in lived} if given.modules == MODULES else set()
    for key in sorted(gone):
        print(f"explained, and does not live: {key}")
    print(
        f"{len(work)} decisions taken out in {time.monotonic() - began:.0f} s; {len(lived)} lived, "
        f"{len(lived) - len(unexplained)} of these explained"
    )
    return 1 if unexplained or gone else 0


def _explained() -> Iterator[tuple[str, str]]:
    for line in EXPLAINED.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            key, _, reason = line.partition("   | ")
            assert reason, f"{EXPLAINED.name}: no reason: {line}"
            yield key, reason


def _lived(work: list[Mutant], covered: Covered, jobs: int) -> Iterator[Mutant]:
    """Run mutants, some at once; yield those that no test noticed."""
    running: dict[int, tuple[Mutant, float]] = {}
    waiting = list(reversed(work))
    while waiting or running:
        while waiting and len(running) < jobs:
            mutant = waiting.pop()
            tests = list(dict.fromkeys(test for line in mutant.lines for test in covered.get((mutant.file, line), ())))
            if not tests:
                yield mutant
                continue
            running[_start(mutant, tests)] = mutant, time.monotonic()
        if not running:
            continue
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid:
            mutant, _ = running.pop(pid)
            _end_group(pid)
            if status == 0:
                yield mutant
            continue
        for late in [pid for pid, (_, since) in running.items() if time.monotonic() - since > _SECONDS]:
            _end_group(late)
        time.sleep(0.02)


def _end_group(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def _start(mutant: Mutant, tests: list[str]) -> int:
    pid = os.fork()
    if pid:
        return pid
    os.setsid()  # what it starts ends with it
    # Without its guard a test may build or fetch: nothing is found to do it with, and no cache is written.
    os.environ.update(PATH="/usr/bin:/bin", HOME=_NOWHERE, XDG_CACHE_HOME=_NOWHERE)
    quiet = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(quiet, number)
    status = 1
    try:
        install(mutant)
        # Most are noticed by one of the quickest, and then no other module of tests is imported.
        status = int(any(pytest.main([*QUIET, *some]) != 0 for some in (tests[:_FIRST], tests[_FIRST:]) if some))
    finally:
        os._exit(status)


if __name__ == "__main__":
    sys.exit(main())
