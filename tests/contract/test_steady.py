"""Whether a unit stays up, and when it started: apply.sh with stand-ins for systemctl and busctl that tell a story, look by
look."""

from __future__ import annotations

import os

import pytest
from apply_room import Room

from kprov.apply import wire
from kprov.apply.batch import Batch, Step
from kprov.apply.operations import write_gates
from kprov.observe.observation import Observation, parse
from kprov.observe.probe import PROBE_COMMAND, Question, probe_program
from kprov.values.resources import Gate, Unit

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a mount namespace with file systems of its own needs root")

UP = "ActiveState=active SubState=running"
WAITS = "ActiveState=activating SubState=auto-restart MainPID=0"
# Answers `show` with the line of /srv/story that belongs to this look (the last one for ever), for every unit asked.
SYSTEMCTL = r"""
case "$1" in show) ;; *) echo "$@" >> /srv/told; exit 0 ;; esac
case "$*" in *'-p Job --value'*) echo 0; exit 0 ;; *--value*) echo failed; exit 0 ;; esac
echo "$*" >> /srv/asked
n=$(cat /srv/looks 2> /dev/null || echo 1); echo $((n + 1)) > /srv/looks
story=$(sed -n "${n}p" /srv/story); [ -n "$story" ] || story=$(tail -n 1 /srv/story)
for word in "$@"; do case $word in *.service)
    printf 'Id=%s\nType=notify\nRestartUSec=%s\n' "$word" "$(cat /srv/pause)"
    for pair in $story; do echo "$pair"; done
    echo ;;
esac; done
"""


def systemd(room: Room, *story: str, pause: str = "200ms") -> None:
    """story: what each look sees."""
    room.stub("systemctl", SYSTEMCTL)
    room.stub("journalctl", 'case $1 in _SYSTEMD_UNIT=*) echo "why it ended" ;; *) echo "last line of $2" ;; esac')
    assert room.sh("cat > /srv/story", "".join(f"{look}\n" for look in story).encode()).returncode == 0
    room.text(f"echo {pause} > /srv/pause; rm -f /srv/looks")


def process(pid: int, start: int = 1) -> str:
    return f"{UP} MainPID={pid} ExecMainStartTimestampMonotonic={start}"


def restarted(*names: str, seconds: int = 30) -> Batch:
    batch = Batch()
    for name in names:
        batch.add(f"unit {name}", wire.Restart(unit=name))
    for name in names:
        gate = Gate(kind="command", argument="/bin/true", deadline=seconds)
        write_gates(batch, Unit(name=name, content=b"", gates=(gate,)))
    return batch


def asked_alone(*, seconds: int = 20) -> Batch:
    """What is asked of a unit that an earlier exec restarted."""
    batch = Batch()
    batch.add("", wire.Steady(unit="x.service", seconds=seconds))
    return batch


def looks(room: Room) -> int:
    return int(room.text("cat /srv/looks")) - 1


def test_a_unit_that_an_earlier_exec_restarted_has_lived_as_long_as_its_process(room: Room) -> None:
    """As a new etcd member, which is started in one exec and settled in the next, when it votes."""
    systemd(room, process(os.getpid()), pause="10ms")
    assert room.apply(asked_alone())[-1][0] == "done"
    assert looks(room) == 1, "it is not watched for as long again"
    systemd(room, process(os.getpid()), pause="1000h")
    assert room.apply(asked_alone(seconds=1))[-1][0] == "fail"


def asked_together(*names: str) -> Batch:
    batch = Batch()
    for name in names:
        batch.add("", wire.Steady(unit=name, seconds=20))
    return batch


def test_one_look_answers_for_all_units_that_are_asked_one_after_the_other(room: Room) -> None:
    systemd(room, process(os.getpid()), pause="10ms")
    assert room.apply(asked_together("x.service", "y.service", "z.service"))[-1][0] == "done"
    assert looks(room) == 1


def test_what_was_seen_before_another_operation_does_not_count(room: Room) -> None:
    systemd(room, process(os.getpid()), "ActiveState=failed SubState=failed MainPID=0", pause="10ms")
    batch = asked_together("x.service")
    batch.add("", wire.Checkpoint())
    batch.add("", wire.Steady(unit="x.service", seconds=1))
    assert room.apply(batch)[-1][:2] == ["fail", "3"]


def test_a_unit_that_is_restarted_later_is_not_looked_at_before(room: Room) -> None:
    """Its old process would count as one that ended."""
    systemd(room, process(os.getpid()), pause="10ms")
    batch = asked_together("x.service")
    batch.add("", wire.Restart(unit="y.service"))
    batch.add("", wire.Steady(unit="y.service", seconds=20))
    assert room.apply(batch)[-1][0] == "done"
    first = room.text("cat /srv/asked").splitlines()[0]
    assert "x.service" in first
    assert "y.service" not in first


def test_an_earlier_execs_unit_whose_process_is_another_one_at_each_look_fails(room: Room) -> None:
    systemd(room, *(process(os.getpid(), start) for start in range(1, 9)), pause="1000h")
    assert "it ended 5 times within" in room.apply(asked_alone())[-1][2]


def test_a_unit_passes_when_the_same_process_outlives_the_pause_before_a_restart(room: Room) -> None:
    systemd(room, process(7), pause="1s 500ms")
    before = float(room.text("cat /proc/uptime").split()[0])
    assert room.apply(restarted("x.service"))[-1][0] == "done"
    assert float(room.text("cat /proc/uptime").split()[0]) - before > 1.5


def test_the_old_process_of_a_restart_that_is_under_way_does_not_count(room: Room) -> None:
    systemd(room, f"{process(6)} Job=12", f"{process(6)} Job=12", f"{process(7)} Job=0")
    assert room.apply(restarted("x.service"))[-1][0] == "done"
    assert looks(room) > 3


@pytest.mark.parametrize("between", [WAITS, None], ids=["seen waiting", "never seen waiting"])
def test_a_unit_that_ends_after_each_start_fails_with_its_last_lines(room: Room, between: str | None) -> None:
    """Also where each look meets a process that runs: the same number with another start is another process."""
    story = [look for start in range(1, 9) for look in (process(7, start), between) if look]
    systemd(room, *story, pause="10s")
    answers = room.apply(restarted("x.service"))
    assert answers[-1][:2] == ["fail", "2"]
    first, *rest = answers[-1][2].splitlines()
    assert first.startswith("why it ended: it ended 5 times within ")
    assert first.endswith(" again and again")
    assert "last line of x.service" in rest


def test_a_unit_that_never_gets_there_fails_at_its_deadline(room: Room) -> None:
    systemd(room, "ActiveState=activating SubState=start MainPID=7 ExecMainStartTimestampMonotonic=1")
    answers = room.apply(restarted("x.service", seconds=1))
    assert answers[-1][:2] == ["fail", "2"]
    assert answers[-1][2].startswith(
        "why it ended: it did not run for longer than its RestartSec, it is activating (start)\n"
    )


@pytest.mark.parametrize("keeps", [True, False], ids=["a host that serves", "a host that is new"])
def test_a_unit_that_never_gets_ready_is_given_up_early_where_all_that_it_needs_is_there(
    room: Room, *, keeps: bool
) -> None:
    """On a first run what it needs may still come: there it has until its deadline."""
    systemd(room, *(f"{WAITS} NRestarts={number}" for number in range(7)), pause="10s")
    batch = Batch()
    if keeps:
        batch.add("", wire.Keep(units=("x.service",)))
    for step in restarted("x.service", seconds=600 if keeps else 4).steps:
        batch.steps.append(step)
    failed = next(row for row in room.apply(batch) if row[0] == "fail")
    words = "it ended 5 times within" if keeps else "it did not run for longer than its RestartSec"
    assert failed[2].startswith(f"why it ended: {words}")


def test_a_unit_that_comes_up_at_the_third_attempt_passes(room: Room) -> None:
    systemd(room, process(7), WAITS, process(8), WAITS, process(9))
    assert room.apply(restarted("x.service"))[-1][0] == "done"


def test_a_service_that_ends_well_and_stays_active_passes(room: Room) -> None:
    systemd(room, "Type=oneshot ActiveState=active SubState=exited MainPID=0")
    assert room.apply(restarted("x.service"))[-1][0] == "done"
    systemd(room, "Type=oneshot ActiveState=failed SubState=failed MainPID=0")
    assert room.apply(restarted("x.service", seconds=1))[-1][0] == "fail"


def test_units_of_one_exec_are_watched_side_by_side(room: Room) -> None:
    systemd(room, process(7), pause="2s")
    assert room.apply(restarted("a.service"))[-1][0] == "done"
    alone = looks(room)
    systemd(room, process(7), pause="2s")
    assert room.apply(restarted("a.service", "b.service", "c.service", "d.service"))[-1][0] == "done"
    assert looks(room) < 2 * alone


def test_the_start_of_a_process_is_told(room: Room) -> None:
    systemd(room, process(7))
    room.stub("busctl", 'echo "$@" > /srv/bus; echo "t 1796046080123456"')
    batch = Batch()
    write_gates(batch, Unit(name="kube-let.service", content=b"", heartbeat=True))
    batch.steps.insert(0, Step(title="", operation=wire.Restart(unit="kube-let.service")))
    assert ["told", "3", "1796046080123456"] in room.apply(batch)
    assert "/org/freedesktop/systemd1/unit/kube_2dlet_2eservice" in room.text("cat /srv/bus")


def probed(room: Room) -> Observation:
    done = room.sh(PROBE_COMMAND, probe_program(Question(keys=[("unit", "x.service")], facts=False).queries()))
    return parse(done.stdout, host="h", asked=(), operator_clock=0)


def test_the_probe_tells_a_unit_that_is_started_again_and_again(room: Room) -> None:
    systemd(room, f"{WAITS} NRestarts=41 ExecMainStartTimestampMonotonic=0 LoadState=loaded NeedDaemonReload=no")
    state = probed(room).units["x.service"]
    assert (state.active, state.sub, state.restarts, state.age, state.running) == (
        "activating", "auto-restart", 41, None, False,
    )  # fmt: skip
    assert (state.enabled, state.loaded, state.needs_reload) == ("-", True, False)
    systemd(room, f"{process(7, 1000000)} NRestarts=1 UnitFileState=enabled", pause="1min 30s")
    state = probed(room).units["x.service"]
    assert state.age is not None
    assert (state.age > 1, state.pause, state.running, state.enabled) == (True, 90.0, state.age > 90, "enabled")
