# SPDX-License-Identifier: GPL-3.0-or-later
"""From an uploaded file to tables of text cells, each row with the number that a person sees for it; or a refusal that
says what is wrong, where, and what to do. Every file is read in bounded memory, whatever its size and content."""

from __future__ import annotations

from localgov_pipeline.lib.reading.reader import read
from localgov_pipeline.lib.reading.shapes import ParsedTable

__all__ = ["ParsedTable", "read"]
