# SPDX-License-Identifier: GPL-3.0-or-later
"""What a browser sends here: a choice or an errand, never a file."""

from __future__ import annotations

import json
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request

# A handle of an upload with the checksum of a part is about a kilobyte.
_LARGEST_BYTES = 4096


def wants_json(request: Request) -> bool:
    return request.headers.get("content-type", "").partition(";")[0].strip() == "application/json"


async def read_body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LARGEST_BYTES:
            raise HTTPException(413, "Only the choice of dataset and year is sent here; the file goes to S3.")
    return body


async def read_object(request: Request) -> dict[str, Any]:
    try:
        sent = json.loads(await read_body(request))
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, "The request could not be read.") from error
    if not isinstance(sent, dict):
        raise HTTPException(400, "The request must be a JSON object.")
    return sent
