# SPDX-License-Identifier: GPL-3.0-or-later
"""What surrounds every answer: security headers, a log line, and the refusal of forms sent from other sites."""

from __future__ import annotations

import logging
import time
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_log = logging.getLogger("localgov_frontend.access")
_STATIC = ("/static/", "/govuk/")
# A year. Not for the names below: those are not this service's.
_TLS_ONLY = "max-age=31536000"
_HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    # Not "no-referrer": with that, browsers send "Origin: null" on our own forms.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def content_security_policy(upload_origin: str = "", sign_in_origin: str = "") -> str:
    """Everything from this site only, no inline script or style; the upload page may also send to S3.

    Browsers hold the form that signs out to `form-action` when it is redirected to the sign-in pages' own sign-out.
    """
    directives = {
        "default-src": "'none'",
        "base-uri": "'none'",
        "connect-src": f"'self' {upload_origin}",
        "form-action": " ".join(filter(None, ("'self'", upload_origin, sign_in_origin))),
        "frame-ancestors": "'none'",
        "img-src": "'self'",
        "script-src": "'self'",
        "style-src": "'self'",
    }
    return "; ".join(f"{name} {sources.strip()}" for name, sources in directives.items())


def is_cross_origin(headers: Headers) -> bool:
    """Whether a browser sent this from another site. Other programs send neither header and carry no one's session."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site not in {"same-origin", "none"}
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != headers.get("host")


def surround(app: ASGIApp, sign_in_origin: str = "") -> ASGIApp:
    """Outside of the framework's own error handling, so that its error pages carry the headers too."""

    async def surrounded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        started = time.perf_counter()

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                _add_headers(scope, MutableHeaders(scope=message), sign_in_origin)
                _write_log(scope, message["status"], time.perf_counter() - started)
            await send(message)

        await app(scope, receive, send_with_headers)

    return surrounded


def _add_headers(scope: Scope, headers: MutableHeaders, sign_in_origin: str) -> None:
    for name, value in _HEADERS.items():
        headers[name] = value
    headers.setdefault("Content-Security-Policy", content_security_policy(sign_in_origin=sign_in_origin))
    # Pages hold signed requests and people's errors; only the stylesheet and scripts may be kept.
    headers["Cache-Control"] = "public, max-age=3600" if scope["path"].startswith(_STATIC) else "no-store"
    if scope["scheme"] == "https":
        headers["Strict-Transport-Security"] = _TLS_ONLY


def _write_log(scope: Scope, status: int, seconds: float) -> None:
    if scope["path"] == "/health":
        return
    # The path as it was sent (still percent-encoded, so one line stays one line), without the query string.
    path = scope["raw_path"].decode("ascii", "backslashreplace")
    _log.info("%s %s %d %.0f ms", scope["method"], path, status, seconds * 1000)
