# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation's pictures show what there is."""

from __future__ import annotations

from docs import screenshots


def test_the_page_is_as_it_was_when_its_pictures_were_taken() -> None:
    taken = screenshots.TAKEN.read_text(encoding="utf-8").strip()
    assert taken == screenshots.digest(), "The page has changed. Take its pictures again, and look: make screenshots"
