# SPDX-License-Identifier: GPL-3.0-or-later
"""Who comes in: sign-in at the user pool (OpenID Connect, code flow with PKCE), sessions, and forms that are ours.

`SignIn` stands before every page. What it lets through finds the person's `Visit` in the request.
"""

from __future__ import annotations

import hmac
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import requests
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.requests_client import OAuth2Session
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from localgov_frontend.access import EVERYTHING, Access, access_of, groups_in
from localgov_frontend.middleware import is_cross_origin
from localgov_frontend.sessions import Cookies, Session, SignInUnderWay, new_session
from localgov_frontend.sign_in_settings import CALLBACK_PATH, SIGNED_OUT_PATH, SignInSettings
from localgov_frontend.tokens import SigningKeys, TokenError, verify_id_token

_log = logging.getLogger("localgov_frontend.sign_in")
SIGN_IN_PATH = "/sign-in"
SIGN_OUT_PATH = "/sign-out"
FORM_FIELD = "form_token"
FORM_HEADER = "x-form-token"
# To connect, and to be answered.
_TIMEOUT = (3, 10)
_SCOPE = "openid email profile"
_OPEN_PATHS = frozenset({"/health", SIGN_IN_PATH, CALLBACK_PATH, SIGNED_OUT_PATH})
_OPEN_FOLDERS = ("/static/", "/govuk/")
_SAFE_METHODS = frozenset({"GET", "HEAD"})
_LONGEST_RETURN_PATH = 500
_LARGEST_FORM_BYTES = 64 * 1024

Refuse = Callable[[Request, int, str, str], Response]


@dataclass(frozen=True)
class Visit:
    """Who asks, and what they may; nobody in particular where nobody signs in."""

    access: Access
    session: Session | None = None


ANYBODY = Visit(EVERYTHING)


def visit(request: Request) -> Visit:
    """What `SignIn` found out; without it, nobody is anybody in particular."""
    found: Visit = request.scope.get("visit", ANYBODY)
    return found


class SignIn:
    """ASGI middleware. `refuse` draws a page that says why not."""

    def __init__(self, app: ASGIApp, settings: SignInSettings, refuse: Refuse) -> None:
        self._app = app
        self._settings = settings
        self._refuse = refuse
        self._cookies = Cookies(settings)
        self._keys = SigningKeys(settings)
        self._own_pages: dict[str, Callable[[Request], Awaitable[Response]]] = {
            SIGN_IN_PATH: self._begin,
            CALLBACK_PATH: self._finish,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        own_page = self._own_pages.get(request.url.path)
        if own_page and request.method == "GET":
            await (await own_page(request))(scope, receive, send)
            return
        await self._guard(request, receive, send)

    async def _guard(self, request: Request, receive: Receive, send: Send) -> None:
        scope = request.scope
        session = self._cookies.session(request)
        access = access_of(session.groups, self._settings.roles) if session else Access()
        scope["visit"] = Visit(access, session)
        if is_open(request.url.path):
            await self._app(scope, receive, send)
            return
        answer, receive = await self._judge(request, receive)
        if answer is not None:
            await answer(scope, receive, send)
            return
        await self._app(scope, receive, self._renewing(request, session, send))

    async def _judge(self, request: Request, receive: Receive) -> tuple[Response | None, Receive]:
        """A refusal or a redirect, or None for what may pass."""
        found = visit(request)
        if found.session is None:
            return self._answer_nobody(request), receive
        if request.method not in _SAFE_METHODS:
            is_ours, receive = await _is_our_form(request, found.session, receive)
            if not is_ours:
                _log.warning("%s %s: refused, as its form is not of this session", request.method, request.url.path)
                text = "It was not sent from a page of this session. Go to the first page and try again."
                return self._refuse(request, 403, "This form cannot be accepted", text), receive
        if request.url.path == SIGN_OUT_PATH and request.method == "POST":
            return self._sign_out(found.session), receive
        if found.access.is_none:
            _log.warning("%s is signed in, but in none of the groups that may use this service", found.session.subject)
            return self._refuse(request, 403, "You do not have access to this service", ""), receive
        if request.method not in _SAFE_METHODS and not found.access.upload:
            text = "You may look at results, but not upload files."
            return self._refuse(request, 403, "You cannot upload files", text), receive
        return None, receive

    def _answer_nobody(self, request: Request) -> Response:
        if request.url.path == SIGN_OUT_PATH:
            return RedirectResponse(SIGNED_OUT_PATH, 303)
        if request.method in _SAFE_METHODS and not _is_read_by_script(request):
            path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            return RedirectResponse(f"{SIGN_IN_PATH}?{urlencode({'return': path})}", 303)
        text = "Your session has ended. Sign in and start again."
        return self._refuse(request, 401, "You are not signed in", text)

    def _renewing(self, request: Request, session: Session | None, send: Send) -> Send:
        """Whoever does something stays signed in; a page that asks for news by itself does nothing."""
        renewed = self._cookies.renewed(session) if session and not _is_poll(request) else None
        if renewed is None:
            return send

        async def send_with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                carrier = Response()
                self._cookies.keep(carrier, renewed)
                MutableHeaders(scope=message).append("set-cookie", carrier.headers["set-cookie"])
            await send(message)

        return send_with_cookie

    # --- Signing in ---

    async def _begin(self, request: Request) -> Response:
        return_path = safe_return_path(request.query_params.get("return", ""))
        if request.headers.get("host") != self._settings.public_host:
            # Cookies of another name of this service would not come back with the person.
            query = urlencode({"return": return_path})
            return RedirectResponse(f"{self._settings.public_url}{SIGN_IN_PATH}?{query}", 303)
        under_way = SignInUnderWay(
            state=secrets.token_urlsafe(32),
            nonce=secrets.token_urlsafe(32),
            code_verifier=secrets.token_urlsafe(64),
            return_path=return_path,
            started_at=time.time(),
        )
        parameters = {"identity_provider": self._settings.provider} if self._settings.provider else {}
        address, _ = self._client().create_authorization_url(
            f"{self._settings.domain_url}/oauth2/authorize",
            state=under_way.state,
            code_verifier=under_way.code_verifier,
            nonce=under_way.nonce,
            **parameters,
        )
        response = RedirectResponse(address, 303)
        self._cookies.begin(response, under_way)
        return response

    async def _finish(self, request: Request) -> Response:
        under_way = self._cookies.under_way(request)
        if under_way is None or not _same(request.query_params.get("state", ""), under_way.state):
            _log.warning("A sign-in came back that did not begin in that browser, or that has been finished")
            return self._failed(
                request, 400, "The sign-in did not begin in this browser, took too long, or was finished before."
            )
        code = request.query_params.get("code", "")
        if not code:
            _log.warning("The sign-in pages sent somebody back without a code")
            return self._failed(request, 400, "The sign-in pages did not let you in.")
        try:
            claims = await run_in_threadpool(self._redeem, code, under_way)
        except (AuthlibBaseError, TokenError) as error:
            _log.warning("A sign-in was refused: %s", _reason(error))
            return self._failed(request, 400, "What came back from the sign-in pages is not valid.")
        except (requests.RequestException, ValueError) as error:
            _log.error("The user pool did not answer: %s", type(error).__name__)
            return self._failed(request, 503, "The sign-in service did not answer. Try again in a few minutes.")
        return self._welcome(claims, under_way.return_path)

    def _redeem(self, code: str, under_way: SignInUnderWay) -> dict[str, Any]:
        token = self._client().fetch_token(
            self._settings.token_url,
            grant_type="authorization_code",
            code=code,
            code_verifier=under_way.code_verifier,
            timeout=_TIMEOUT,
            allow_redirects=False,
        )
        return verify_id_token(str(token.get("id_token", "")), self._settings, self._keys, under_way.nonce)

    def _welcome(self, claims: dict[str, Any], return_path: str) -> Response:
        held = [name for name in groups_in(claims, self._settings.provider) if name in self._settings.roles]
        name = str(claims.get("name") or claims.get("email") or claims["sub"])[:100]
        session = new_session(str(claims["sub"]), name, held)
        _log.info("%s signed in, in groups: %s", session.subject, ", ".join(held) or "none that count")
        response = RedirectResponse(return_path, 303)
        self._cookies.keep(response, session)
        self._cookies.forget(response, "sign-in")
        return response

    def _failed(self, request: Request, status: int, why: str) -> Response:
        response = self._refuse(request, status, "You could not be signed in", why)
        self._cookies.forget(response, "sign-in")
        return response

    def _client(self) -> Any:  # noqa: ANN401 - Authlib has no types of its own
        client = OAuth2Session(
            self._settings.client_id,
            self._settings.client_secret,
            scope=_SCOPE,
            redirect_uri=self._settings.redirect_uri,
            code_challenge_method="S256",
        )
        client.verify = self._settings.ca_bundle or True
        return client

    # --- Signing out ---

    def _sign_out(self, session: Session) -> Response:
        """End the session here and at the user pool, whose pages would otherwise let anybody back in unasked."""
        self._cookies.end(session)
        _log.info("%s signed out", session.subject)
        query = urlencode({"client_id": self._settings.client_id, "logout_uri": self._settings.signed_out_uri})
        response = RedirectResponse(f"{self._settings.domain_url}/logout?{query}", 303)
        self._cookies.forget(response, "session")
        return response


def is_open(path: str) -> bool:
    return path in _OPEN_PATHS or path.startswith(_OPEN_FOLDERS)


def safe_return_path(path: str) -> str:
    """A path of this service, or the first page: `//host` and `/\\host` are addresses of other sites to a browser."""
    parts = urlsplit(path)
    is_own = path.startswith("/") and not path.startswith(("//", "/\\")) and not parts.netloc and not parts.scheme
    is_plain = path.isascii() and path.isprintable() and "\\" not in path and len(path) <= _LONGEST_RETURN_PATH
    return path if is_own and is_plain and not is_open(parts.path) and parts.path != SIGN_OUT_PATH else "/"


def _is_poll(request: Request) -> bool:
    return request.url.path.endswith("/status")


def _is_read_by_script(request: Request) -> bool:
    return _is_poll(request) or request.headers.get("sec-fetch-mode") == "cors"


async def _is_our_form(request: Request, session: Session, receive: Receive) -> tuple[bool, Receive]:
    """Whether the session's token came with it, in a header (scripts) or a field (forms), from this very site."""
    if is_cross_origin(request.headers):
        return False, receive
    given = request.headers.get(FORM_HEADER, "")
    if not given and request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        body, receive = await _read_again(receive)
        given = parse_qs(body.decode(errors="replace")).get(FORM_FIELD, [""])[-1]
    return _same(given, session.form_token), receive


async def _read_again(receive: Receive) -> tuple[bytes, Receive]:
    """The body's beginning, and a `receive` that hands out the same messages once more."""
    messages: list[Message] = []
    size = 0
    while size <= _LARGEST_FORM_BYTES:
        message = await receive()
        messages.append(message)
        size += len(message.get("body", b""))
        if not message.get("more_body"):
            break
    kept = iter(list(messages))

    async def again() -> Message:
        return next(kept, None) or await receive()

    return b"".join(message.get("body", b"") for message in messages), again


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())


def _reason(error: Exception) -> str:
    """Without what the other side said at length, which may repeat what we sent."""
    return str(error.error) if isinstance(error, AuthlibBaseError) else str(error)
