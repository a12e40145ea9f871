"""The differences between the transports: few, each with its reason, each asserted by a test, and told by the page of the docs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .httpx_differences import DIFFERENCES

HERE = Path(__file__).parent
PAGE = HERE.parent.parent / "docs" / "httpx.md"


def test_they_are_few_and_each_has_its_reason() -> None:
    assert len(DIFFERENCES) <= 10
    assert all(all(each) for each in DIFFERENCES.values())


def test_each_is_asserted_to_differ() -> None:
    plays = "".join(path.read_text(encoding="utf-8") for path in sorted(HERE.glob("test_httpx_side_by_side_*.py")))
    assert [name for name in DIFFERENCES if f'"{name}"' not in plays] == []


@pytest.mark.skipif(not PAGE.exists(), reason="the docs aren't beside these tests")
def test_the_page_tells_them() -> None:
    section = PAGE.read_text(encoding="utf-8").partition("## Differences")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| \*\*(.+?)\*\* \| (.+?) \| (.+?) \| (.+?) \|$", section, re.MULTILINE)
    assert rows == [(name, each.theirs, each.ours, each.why) for name, each in DIFFERENCES.items()]
