"""The script of timed backups runs for real, over stand-ins for etcd: when it takes one, what stays, what it says."""

from __future__ import annotations

import fcntl
import hashlib
import json
import subprocess
import tarfile
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kprov.plan.backup import count
from kprov.plan.retention import leaving
from kprov.roles.templating import render
from kprov.values.backup import decode
from kprov.values.model import Keep

KEYS = (
    *("/registry/secrets/default/a", "/registry/secrets/default/b", "/registry/services/specs/default/kubernetes"),
    *("/registry/apps.example.org/things/a", "/registry/ranges/serviceips", "/other/x", "/registry/leases/"),
)
ETCDCTL = """
while [ "${1#--}" != "$1" ]; do shift; done
cd "$ROOM"
[ ! -e broken ] || { echo 'no leader' >&2; exit 1; }
case "$1 ${2-}" in
'get /kprov/backup/done') cat done 2> /dev/null || : ;;
'get --prefix') for key in $KEYS; do printf '%s\\n\\n' "$key"; done ;;
'put /kprov/backup/done') printf '%s\\n' "$3" > done ;;
'snapshot save')
    head -c 300000 /dev/zero > "$3"
    openssl dgst -sha256 -binary < "$3" >> "$3.hash"; cat "$3.hash" >> "$3"; rm "$3.hash" ;;
'lock '*) shift 3; exec "$@" ;;
*) exit 64 ;;
esac
"""
ETCDUTL = """
cd "$ROOM"
case "$1 $2" in
'snapshot status') echo '{"hash":77,"revision":1234,"totalKey":9,"totalSize":300000}' ;;
'snapshot restore') [ ! -e unrestorable ] || { echo 'bad file' >&2; exit 1; }
    mkdir -p "$5/member/snap"; cp "$3" "$5/member/snap/db" ;;
'hashkv '*)
    echo changed >> "$2"
    case $2 in */trial/*) echo "{\\"hash\\":$(cat other 2> /dev/null || echo 5)}" ;; *) echo '{"hash":5}' ;; esac ;;
*) exit 64 ;;
esac
"""
AGE = '[ ! -e "$ROOM/full" ] || { head -c 1000; echo "no space left on device" >&2; exit 1; }; cat'


@dataclass(kw_only=True)
class Host:
    """A host of etcd as the script sees it."""

    room: Path
    name: str = "cp1"
    every: int = 3600
    keep: Keep = field(default_factory=Keep)
    folder: Path | None = None

    @property
    def target(self) -> Path:
        return self.folder or self.room / "kept"

    @property
    def script(self) -> Path:
        return self.room / self.name / "kprov-backup"

    def make(self) -> Host:
        for name in ("kept", self.name, f"{self.name}/work", f"{self.name}/metrics", "data/member/snap"):
            (self.room / name).mkdir(parents=True, exist_ok=True)
        (self.room / "data/member/snap/db").write_bytes(b"x" * 1000)
        (self.room / "state.age").write_bytes(b"sealed")
        for name, program in (("etcdctl", ETCDCTL), ("etcdutl", ETCDUTL), ("age", AGE)):
            path = self.room / self.name / name
            path.write_text(f"#!/bin/sh\nROOM={self.room} KEYS='{' '.join(KEYS)}'\n{program}\n")
            path.chmod(0o755)
        text = render(
            None,
            "backup/kprov-backup.sh.j2",
            bin=str(self.room / self.name),
            host=self.name,
            cluster="prod",
            folder=str(self.target),
            work=str(self.room / self.name / "work"),
            metrics=str(self.room / self.name / "metrics"),
            state=str(self.room / "state.age"),
            every=self.every,
            look=1,
            late=0,
            keep={
                "last": self.keep.last,
                "daily": self.keep.daily,
                "weekly": self.keep.weekly,
                "monthly": self.keep.monthly,
            },
            head='{"format": 2, "cluster": "prod", "cluster_id": "c1", "members": ["cp1", "cp2"], "authorities": {}, '
            '"versions": {"kubernetes": "1.37.2", "etcd": "3.7.3"}, "why": "taken by the hosts", ',
            tail="}",
            port=2379,
            pki="/etc/etcd/pki",
            client="/etc/etcd/pki/healthcheck-client",
            data=str(self.room / "data"),
            recipients=["age1x"],
        )
        self.script.write_bytes(text)
        self.script.chmod(0o755)
        return self

    def run(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.script, *words], input=stdin, capture_output=True, text=True, check=False, timeout=60
        )

    @property
    def status(self) -> dict[str, str]:
        rows = (self.room / self.name / "work" / "status").read_text().splitlines()
        return dict(row.split("=", 1) for row in rows)

    @property
    def kept(self) -> list[str]:
        return sorted(path.name for path in self.target.glob("*.age"))

    @property
    def figures(self) -> dict[str, int]:
        rows = (self.room / self.name / "metrics" / "kprov_backup.prom").read_text().splitlines()
        return {name: int(value) for name, value in (row.split() for row in rows if row[0] != "#")}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(room=tmp_path).make()


def test_a_backup_says_of_itself_what_one_of_the_operators_does(host: Host) -> None:
    done = host.run("take")
    assert done.returncode == 0, done.stderr
    [name] = host.kept
    assert (host.target / name).stat().st_mode & 0o777 == 0o600
    with tarfile.open(host.target / name) as archive:
        assert archive.getnames() == ["manifest.json", "state/trust.json.age", "snapshot.db"]
        manifest = decode(archive.extractfile("manifest.json").read(), name)  # type: ignore[union-attr]
    assert manifest.snapshot.sha256 == hashlib.sha256(b"\0" * 300000).hexdigest()
    assert manifest.snapshot.counts == count(KEYS)
    assert (manifest.member, manifest.snapshot.revision, manifest.snapshot.hash, manifest.snapshot.keys) == (
        "cp1",
        1234,
        77,
        9,
    )
    assert name == f"prod-{manifest.made:%Y%m%dT%H%M%SZ}.kprov-backup.age"
    assert host.status["file"] == name
    assert host.status["error"] == ""
    assert int(host.status["proven"]) >= int(host.status["success"]) > 0
    assert host.figures["kprov_backup_good"] == 1
    assert host.figures["kprov_backup_success_timestamp_seconds"] == int(host.status["success"])
    assert host.run("health").returncode == 0
    assert [path.name for path in (host.room / "cp1/work").iterdir() if path.name not in ("status", "error")] == []


def test_nobody_takes_another_before_it_is_due(host: Host) -> None:
    host.run("take")
    host.run("take")
    other = Host(room=host.room, name="cp2").make()
    assert other.run("take").returncode == 0
    assert len(host.kept) == 1
    assert other.status["host"] == "cp1", "whoever looks knows who took the last one"


def test_another_host_takes_over_when_it_is_due(host: Host) -> None:
    host.run("take")
    old = int(host.status["success"]) - 3601
    (host.room / "done").write_text(f"{old} cp1 1 1 gone\n")
    other = Host(room=host.room, name="cp2", folder=host.room / "kept").make()
    other.run("take")
    assert other.status["host"] == "cp2"


@pytest.mark.parametrize(
    ("trouble", "says"),
    [
        ("broken", "asking etcd when the last one was taken: no leader"),
        ("full", "encrypting it: no space left on device"),
        ("unrestorable", "restoring it for trial: bad file"),
        ("other", "restored for trial, it has another hash: 6, and was 5"),
    ],
)
def test_what_fails_is_told_and_nothing_half_is_left(host: Host, trouble: str, says: str) -> None:
    (host.room / trouble).write_text("6")
    assert host.run("take").returncode == 1
    assert host.status["error"] == says
    assert host.run("health").returncode == 1
    assert host.figures["kprov_backup_good"] == 0
    assert [path.name for path in host.target.iterdir() if path.name != ".lock"] == []
    (host.room / trouble).unlink()
    assert host.run("take").returncode == 0
    assert host.run("health").returncode == 0
    assert len(host.kept) == 1


def test_a_folder_that_is_not_mounted_is_not_made(tmp_path: Path) -> None:
    host = Host(room=tmp_path, folder=tmp_path / "away").make()
    assert host.run("take").returncode == 1
    assert "is not there" in host.status["error"]
    assert not (tmp_path / "away").exists()


def test_another_writer_in_the_folder_is_left_alone(host: Host) -> None:
    part = host.target / ".prod-20260101T000000Z.kprov-backup.age.part"
    part.touch()
    with (host.target / ".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert host.run("take").returncode == 1
        assert "another backup is being written" in host.status["error"]
        assert part.exists()
    assert host.run("take").returncode == 0
    assert not part.exists()


def test_the_trial_is_once_a_week(host: Host) -> None:
    host.run("take")
    status = host.room / "cp1/work/status"
    for days, proven in ((6, False), (8, True)):
        before = int(datetime.now(UTC).timestamp()) - days * 86400
        status.write_text(f"proven={before}\n")
        (host.room / "done").write_text("1 cp1 1 1 gone\n")
        assert host.run("take").returncode == 0
        assert (int(host.status["proven"]) > before) is proven


def names(*moments: datetime) -> list[str]:
    return [f"prod-{moment:%Y%m%dT%H%M%SZ}.kprov-backup.age" for moment in moments]


def removed(host: Host, kept: list[str]) -> set[str]:
    return set(host.run("prune", "-", stdin="".join(f"{name}\n" for name in kept)).stdout.split())


def expected(moments: list[datetime], keep: Keep) -> set[str]:
    """The same by other means: those of `kprov backup prune`."""
    return set(names(*leaving(moments, keep)))


@pytest.mark.parametrize(
    "keep",
    [
        Keep(),
        Keep(last=0, daily=0, weekly=0, monthly=0),
        Keep(last=3, daily=0, weekly=0, monthly=0),
        Keep(last=0, daily=5, weekly=3, monthly=2),
        Keep(last=1, daily=0, weekly=60, monthly=0),
        Keep(last=2, daily=2, weekly=2, monthly=20),
    ],
)
def test_retention_keeps_what_any_rule_asks_for(tmp_path: Path, keep: Keep) -> None:
    host = Host(room=tmp_path, keep=keep).make()
    moments = [datetime(2026, 3, 1, 3, tzinfo=UTC) - timedelta(hours=7 * number) for number in range(2000)]
    assert removed(host, names(*moments)) == expected(moments, keep)


def test_retention_knows_only_this_clusters_backups(tmp_path: Path) -> None:
    host = Host(room=tmp_path, keep=Keep(last=0, daily=0, weekly=0, monthly=0)).make()
    newest, old = names(datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC))
    other = [
        "other-20260101T000000Z.kprov-backup.age",
        "prod-b-20260101T000000Z.kprov-backup.age",
        f".{old}.part",
        "notes",
    ]
    assert removed(host, [*other, newest, old]) == {old}


def test_the_loop_takes_one_and_ends_when_told(host: Host) -> None:
    with subprocess.Popen(
        [host.script, "loop"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        assert "backup" in process.stdout.readline()
        process.terminate()
        assert process.wait(30) == 0
    assert len(host.kept) == 1
    assert json.dumps(host.status["error"]) == '""'
