# SPDX-License-Identifier: GPL-3.0-or-later
"""Who comes in, and who does not: the real service, a provider that keeps the rules of the code flow, and forgers."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from account import BUCKET, Account
from conftest import PREVIOUS_SESSION_KEY, SESSION_KEY, Frontend, running_frontend
from joserfc import jwt
from localgov_frontend.datasets import DATASETS
from localgov_frontend.handles import Handles
from localgov_frontend.multipart import PART_BYTES, Upload
from localgov_frontend.sessions import Cookies, Session, new_session
from localgov_frontend.sign_in import safe_return_path
from localgov_frontend.sign_in_settings import SignInSettings, read_sign_in
from localgov_frontend.submissions import new_submission
from processes import free_port
from provider import CLIENT_SECRET, Provider, new_key, person
from starlette.responses import Response

_CHOICE = {"dataset": "ssda903", "year": "2026"}
CSV = DATASETS["ssda903"].kinds[0]


@pytest.fixture(autouse=True)
def honest(provider: Provider) -> None:
    provider.signed_in, provider.sign = person("Ada", "uploaders", name="Ada Byron"), None


@pytest.fixture
def http(camden: Frontend, data_store: Account) -> Iterator[httpx.Client]:
    """A browser, as far as cookies go."""
    with camden.http as client:
        yield client


def sign_in(http: httpx.Client, path: str = "/") -> httpx.Response:
    return http.get(path, follow_redirects=True)


def form_token(page: httpx.Response) -> str:
    token: str = page.text.partition('<meta name="form-token" content="')[2].partition('"')[0]
    assert token
    return token


def callback(http: httpx.Client) -> str:
    """Sign in up to the last step: the address to which the provider would send the browser back."""
    begun = http.get("/sign-in")
    return httpx.get(begun.headers["location"]).headers["location"]


# --- Signing in ---


def test_a_person_signs_in_and_comes_back_to_the_page_that_they_asked_for(http: httpx.Client) -> None:
    page = sign_in(http, "/?dataset=ssda903&year=2024")
    assert page.status_code == 200
    assert page.url.path == "/"
    assert page.url.query == b"dataset=ssda903&year=2024"
    assert "Ada Byron" in page.text


def test_the_request_to_the_sign_in_pages_has_a_challenge_a_state_and_a_nonce(http: httpx.Client) -> None:
    first, second = (
        parse_qs(urlsplit(http.get("/sign-in").headers["location"]).query, strict_parsing=True) for _ in range(2)
    )
    assert first["response_type"] == ["code"]
    assert first["code_challenge_method"] == ["S256"]
    assert first["scope"] == ["openid email profile"]
    for name in ("state", "nonce", "code_challenge"):
        assert len(first[name][0]) >= 43
        assert first[name] != second[name]
    assert "code_verifier" not in first


@pytest.mark.parametrize("path", ["/", "/nowhere", "/submissions/ssda903/2026/20261121t101500-6f1c9a20b7d44f0e"])
def test_without_a_session_a_page_leads_to_the_sign_in(http: httpx.Client, path: str) -> None:
    answer = http.get(path)
    assert answer.status_code == 303
    assert urlsplit(answer.headers["location"]).path == "/sign-in"


@pytest.mark.parametrize("path", ["/health", "/static/frontend.css", "/govuk/govuk-frontend.min.css", "/signed-out"])
def test_health_and_static_files_are_open(http: httpx.Client, path: str) -> None:
    assert http.get(path).status_code == 200


@pytest.mark.parametrize("path", ["/static/../", "/health/", "/static/%2e%2e/", "//health", "/sign-in/", "/health;/"])
def test_no_spelling_of_an_open_address_opens_another(http: httpx.Client, path: str) -> None:
    answer = http.get(httpx.URL(str(http.base_url), raw_path=path.encode()))
    assert answer.status_code in {303, 404}
    assert "Which data return" not in answer.text


def test_without_a_session_nothing_can_be_sent_and_scripts_are_told_in_json(
    http: httpx.Client, data_store: Account
) -> None:
    assert http.post("/submissions", data=_CHOICE).status_code == 401
    for answer in (
        http.post("/submissions", json=_CHOICE),
        http.get("/submissions/ssda903/2026/20261121t101500-6f1c9a20b7d44f0e/status"),
    ):
        assert answer.status_code == 401
        assert answer.json()["error"].startswith("You are not signed in.")


def test_by_another_name_of_the_service_a_person_is_led_to_its_own(http: httpx.Client, camden: Frontend) -> None:
    answer = http.get("/sign-in?return=/x", headers={"Host": "10.0.0.1:8080"})
    assert answer.headers["location"] == f"{camden.address}/sign-in?return=%2Fx"


@pytest.mark.parametrize(
    "path",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "\\/evil.example",
        "/\t/evil.example",
        "evil.example",
        "javascript:alert(1)",
        "/sign-in?return=/",
        "/sign-out",
        "/" + "x" * 600,
        "",
    ],
)
def test_a_return_to_anywhere_else_becomes_the_first_page(path: str) -> None:
    assert safe_return_path(path) == "/"


def test_an_open_redirect_is_refused(http: httpx.Client, camden: Frontend) -> None:
    page = sign_in(http, "/sign-in?return=https://evil.example/")
    assert str(page.url) == f"{camden.address}/"


# --- Codes and tokens that are not right ---


def test_a_code_is_of_use_once(http: httpx.Client) -> None:
    under_way = callback(http)
    before = dict(http.cookies)
    assert http.get(under_way).status_code == 303
    # The same browser has forgotten that sign-in ...
    assert http.get(under_way).status_code == 400
    # ... and whoever kept its cookie meets the provider, for which the code is spent.
    answer = httpx.get(under_way, headers={"Cookie": "; ".join(f"{name}={value}" for name, value in before.items())})
    assert answer.status_code == 400
    assert "session=" not in answer.headers.get("set-cookie", "")


def test_a_sign_in_that_began_in_another_browser_is_refused(camden: Frontend, http: httpx.Client) -> None:
    elsewhere = callback(camden.http)
    assert http.get(elsewhere).status_code == 400
    http.get("/sign-in")
    answer = http.get(elsewhere)
    assert answer.status_code == 400
    assert "You could not be signed in" in answer.text
    assert http.get("/").status_code == 303


@pytest.mark.parametrize("query", ["", "?error=access_denied&state={state}", "?code=x", "?code=x&state=y"])
def test_a_callback_without_what_it_needs_is_refused(http: httpx.Client, query: str) -> None:
    state = parse_qs(urlsplit(http.get("/sign-in").headers["location"]).query)["state"][0]
    assert http.get(f"/sign-in/callback{query.format(state=state)}").status_code == 400


def _part(document: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()


def _unsigned(provider: Provider, claims: dict[str, Any]) -> str:
    return f"{_part({'alg': 'none', 'kid': provider.key.kid})}.{_part(claims)}."


def _by_another_key(provider: Provider, claims: dict[str, Any]) -> str:
    return jwt.encode({"alg": "RS256", "kid": provider.key.kid}, claims, new_key(), algorithms=["RS256"])


def _by_the_public_key_as_a_shared_secret(provider: Provider, claims: dict[str, Any]) -> str:
    signed = f"{_part({'alg': 'HS256', 'kid': provider.key.kid})}.{_part(claims)}"
    signature = hmac.digest(provider.key.as_pem(private=False), signed.encode(), "sha256")
    return f"{signed}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def _altered(provider: Provider, claims: dict[str, Any]) -> str:
    head, _, signature = provider.rightly(claims).split(".")
    _, body, _ = provider.rightly({**claims, "cognito:groups": ["uploaders", "administrators"]}).split(".")
    return f"{head}.{body}.{signature}"


def _claiming(**changes: object) -> Callable[[Provider, dict[str, Any]], str]:
    return lambda provider, claims: provider.rightly(
        {name: value for name, value in {**claims, **changes}.items() if value is not None}
    )


_OTHER_POOL = "https://cognito-idp.eu-west-2.amazonaws.com/eu-west-2_Croydon12"
_FORGERIES: dict[str, Callable[[Provider, dict[str, Any]], str]] = {
    "unsigned": _unsigned,
    "signed by another key": _by_another_key,
    "signed by the public key as a shared secret": _by_the_public_key_as_a_shared_secret,
    "altered": _altered,
    "of another authority's pool": _claiming(iss=_OTHER_POOL),
    "for another client": _claiming(aud="another"),
    "for nobody": _claiming(aud=None),
    "of another sign-in": _claiming(nonce="another"),
    "of no sign-in": _claiming(nonce=None),
    "expired": _claiming(exp=int(time.time()) - 600),
    "without an end": _claiming(exp=None),
    "an access token": _claiming(token_use="access"),
    "of nobody": _claiming(sub=None),
    "no token": lambda provider, claims: "no token",
    "missing": lambda provider, claims: "",
}


@pytest.mark.parametrize("forgery", _FORGERIES)
def test_a_token_is_refused_that_is(http: httpx.Client, provider: Provider, camden: Frontend, forgery: str) -> None:
    provider.sign = lambda claims: _FORGERIES[forgery](provider, claims)
    answer = sign_in(http)
    assert answer.status_code == 400
    assert "What came back from the sign-in pages is not valid." in answer.text
    assert "session" not in http.cookies
    assert "A sign-in was refused: " in camden.log.read_text()


def test_a_provider_that_does_not_answer_is_said_to_be_so(http: httpx.Client, provider: Provider) -> None:
    def fail(claims: dict[str, Any]) -> str:
        raise ConnectionResetError

    provider.sign = fail
    answer = sign_in(http)
    assert answer.status_code == 503
    assert "The sign-in service did not answer." in answer.text


def test_the_pools_keys_are_kept_and_looked_for_anew_when_they_have_changed(
    signing_in: dict[str, str], provider: Provider, tmp_path: Path
) -> None:
    port = str(free_port())
    settings = {**signing_in, "PORT": port, "PUBLIC_URL": f"http://127.0.0.1:{port}"}
    with running_frontend(settings, tmp_path / "log") as frontend:
        before = provider.fetched_keys
        for _ in range(3):
            assert sign_in(frontend.http).status_code == 200
        assert provider.fetched_keys == before + 1
        provider.key = new_key()
        assert sign_in(frontend.http).status_code == 200
        # Tokens that name unknown keys do not make it ask again and again.
        stranger = new_key()
        provider.sign = lambda claims: jwt.encode({"alg": "RS256", "kid": stranger.kid}, claims, stranger)
        for _ in range(3):
            assert sign_in(frontend.http).status_code == 400
        assert provider.fetched_keys == before + 2


# --- Sessions ---


@pytest.fixture
def sealed(signing_in: dict[str, str]) -> Callable[..., dict[str, str]]:
    """Cookies as the service itself would write them, of any session and with any setting."""

    def seal(session: Session, **changes: Any) -> dict[str, str]:  # noqa: ANN401 - each setting has its own
        response = Response()
        Cookies(replace(sign_in_settings(signing_in), **changes)).keep(response, session)
        value = response.headers["set-cookie"].partition(";")[0].partition("=")[2]
        return {"Cookie": f"session={value}"}

    return seal


def sign_in_settings(environment: dict[str, str]) -> SignInSettings:
    settings = read_sign_in(environment)
    assert settings is not None
    return settings


def a_session(*groups: str, age: float = 0, idle: float = 0) -> Session:
    session = new_session("subject", "Ada", list(groups or ("uploaders",)))
    return replace(session, started_at=session.started_at - age, seen_at=session.seen_at - idle)


def test_a_session_is_bounded_in_time_and_in_idle_time(
    http: httpx.Client, sealed: Callable[..., dict[str, str]]
) -> None:
    assert http.get("/", headers=sealed(a_session())).status_code == 200
    assert http.get("/", headers=sealed(a_session(age=8 * 3600 + 1))).status_code == 303
    assert http.get("/", headers=sealed(a_session(idle=30 * 60 + 1))).status_code == 303


def test_whoever_does_something_stays_signed_in_and_a_waiting_page_does_nothing(
    http: httpx.Client, sealed: Callable[..., dict[str, str]], submissions: list[str]
) -> None:
    idle = sealed(a_session(idle=300))
    assert "session=" in http.get("/", headers=idle).headers["set-cookie"]
    assert "set-cookie" not in http.get(f"/submissions/{submissions[0]}/status", headers=idle).headers


def test_two_keys_are_taken_while_they_are_changed_and_no_third(
    http: httpx.Client, sealed: Callable[..., dict[str, str]]
) -> None:
    assert http.get("/", headers=sealed(a_session(), session_keys=(PREVIOUS_SESSION_KEY,))).status_code == 200
    assert http.get("/", headers=sealed(a_session(), session_keys=("k" * 64,))).status_code == 303


@pytest.mark.parametrize(
    "elsewhere",
    [{"issuer": _OTHER_POOL}, {"client_id": "another"}, {"public_url": "http://127.0.0.1:9"}],
    ids=["pool", "client", "address"],
)
def test_a_cookie_of_another_authoritys_frontend_is_refused_even_under_the_same_key(
    http: httpx.Client, sealed: Callable[..., dict[str, str]], elsewhere: dict[str, str]
) -> None:
    assert http.get("/", headers=sealed(a_session(), **elsewhere)).status_code == 303


def test_an_altered_cookie_is_refused(http: httpx.Client, sealed: Callable[..., dict[str, str]]) -> None:
    whole = sealed(a_session())["Cookie"]
    for place in range(len("session="), len(whole), 7):
        changed = whole[:place] + ("A" if whole[place] != "A" else "B") + whole[place + 1 :]
        # The last letter of a part has bits that say nothing; one that decodes to the same bytes is the same cookie.
        assert http.get("/", headers={"Cookie": changed}).status_code == 303, place
    for rubbish in ("session=", "session=x", "session=" + "A" * 9000, "session=a.b.c.d.e"):
        assert http.get("/", headers={"Cookie": rubbish}).status_code == 303


def test_a_cookie_of_a_sign_in_under_way_is_no_session(http: httpx.Client) -> None:
    http.get("/sign-in")
    assert http.get("/", headers={"Cookie": f"session={http.cookies['sign-in']}"}).status_code == 303


def test_signing_in_makes_a_new_session_whatever_was_there_before(http: httpx.Client) -> None:
    http.cookies.set("session", "fixed-by-somebody-else", domain="127.0.0.1", path="/")
    first = form_token(sign_in(http))
    before = http.cookies["session"]
    second = form_token(sign_in(http, "/sign-in"))
    assert http.cookies["session"] not in {before, "fixed-by-somebody-else"}
    assert first != second


def test_cookies_are_for_this_host_alone_and_no_script(http: httpx.Client) -> None:
    cookie = http.get("/sign-in").headers["set-cookie"]
    assert cookie.startswith("sign-in=")
    for attribute in ("HttpOnly", "SameSite=lax", "Path=/", "Max-Age=600"):
        assert attribute in cookie
    for attribute in ("Domain", "Secure"):
        assert attribute not in cookie


def test_over_tls_cookies_are_for_tls_alone_and_browsers_are_told_to_stay_there(
    signing_in: dict[str, str], tmp_path: Path
) -> None:
    settings = {**signing_in, "PORT": str(free_port()), "PUBLIC_URL": "https://upload.camden.example"}
    behind_balancer = {"Host": "upload.camden.example", "X-Forwarded-Proto": "https"}
    with running_frontend(settings, tmp_path / "log") as frontend:
        answer = frontend.http.get("/sign-in", headers=behind_balancer)
        assert answer.headers["set-cookie"].startswith("__Host-sign-in=")
        assert "; Secure" in answer.headers["set-cookie"]
        assert "Domain" not in answer.headers["set-cookie"]
        assert answer.headers["strict-transport-security"] == "max-age=31536000"
        redirect = parse_qs(urlsplit(answer.headers["location"]).query)["redirect_uri"]
        assert redirect == ["https://upload.camden.example/sign-in/callback"]


# --- Signing out ---


def test_signing_out_ends_the_session_here_and_at_the_provider(http: httpx.Client, camden: Frontend) -> None:
    token = form_token(sign_in(http))
    stolen = {"Cookie": f"session={http.cookies['session']}"}
    answer = http.post("/sign-out", data={"form_token": token})
    assert answer.status_code == 303
    at_provider = urlsplit(answer.headers["location"])
    assert at_provider.path == "/logout"
    assert parse_qs(at_provider.query)["logout_uri"] == [f"{camden.address}/signed-out"]
    assert "session" not in http.cookies
    assert "You have signed out" in http.get(answer.headers["location"], follow_redirects=True).text
    # Also for whoever has a copy of the cookie.
    assert httpx.get(camden.address, headers=stolen).status_code == 303


def test_nobody_else_signs_a_person_out(http: httpx.Client) -> None:
    sign_in(http)
    assert http.post("/sign-out").status_code == 403
    assert http.get("/").status_code == 200
    assert http.get("/sign-out").status_code in {404, 405}


# --- Forms ---


def test_a_form_of_this_session_is_taken(http: httpx.Client) -> None:
    token = form_token(sign_in(http))
    page = http.post("/submissions", data={**_CHOICE, "form_token": token})
    assert page.status_code == 200
    assert "Upload a file" in page.text
    answer = http.post("/submissions", json=_CHOICE, headers={"X-Form-Token": token})
    assert answer.status_code == 201


def test_a_form_without_the_sessions_token_is_refused(http: httpx.Client, camden: Frontend) -> None:
    token = form_token(sign_in(http))
    with camden.http as other:
        of_another = form_token(sign_in(other))
    for given in ({}, {"form_token": ""}, {"form_token": "guess"}, {"form_token": of_another}):
        assert http.post("/submissions", data={**_CHOICE, **given}).status_code == 403
        headers = {"X-Form-Token": given.get("form_token", "")}
        assert http.post("/submissions", json=_CHOICE, headers=headers).status_code == 403
    for sender in ({"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "https://e.example"}):
        answer = http.post("/submissions", data={**_CHOICE, "form_token": token}, headers=sender)
        assert answer.status_code == 403
    for method in ("PUT", "DELETE", "PATCH"):
        assert http.request(method, "/submissions").status_code == 403


@pytest.mark.parametrize("errand", ["sign", "parts", "complete", "cancel"])
def test_the_errands_of_an_upload_in_parts_need_the_session_and_its_token(http: httpx.Client, errand: str) -> None:
    assert http.post(f"/uploads/{errand}", json={"upload": "x"}).status_code == 401
    token = form_token(sign_in(http))
    assert http.post(f"/uploads/{errand}", json={"upload": "x"}).status_code == 403
    assert http.post(f"/uploads/{errand}", json={"upload": "x"}, headers={"X-Form-Token": token}).status_code == 410


def test_an_upload_in_parts_is_the_persons_own_who_began_it(http: httpx.Client, provider: Provider) -> None:
    upload = Upload(new_submission("ssda903", 2026, datetime.now(UTC)), CSV, "an-upload", 3 * PART_BYTES)
    handle = Handles((SESSION_KEY,), BUCKET).seal(upload, "subject-of-Ada")
    part = {"upload": handle, "number": 1, "sha256": base64.b64encode(bytes(32)).decode()}
    for name, status in {"Ada": 200, "Bob": 410}.items():
        provider.signed_in = person(name, "uploaders")
        headers = {"X-Form-Token": form_token(sign_in(http, "/sign-in"))}
        assert http.post("/uploads/sign", json=part, headers=headers).status_code == status


def test_of_an_upload_in_parts_only_its_end_is_left_to_who_may_no_longer_upload_such_a_return(
    http: httpx.Client, provider: Provider
) -> None:
    upload = Upload(new_submission("another", 2026, datetime.now(UTC)), CSV, "an-upload", 3 * PART_BYTES)
    handle = Handles((SESSION_KEY,), BUCKET).seal(upload, "subject-of-Ada")
    provider.signed_in = person("Ada", "uploaders")
    headers = {"X-Form-Token": form_token(sign_in(http, "/sign-in"))}
    part = {"upload": handle, "number": 1, "sha256": base64.b64encode(bytes(32)).decode()}
    answers = {errand: http.post(f"/uploads/{errand}", json=part, headers=headers) for errand in ("sign", "complete")}
    assert {errand: answer.status_code for errand, answer in answers.items()} == {"sign": 410, "complete": 410}


# --- Groups ---


def test_without_a_group_a_person_is_told_so_by_name_and_can_sign_out(http: httpx.Client, provider: Provider) -> None:
    provider.signed_in = person("Eve", "strangers", name="Eve <b>Noone</b>")
    page = sign_in(http)
    assert page.status_code == 403
    assert "You are signed in as Eve &lt;b&gt;Noone&lt;/b&gt;" in page.text
    assert "ask the data team" in page.text
    headers = {"X-Form-Token": form_token(page)}
    assert http.post("/submissions", json=_CHOICE, headers=headers).status_code == 403
    assert http.get("/submissions/ssda903/2026/20261121t101500-6f1c9a20b7d44f0e").status_code == 403
    assert http.post("/sign-out", data={"form_token": form_token(page)}).status_code == 303


def test_who_may_only_view_sees_results_and_cannot_upload(
    http: httpx.Client, provider: Provider, data_store: Account, submissions: list[str]
) -> None:
    data_store.write_report(submissions[0])
    provider.signed_in = person("Vic", "viewers")
    page = sign_in(http)
    assert f'href="/submissions/{submissions[0]}"' in page.text
    assert "You may look at results, but not upload files." in page.text
    assert 'action="/submissions"' not in page.text
    assert http.get(f"/submissions/{submissions[0]}").status_code == 200
    headers = {"X-Form-Token": form_token(page)}
    assert http.post("/submissions", json=_CHOICE, headers=headers).status_code == 403


def test_recent_submissions_of_other_returns_do_not_push_out_those_that_a_person_may_see(
    http: httpx.Client, provider: Provider, data_store: Account, submissions: list[str]
) -> None:
    for newer in submissions[:20]:
        data_store.write_report(newer)
    own = new_submission("cin", 2026, datetime.now(UTC) - timedelta(days=1)).path
    data_store.write_report(own)
    provider.signed_in = person("Ned", "needs")
    page = sign_in(http).text
    assert f'href="/submissions/{own}"' in page
    assert "/submissions/ssda903/" not in page


# --- What is told to whom ---


def test_pages_keep_their_policy_and_let_only_the_sign_out_leave(http: httpx.Client, provider: Provider) -> None:
    page = sign_in(http)
    policy = page.headers["content-security-policy"]
    assert f"form-action 'self' {provider.address};" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["referrer-policy"] == "same-origin"
    assert page.headers["cross-origin-opener-policy"] == "same-origin"
    assert page.headers["cross-origin-resource-policy"] == "same-origin"
    assert page.headers["permissions-policy"].startswith("camera=()")
    assert page.headers["x-frame-options"] == "DENY"
    assert "strict-transport-security" not in page.headers


def test_the_log_names_who_came_and_shows_no_secret(http: httpx.Client, camden: Frontend, provider: Provider) -> None:
    under_way = callback(http)
    assert http.get(under_way).status_code == 303
    log = camden.log.read_text()
    assert "subject-of-Ada signed in, in groups: uploaders" in log
    secrets = [
        CLIENT_SECRET,
        SESSION_KEY,
        PREVIOUS_SESSION_KEY,
        http.cookies["session"],
        *filter(None, provider.tokens),
    ]
    secrets += [value for values in parse_qs(urlsplit(under_way).query).values() for value in values]
    assert [secret for secret in secrets if secret in log] == []
