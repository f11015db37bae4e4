# SPDX-License-Identifier: GPL-3.0-or-later
"""The authority's own thresholds of checks, from CHECK_THRESHOLDS: dataset to check to number."""

from __future__ import annotations

import os

from pydantic import TypeAdapter, ValidationError

from localgov_pipeline.lib.declarations import declared, declared_datasets, declared_years

_FORM = TypeAdapter(dict[str, dict[str, float]])


class ThresholdsError(ValueError):
    pass


def thresholds(dataset: str) -> dict[str, float]:
    """Before the declared ones go those of the authority."""
    return _configured().get(dataset, {})


def refuse_unknown() -> None:
    """A name that is in no year's rules is a mistake of whoever configures the platform, and no file's."""
    for dataset, chosen in _configured().items():
        if dataset not in declared_datasets():
            known = ", ".join(declared_datasets())
            raise ThresholdsError(f"CHECK_THRESHOLDS names the dataset {dataset!r}: use one of {known}.")
        checks = sorted({name for year in declared_years(dataset) for name in declared(dataset, year).checks})
        if unknown := sorted(set(chosen) - set(checks)):
            raise ThresholdsError(
                f"CHECK_THRESHOLDS names {', '.join(map(repr, unknown))}, which {dataset} has in no year: use "
                f"{', '.join(checks)}."
            )


def _configured() -> dict[str, dict[str, float]]:
    try:
        return _FORM.validate_json(os.environ.get("CHECK_THRESHOLDS") or "{}")
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_input=False)[0]["msg"]
        raise ThresholdsError(
            'CHECK_THRESHOLDS is not of the form {"ssda903": {"<check>": <number>}}: ' + f"{wrong}."
        ) from None
