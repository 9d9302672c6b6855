"""What hosts say of their backups is read whatever it says, and the newest word counts."""

from __future__ import annotations

from dataclasses import replace

from observed import bare
from pki_cases import NOW, cluster, host

from kprov.observe.observation import Observation
from kprov.plan.timed_backup import newest, told, troubles
from kprov.values.model import BackupSettings
from kprov.values.paths import BACKUP_STATUS

CLUSTER = replace(cluster(host("cp1"), host("w1", ("worker",))), backup=BackupSettings(every=600))
GOOD = "tried=20\nerror=\nproven=5\nsuccess=10\nhost=cp1\nfile=a.age\nsize=7\nrevision=3\n"


def seen(text: str | bytes) -> Observation:
    return replace(bare(), texts={BACKUP_STATUS: text.encode() if isinstance(text, str) else text})


def test_a_word_is_read_whatever_is_in_it() -> None:
    assert told(bare()) is None
    word = told(seen(GOOD))
    assert word is not None
    assert (word.at, word.by, word.file, word.size, word.tried, word.proven) == (10, "cp1", "a.age", 7, 20, 5)
    for strange in (b"\xff\xfe", b"", b"success=later\nsize=-1\n", b"=\n===\n", b"success=9" * 1000):
        assert told(seen(strange)) is not None
    word = told(seen("error=\x1b[31mred\x07\n"))
    assert word is not None
    assert word.error == "[31mred", "nothing of a host drives the terminal"


def test_the_newest_word_counts() -> None:
    later = GOOD.replace("success=10", "success=30").replace("host=cp1", "host=cp2")
    word = newest({"cp1": seen(GOOD), "cp2": seen(later), "w1": bare()})
    assert word is not None
    assert word.by == "cp2"
    assert newest({"w1": bare()}) is None


def test_only_hosts_that_take_them_are_judged() -> None:
    failed = seen("error=no room\n")
    assert troubles(CLUSTER, "cp1", failed, NOW) == ["the backup that it tried to take failed: no room"]
    assert troubles(CLUSTER, "w1", failed, NOW) == []
    assert troubles(replace(CLUSTER, backup=BackupSettings()), "cp1", failed, NOW) == []


def test_one_that_is_twice_its_interval_old_is_too_old() -> None:
    now = int(NOW.timestamp())
    assert troubles(CLUSTER, "cp1", seen(f"success={now - 1200}\n"), NOW) == []
    assert troubles(CLUSTER, "cp1", seen(f"success={now - 1260}\n"), NOW) == [
        "the last timed backup is 21 minutes old, and one is due every 10"
    ]
