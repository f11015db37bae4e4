# SPDX-License-Identifier: GPL-3.0-or-later
"""What an authority's pipeline leaves in its shared bucket, put there without it."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

from sandbox.journey.organisation import PROFILE

SUBMISSION = "20180401t101500-00000000000000aa"
# Parquet files with so many rows of one column, `CHILD`, which every table of SSDA903 has: made-up pseudonyms.
_CHILDREN = {
    1: (
        "UEFSMRUEFUgVSEwVAhUAAAAgAAAAMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAVABUQFRAsFQIVEBUGFQYAAAIAAAAC"
        "AQADFQwZNQAGEBkYBUNISUxEFQAWAhaUARaUASZqJggAGRwWahUyFgAAABUCGSxIBHJvb3QVAgAVDCUCGAVDSElMRCUATBwAAAAW"
        "AhkcGRwm/gEcFQwZNQAGEBkYBUNISUxEFQAWAhaUARaUASZqJggAFtgBFRQAFpQBFgImCBaUARQAABkcGAxBUlJPVzpzY2hlbWEY"
        "oAEvLy8vLzI0QUFBQUVBQUFBOHYvLy94UUFBQUFFQUFFQUFBQUtBQXNBQ0FBS0FBUUErUC8vL3d3QUFBQUlBQWdBQUFBRUFBRUFB"
        "QUFFQUFBQTdQLy8veXdBQUFBZ0FBQUFHQUFBQUFFVUFBQVFBQklBQkFBUUFCRUFDQUFBQUF3QUFBQUFBUHovLy84RUFBUUFCUUFB"
        "QUVOSVNVeEVBQT09ABhOUG9sYXJzIChweXRob24pIHZlcnNpb24gMi4xLjAgKGJ1aWxkIDdmOTAyYmQzZmZkMjdmZjgyZDE0Mjc4"
        "YTA5YTI5NWZmMmY3YWVkOTIpGRwcAAAAZAEAAFBBUjE="
    ),
    2: (
        "UEFSMRUEFZABFZABTBUEFQAAACAAAAAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMCAAAAAwMDAwMDAwMDAwMDAwMDAw"
        "MDAwMDAwMDAwMDAwMDAwMRUAFRIVEiwVBBUQFQYVBgAAAgAAAAQBAQMCFQwZNQAGEBkYBUNISUxEFQAWBBbiARbiASa2ASYIABkc"
        "FrYBFTQWAAAAFQIZLEgEcm9vdBUCABUMJQIYBUNISUxEJQBMHAAAABYEGRwZHCaYAxwVDBk1AAYQGRgFQ0hJTEQVABYEFuIBFuIB"
        "JrYBJggAFqgCFRYAFuIBFgQmCBbiARQAABkcGAxBUlJPVzpzY2hlbWEYoAEvLy8vLzI0QUFBQUVBQUFBOHYvLy94UUFBQUFFQUFF"
        "QUFBQUtBQXNBQ0FBS0FBUUErUC8vL3d3QUFBQUlBQWdBQUFBRUFBRUFBQUFFQUFBQTdQLy8veXdBQUFBZ0FBQUFHQUFBQUFFVUFB"
        "QVFBQklBQkFBUUFCRUFDQUFBQUF3QUFBQUFBUHovLy84RUFBUUFCUUFBQUVOSVNVeEVBQT09ABhOUG9sYXJzIChweXRob24pIHZl"
        "cnNpb24gMi4xLjAgKGJ1aWxkIDdmOTAyYmQzZmZkMjdmZjgyZDE0Mjc4YTA5YTI5NWZmMmY3YWVkOTIpGRwcAAAAZQEAAFBBUjE="
    ),
}


def share_of(dataset: str, year: int, rows: dict[str, int]) -> dict[str, bytes]:
    """Key to content: a file for each table with so many rows (one or two), and then the manifest that names them."""
    folder = f"{dataset}/{PROFILE}/{year}/"
    contents = {table: base64.b64decode(_CHILDREN[count]) for table, count in rows.items()}
    files = {f"{folder}{table}/{SUBMISSION}.parquet": content for table, content in contents.items()}
    tables = {table: _entry(folder, table, rows[table], content) for table, content in contents.items()}
    manifest = {"dataset": dataset, "profile": PROFILE, "year": year, "tables": tables}
    return {**files, f"{folder}manifest.json": json.dumps(manifest).encode()}


def _entry(folder: str, table: str, rows: int, content: bytes) -> dict[str, Any]:
    named = {"key": f"{folder}{table}/{SUBMISSION}.parquet", "sha256": hashlib.sha256(content).hexdigest()}
    return {"submission": SUBMISSION, "uploaded_at": "2018-04-01T10:15:00Z", "rows": rows, "parquet": named}
