# SPDX-License-Identifier: GPL-3.0-or-later
"""Categories that become text in a parquet file: written in a fifth of the time of texts, and stored alike."""

from __future__ import annotations

import io

import polars as pl


def described_as_text(schema: pl.Schema) -> dict[str, str]:
    """For `metadata` of `sink_parquet`: what the file says of its columns, with text for each that has categories.
    Readers then see text, so that tables with different categories go together."""
    texts = {name: pl.String() if kind == pl.Enum else kind for name, kind in schema.items()}
    example = io.BytesIO()
    pl.DataFrame(schema=texts).write_parquet(example)
    return pl.read_parquet_metadata(example.getvalue())
