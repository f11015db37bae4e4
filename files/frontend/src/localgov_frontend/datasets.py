# SPDX-License-Identifier: GPL-3.0-or-later
"""The data returns that can be uploaded. A further one is a further entry."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Dataset:
    name: str
    label: str
    description: str
    years: range
    # The first year of each table.
    first_years: dict[str, int]

    def tables(self, year: int) -> list[str]:
        return sorted(table for table, first_year in self.first_years.items() if first_year <= year)


_SSDA903 = Dataset(
    name="ssda903",
    label="SSDA903",
    description="Children looked after in England",
    years=range(2017, 2027),
    first_years={
        "ad1": 2017,
        "episodes": 2017,
        "header": 2017,
        "missing": 2017,
        "oc2": 2017,
        "oc3": 2017,
        "placed_adoption": 2017,
        "prev_perm": 2017,
        "reviews": 2017,
        "social_worker": 2024,
        "uasc": 2017,
    },
)

DATASETS: dict[str, Dataset] = {dataset.name: dataset for dataset in (_SSDA903,)}


def year_label(year: int) -> str:
    """A return is named after the year in which its period ends, on 31 March."""
    return f"{year} (1 April {year - 1} to 31 March {year})"
