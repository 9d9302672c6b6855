"""Trying a snapshot: etcd's programs are scripts here that answer as they do, and fail as they do."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from nacl.secret import SecretBox

from kprov.run import trial
from kprov.run.trial import restored
from kprov.state.at_rest import opens, readers
from kprov.values.errors import BackupError
from kprov.values.resources import Artifact

KEY = b"k" * 32
SECRET = b"k8s:enc:secretbox:v1:key1:" + bytes(SecretBox(KEY).encrypt(b"k8s\x00secret"))
STATUS = '{"hash":7,"revision":42,"totalKey":4,"totalSize":9,"version":"3.7.0"}'
UTIL = f"""#!/bin/sh
case "$2" in status) echo '{STATUS}' ;; restore) mkdir data; echo "$*" > asked ;; esac
"""
SERVES = '#!/bin/sh\necho "$*" > flags; touch up; exec sleep 60\n'
ENDS = "#!/bin/sh\necho 'cannot listen' >&2; exit 1\n"


def ctl(value: bytes | None = SECRET) -> str:
    rows = {"key": "L3JlZ2lzdHJ5L3NlY3JldHMvbnMvcw==", "value": base64.b64encode(value or b"").decode()}
    found = json.dumps({"kvs": [rows]} if value is not None else {})
    return f"""#!/bin/sh
[ -e up ] || {{ echo 'Error: no connection' >&2; exit 1; }}
case "$*" in
*--keys-only*) printf '/registry/pods/ns/a\\n\\n/registry/secrets/ns/s\\n\\n'; echo "$*" >> asked ;;
*secrets*) echo '{found}' ;;
esac
"""


def programs(folder: Path, **texts: str) -> dict[str, Artifact]:
    found = {}
    (folder / "bin").mkdir()
    for name, text in {"etcd": SERVES, "etcdctl": ctl(), "etcdutl": UTIL, **texts}.items():
        path = folder / "bin" / name
        path.write_text(text)
        path.chmod(0o700)
        found[name] = Artifact(name=name, version="", arch="", sha256="", size=0, local=str(path), reference="")
    return found


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    folder = tmp_path / "trial"
    folder.mkdir()
    path = folder / "snapshot.db"
    path.write_bytes(b"x")
    return path


def test_a_snapshot_is_restored_counted_and_a_secret_opened(tmp_path: Path, snapshot: Path) -> None:
    found = restored(snapshot, programs(tmp_path), lambda path, stored: opens(path, stored, readers("", KEY)))
    assert (found.hash, found.revision, found.keys) == (7, 42, 4)
    assert found.counts == {"pods": 1, "secrets": 1}
    assert (found.secret, found.readable) == ("ns/s", True)
    flags = (snapshot.parent / "flags").read_text()
    assert "http" not in flags, "it serves on sockets of a folder that nobody else may open"
    assert "--rev=42" in (snapshot.parent / "asked").read_text()


@pytest.mark.parametrize(
    ("value", "secret", "readable"),
    [
        (None, "", True),
        (b"k8s\x00plain", "ns/s", True),
        (b"k8s:enc:secretbox:v1:key1:junk", "ns/s", False),
        (b"k8s:enc:kms:v2:x", "ns/s", False),
    ],
)
def test_a_secret_that_does_not_open_is_told(
    tmp_path: Path, snapshot: Path, value: bytes | None, secret: str, readable: bool
) -> None:
    found = restored(
        snapshot, programs(tmp_path, etcdctl=ctl(value)), lambda path, stored: opens(path, stored, readers("", KEY))
    )
    assert (found.secret, found.readable) == (secret, readable)


def test_a_snapshot_that_etcdutl_refuses_is_told_with_its_words(tmp_path: Path, snapshot: Path) -> None:
    refuses = "#!/bin/sh\necho 'Error: snapshot file integrity check failed' >&2; exit 1\n"
    with pytest.raises(BackupError, match="etcdutl snapshot status failed") as caught:
        restored(snapshot, programs(tmp_path, etcdutl=refuses), lambda _: True)
    assert caught.value.found == "Error: snapshot file integrity check failed"


def test_an_etcd_that_does_not_start_is_told_with_its_log(tmp_path: Path, snapshot: Path) -> None:
    with pytest.raises(BackupError, match="does not serve") as caught:
        restored(snapshot, programs(tmp_path, etcd=ENDS), lambda _: True)
    assert "cannot listen" in caught.value.log


def test_a_computer_where_etcd_does_not_run_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(trial.sys, "platform", "darwin")
    with pytest.raises(BackupError, match="cannot be tried on this computer"):
        trial.architecture()
    monkeypatch.setattr(trial.shutil, "disk_usage", lambda _: type("usage", (), {"free": 1 << 20})())
    with pytest.raises(BackupError, match="too little room to try"):
        trial.need_room(tmp_path, 1)
