"""The probe lies in parts by subject, and all of them are sent."""

from __future__ import annotations

from pathlib import Path

from kprov.observe import scripts


def test_every_part_of_the_probe_is_sent_and_none_is_long() -> None:
    parts = sorted((Path(scripts.__file__).parent / "probe").glob("*.sh"))
    joined = scripts.text()
    for part in parts:
        assert part.read_bytes() in joined, part
        assert len(part.read_text().splitlines()) <= 150, part
    assert len(joined.splitlines()) == sum(len(part.read_text().splitlines()) + 1 for part in parts) - 1
