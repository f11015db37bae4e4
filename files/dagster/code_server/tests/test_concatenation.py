# SPDX-License-Identifier: GPL-3.0-or-later
"""What the regional summary shows, and what nobody can work out of it with the numbers that stand beside it."""

from __future__ import annotations

from itertools import product

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from localgov_pipeline.lib.concatenation import numbers_hidden, summary


def worked_out(numbers: list[int], hidden: int) -> bool:
    """Whether a small number follows from what is shown, by trying every way to fill in what is hidden."""
    small = sum(number < 5 for number in numbers)
    total = sum(numbers[:hidden])
    most = numbers[hidden] if hidden < len(numbers) else total
    ways = product(*[range(1, 5)] * small, *[range(5, most + 1)] * (hidden - small))
    fitting = [way for way in ways if sum(way) == total]
    assert tuple(numbers[:hidden]) in fitting
    return any(len({way[place] for way in fitting}) == 1 for place in range(small))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(1, 11), min_size=1, max_size=5).map(sorted))
def test_no_small_number_follows_from_what_is_shown_and_no_more_is_hidden_than_that_takes(numbers: list[int]) -> None:
    hidden = numbers_hidden(numbers)
    small = sum(number < 5 for number in numbers)
    if not small:
        assert hidden == 0
        return
    if hidden is not None:
        assert not worked_out(numbers, hidden)
    least = len(numbers) + 1 if hidden is None else hidden
    assert all(worked_out(numbers, fewer) for fewer in range(small, least))


@pytest.mark.parametrize(
    ("numbers", "shown"),
    [
        ({"F": 9, "M": 6, "U": 1}, {"F": "9", "M": "*", "U": "<5"}),
        ({"F": 3, "M": 2, "U": 9}, {"F": "<5", "M": "<5", "U": "9"}),
        # One and one are two, and nothing else is.
        ({"F": 1, "M": 1, "U": 9}, {"F": "<5", "M": "<5", "U": "*"}),
        ({"F": 1, "M": 1}, {}),
    ],
)
def test_as_much_is_hidden_as_keeps_small_numbers_from_being_worked_out(
    numbers: dict[str, int], shown: dict[str, str]
) -> None:
    codes = [code for code, number in numbers.items() for _ in range(number)]
    rows = pl.LazyFrame({"local_authority": ["alphaton"] * len(codes), "SEX": codes})
    counts = summary(rows, "header", ["SEX"])
    assert dict(counts.select("code", "count").rows()) == shown
