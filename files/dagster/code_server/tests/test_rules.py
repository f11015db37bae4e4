# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules of single columns, as they are declared."""

from __future__ import annotations

import polars as pl
import pytest
from localgov_pipeline.lib.declarations import Column
from localgov_pipeline.lib.rules import rule_of

SPENT = {"type": "integer", "mandatory": False, "share": {"regional": "never"}}


@pytest.mark.parametrize(
    ("bounds", "accepted", "refused", "said"),
    [
        (
            {},
            ["0", "-3", "3000000000", "3000000000.0", "9" * 18, "-" + "9" * 18],
            ["9" * 19, "1.5"],
            "at most 18 digit",
        ),
        ({"minimum": 0}, ["3000000000"], ["-1"], "of 0 or more"),
        ({"minimum": 0, "maximum": 5 * 10**9}, ["5000000000"], ["5000000001"], "from 0 to 5000000000"),
    ],
    ids=["of any size", "with a lower bound", "with both"],
)
def test_a_number_is_refused_for_what_its_declaration_says_and_for_its_size_alone_only_where_it_cannot_be_held(
    bounds: dict[str, int], accepted: list[str], refused: list[str], said: str
) -> None:
    rule = rule_of("SPENT", Column.model_validate({**SPENT, **bounds}))
    cells = pl.DataFrame({"SPENT": [*accepted, *refused]}, schema={"SPENT": pl.String})
    found = cells.select(rule.clean).to_series().to_list()
    assert found == [*(int(cell.removesuffix(".0")) for cell in accepted), *[None] * len(refused)]
    assert said in rule.reason
