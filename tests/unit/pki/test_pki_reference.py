"""The page of certificates shows the tree that certificates are issued from."""

from __future__ import annotations

from pathlib import Path

import pytest

from kprov.pki.reference import render, rewrite
from kprov.pki.table import TREE

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "certificates.md"


def test_the_table_on_the_page_is_up_to_date() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert rewrite(page) == page


def test_every_leaf_has_a_row_with_its_common_name() -> None:
    rows = {cells[1]: cells for line in render().splitlines() if (cells := line.strip("|").split("|"))}
    rows = {name.strip(): [cell.strip() for cell in cells] for name, cells in rows.items()}
    for authority, leaves in TREE.items():
        for leaf in leaves:
            assert rows[leaf.name][0] == authority
            assert rows[leaf.name][3] == leaf.cn.replace("{host}", "NAME")


def test_a_page_without_marks_is_left_alone() -> None:
    with pytest.raises(ValueError, match="marks"):
        rewrite("# Certificates\n")
