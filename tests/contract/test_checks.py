"""Files and units that the program which will read them judges on the host, before they get their names."""

from __future__ import annotations

import base64
import hashlib
import os
from typing import cast

import pytest
from apply_room import Room

from kprov.apply import wire
from kprov.apply.operations import Batch, Sources, write_change
from kprov.observe.observation import Observation
from kprov.plan.host import Change
from kprov.values.resources import FILE, File, Unit

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a mount namespace with file systems of its own needs root")

NOTHING, SOURCES = cast(Observation, None), cast(Sources, None)  # a file is written without looking at either
CONFIG = "/srv/a/app.conf"
# What reads it: refuses `bad`, says of what it does not know, and writes down which file it was shown and what was there.
JUDGE = """#!/bin/sh
echo "$1" >> /srv/shown; cat /srv/a/app.conf >> /srv/meanwhile 2> /dev/null
case $(cat "$2") in
*bad*) echo "app: line 1: bad is no setting" >&2; exit 1 ;;
*needs*) cat /srv/a/needed.conf > /dev/null || exit 1 ;;
*odd*) echo "app: ignoring unknown key odd" >&2 ;;
esac
"""


def judge(room: Room, text: str = JUDGE) -> None:
    room.sh("cat > /srv/judge && chmod +x /srv/judge", text.encode())


def change_of(resource: File | Unit) -> Change:
    return Change(stage="app", key=resource.key, action="update", reasons=("it is new",), resource=resource)


def add(batch: Batch, path: str, content: bytes) -> None:
    write_change(batch, change_of(File(path=path, content=content)), NOTHING, SOURCES)


def checked(content: bytes, program: str = "/srv/judge", path: str = CONFIG) -> Batch:
    """What a stage writes for a changed file that its program can look at: the unit's stamp is to go before it changes."""
    batch = Batch()
    for unit in ("app.service", "other.service"):
        batch.add(f"unit {unit}", wire.Unstamp(unit=unit))
    write_change(batch, change_of(File(path=path, content=content, check=(program, "--judge", FILE))), NOTHING, SOURCES)
    return batch


def test_a_file_gets_its_name_after_its_program_took_it(room: Room) -> None:
    judge(room)
    room.text(f"echo old > {CONFIG}; mkdir -p /var/lib/kprov/stamps; touch /var/lib/kprov/stamps/app.service")
    answers = room.apply(checked(b"new\n"))
    assert [row[:2] for row in answers] == [["ok", "1"], ["ok", "2"], ["ok", "4"], ["ok", "3"], ["done", "0"]]
    assert room.text(f"cat {CONFIG} /srv/shown /srv/meanwhile").split() == ["new", "--judge", "old"]
    assert room.text("ls /var/lib/kprov/stamps") == ""
    assert room.leftovers() == ""


def test_a_file_that_its_program_refuses_leaves_everything_as_it_was(room: Room) -> None:
    judge(room)
    room.text(
        f"echo old > {CONFIG}; echo old > /srv/a/other.conf; mkdir -p /var/lib/kprov/stamps; "
        "touch /var/lib/kprov/stamps/app.service"
    )
    batch = checked(b"bad\n")
    add(batch, "/srv/a/other.conf", b"new\n")
    answers = room.apply(batch)
    assert answers[-1][:2] == ["fail", "4"]
    assert answers[-1][2] == (
        "judge refuses the new /srv/a/app.conf, which was not put in place: app: line 1: bad is no setting"
    )
    assert room.text(f"cat {CONFIG} /srv/a/other.conf").split() == ["old", "old"]
    assert room.text("ls /var/lib/kprov/stamps") == "app.service\n"
    assert room.leftovers() == ""


def test_what_comes_along_is_there_when_a_file_that_names_it_is_checked(room: Room) -> None:
    judge(room)
    batch = checked(b"needs\n")
    add(batch, "/srv/a/needed.conf", b"here\n")
    assert room.apply(batch)[-1] == ["done", "0", "-"]
    assert room.text(f"cat {CONFIG} /srv/a/needed.conf").split() == ["needs", "here"]


def test_a_new_program_checks_its_own_file(room: Room) -> None:
    judge(room, "#!/bin/sh\necho the old one >&2; exit 1\n")
    batch = checked(b"bad enough for the old one\n")
    newer = b"#!/bin/sh\nexit 0\n"
    digest, source = hashlib.sha256(newer).hexdigest(), batch.attach(newer)
    batch.add("binary", wire.Binary(path="/srv/judge", mode="0755", sha256=digest, source=source, encoding="raw"))
    assert room.apply(batch)[-1] == ["done", "0", "-"]
    assert room.text(f"cat {CONFIG}") == "bad enough for the old one\n"


def test_where_the_program_is_not_there_yet_nobody_is_asked(room: Room) -> None:
    assert room.apply(checked(b"bad\n", program="/srv/absent"))[-1] == ["done", "0", "-"]
    assert room.text(f"cat {CONFIG}") == "bad\n"


def test_keys_that_a_program_does_not_know_are_told(room: Room) -> None:
    judge(room)
    notes = [row for row in room.apply(checked(b"odd\n")) if row[0] == "note"]
    assert [base64.b64decode(row[2]).decode() for row in notes] == [f"{CONFIG}: app: ignoring unknown key odd"]
    assert room.text(f"cat {CONFIG}") == "odd\n"


# A program that parses its flags and ends, as `--version` makes it.
PARSER = """#!/bin/sh
[ "$2" = --version ] && [ "$1" = "--name=two words" ] || { seq 40 >&2; echo "Error: unknown flag: $1" >&2; exit 1; }
"""


def test_a_unit_is_checked_by_the_command_line_that_it_will_run(room: Room) -> None:
    judge(room, PARSER)
    units = "/etc/systemd/system"
    room.text(f"mkdir -p {units}; mount -t tmpfs room {units}; echo old > {units}/a.service")
    for flag, ends in (("--nam=x", "fail"), ("--name=two words", "done")):
        batch = Batch()
        unit = Unit(name="a.service", content=b"new\n", check=("/srv/judge", flag, "--version"))
        write_change(batch, change_of(unit), NOTHING, SOURCES)
        last = room.apply(batch)[-1]
        assert last[0] == ends
        if ends == "fail":
            assert last[2].endswith("which was not put in place: Error: unknown flag: --nam=x")
        assert room.text(f"cat {units}/a.service") == ("old\n" if ends == "fail" else "new\n")


def test_a_stamp_is_gone_before_anything_else_is_done(room: Room) -> None:
    room.text("mkdir -p /var/lib/kprov/stamps; touch /var/lib/kprov/stamps/app.service; echo x > /srv/a/x")
    batch = Batch()
    batch.add("unit app.service", wire.Unstamp(unit="app.service"))
    batch.add("file /srv/a/x", wire.Mode(path="/srv/a/x", owner="nobody-of-that-name", group="root", mode="0600"))
    assert room.apply(batch)[-1][:2] == ["fail", "2"]
    assert room.text("ls /var/lib/kprov/stamps") == ""
