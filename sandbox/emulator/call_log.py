# SPDX-License-Identifier: GPL-3.0-or-later
"""For measurements: each call in a file, and an answer as late as that of a control plane far away.

``LOCALGOV_SANDBOX_CALL_LOG`` names the file, which gets a line `<account id> <service> <operation>` for each request;
of a service that speaks REST the operation is the method. ``LOCALGOV_SANDBOX_LATENCY`` is how many milliseconds
every answer takes longer. Without these variables nothing changes.
"""

from __future__ import annotations

import asyncio
import functools
import os
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from sandbox.emulator.internals import find
from sandbox.settings import Settings, SettingsError

NEEDS = ("ministack.app._dispatch_service_request", "ministack.core.responses.get_account_id")

FILE, LATENCY = "LOCALGOV_SANDBOX_CALL_LOG", "LOCALGOV_SANDBOX_LATENCY"


def install(settings: Settings) -> None:
    del settings
    file, latency = os.environ.get(FILE), _seconds(os.environ.get(LATENCY) or "0")
    if not file and not latency:
        return
    app, account = find("ministack.app"), find("ministack.core.responses.get_account_id")
    shipped = app._dispatch_service_request

    @functools.wraps(shipped)
    async def dispatch(
        method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any], request_id: str
    ) -> Any:  # noqa: ANN401
        if file:
            with Path(file).open("a", encoding="utf-8") as log:
                log.write(f"{account()} {_service(headers)} {_operation(method, headers, body)}\n")
        if latency:
            await asyncio.sleep(latency)
        return await shipped(method, path, headers, body, query, request_id)

    app._dispatch_service_request = dispatch


def _seconds(milliseconds: str) -> float:
    if not milliseconds.isdecimal():
        raise SettingsError(f"{LATENCY} is {milliseconds!r}: it must be a whole number of milliseconds.")
    return int(milliseconds) / 1000


def _service(headers: dict[str, str]) -> str:
    """The service whose name the signature has; `-` for a request that is not signed in a header."""
    scope = headers.get("authorization", "").partition("Credential=")[2].partition(",")[0].split("/")
    return scope[3] if len(scope) > 3 else "-"


def _operation(method: str, headers: dict[str, str], body: bytes) -> str:
    target = headers.get("x-amz-target", "").rpartition(".")[2]
    if target:
        return target
    if headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return parse_qs(body.decode(errors="replace")).get("Action", [method])[0]
    return method
