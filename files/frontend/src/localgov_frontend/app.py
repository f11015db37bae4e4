# SPDX-License-Identifier: GPL-3.0-or-later
"""The pages: choose a return, upload its file, follow what became of it."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal
from urllib.parse import parse_qs
from zoneinfo import ZoneInfo

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import URL
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from localgov_frontend.bodies import read_body, read_object, wants_json
from localgov_frontend.datasets import DATASETS, year_label
from localgov_frontend.handles import Handles
from localgov_frontend.middleware import content_security_policy, is_cross_origin, surround
from localgov_frontend.multipart import PART_BYTES, begin_upload
from localgov_frontend.rates import Rates, address, person
from localgov_frontend.results import Report, ReportUnreadableError, exists, read_report, recent_reports
from localgov_frontend.settings import Settings
from localgov_frontend.sign_in import FORM_FIELD, SIGN_IN_PATH, SIGN_OUT_PATH, SignIn, visit
from localgov_frontend.sign_in_settings import SIGNED_OUT_PATH
from localgov_frontend.submissions import (
    UPLOAD_LIFETIME,
    Submission,
    find_submission,
    new_submission,
    presign_errors,
    presign_upload,
)
from localgov_frontend.uploads import upload_routes

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_log = logging.getLogger("localgov_frontend")
_SYSTEM_FONTS = 'system-ui,-apple-system,"Segoe UI",Roboto,"Liberation Sans",Arial,sans-serif'
_UNITED_KINGDOM = ZoneInfo("Europe/London")
_ACTIONS = {
    "AbortMultipartUpload": "cancel an upload to",
    "CompleteMultipartUpload": "upload to",
    "CreateMultipartUpload": "upload to",
    "GetObject": "read results from",
    "ListObjectsV2": "list results in",
    "ListParts": "go on with an upload to",
}
# What browsers call a CSV file. Windows with Excel names it after Excel; some name nothing.
_CSV_TYPES = frozenset({"", "application/csv", "application/vnd.ms-excel", "text/csv", "text/plain"})


@dataclass(frozen=True)
class Service:
    settings: Settings
    # The clients' addresses differ where browsers reach S3 by another way than this process does.
    s3: S3Client
    browser_s3: S3Client
    templates: Environment
    stylesheet: str
    handles: Handles
    rates: Rates


def create_app(settings: Settings) -> ASGIApp:
    app = Starlette(
        routes=[
            Route("/", start_page),
            Route("/health", health),
            Route(SIGNED_OUT_PATH, signed_out),
            Route("/submissions", create_submission, methods=["POST"]),
            Route("/submissions/{dataset}/{year}/{identifier}", follow_page, name="follow"),
            Route("/submissions/{dataset}/{year}/{identifier}/status", follow_status, name="status"),
            Route("/submissions/{dataset}/{year}/{identifier}/errors.csv", download_errors, name="errors"),
            *upload_routes(),
            Route("/govuk/govuk-frontend.min.css", govuk_stylesheet),
            Route("/govuk/govuk-frontend.min.js", govuk_script),
            Mount("/static", StaticFiles(packages=[("localgov_frontend", "static")])),
        ],
        exception_handlers={
            HTTPException: on_http_error,
            ClientError: on_s3_error,
            BotoCoreError: on_s3_error,
            ReportUnreadableError: on_unreadable_report,
            Exception: on_unexpected_error,
        },
    )
    app.state.service = Service(
        settings=settings,
        s3=_s3_client(settings.region, None, "auto"),
        # Without "virtual", signed requests name the global host, which redirects until DNS knows a new bucket.
        browser_s3=_s3_client(
            settings.region, settings.upload_endpoint_url, "path" if settings.upload_endpoint_url else "virtual"
        ),
        templates=_templates(settings),
        stylesheet=without_govuk_font((settings.govuk_frontend / "govuk-frontend.min.css").read_text()),
        handles=Handles(settings.session_keys, settings.bucket),
        rates=Rates(settings.uploads_per_person, settings.uploads_per_address),
    )
    if settings.sign_in is None:
        _log.warning("SIGN_IN is none: whoever reaches this service can use it")
    else:
        app.add_middleware(SignIn, settings=settings.sign_in, refuse=refusal)
    return surround(app, settings.sign_in_origin)


def _s3_client(region: str, endpoint_url: str | None, addressing_style: Literal["auto", "path", "virtual"]) -> S3Client:
    config = Config(
        signature_version="s3v4",
        s3={"addressing_style": addressing_style},
        retries={"mode": "standard", "total_max_attempts": 3},
        connect_timeout=3,
        read_timeout=10,
    )
    return boto3.client("s3", region_name=region, endpoint_url=endpoint_url, config=config)


def _templates(settings: Settings) -> Environment:
    environment = Environment(
        loader=PackageLoader("localgov_frontend"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        form_token_field=FORM_FIELD,
        sign_in_path=SIGN_IN_PATH,
        sign_out_path=SIGN_OUT_PATH,
        account=settings.readable_account,
        contact=settings.support_contact,
        max_megabytes=settings.max_upload_bytes // (1024 * 1024),
        upload_minutes=int(UPLOAD_LIFETIME.total_seconds() // 60),
        year_label=year_label,
    )
    environment.filters["time"] = readable_time
    return environment


def without_govuk_font(stylesheet: str) -> str:
    """The stylesheet in the font of the person's own system: GDS Transport is licensed for GOV.UK domains only.

    Overriding it in a further stylesheet is not enough, as browsers fetch the font all the same.
    """
    return re.sub(r"@font-face\{[^}]*\}", "", stylesheet).replace("GDS Transport,arial,sans-serif", _SYSTEM_FONTS)


def readable_time(moment: datetime) -> str:
    """As the GOV.UK style guide writes it: 21 November 2026 at 10:15am, in the United Kingdom's time."""
    local = moment.astimezone(_UNITED_KINGDOM)
    hour = local.hour % 12 or 12
    return f"{local.day} {local:%B %Y} at {hour}:{local:%M}{'am' if local.hour < 12 else 'pm'}"


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


def _page(request: Request, template: str, status: int = 200, **context: object) -> HTMLResponse:
    html = _service(request).templates.get_template(template).render(visit=visit(request), **context)
    return HTMLResponse(html, status)


def start_page(request: Request) -> Response:
    chosen = {name: request.query_params.get(name, "") for name in ("dataset", "year")}
    return _start_page(request, chosen, {})


def _start_page(request: Request, chosen: dict[str, str], errors: dict[str, str]) -> Response:
    service = _service(request)
    try:
        found = recent_reports(service.s3, service.settings.bucket, datetime.now(UTC))
        recent = [entry for entry in found if entry[0].dataset in visit(request).access.view]
    except (BotoCoreError, ClientError) as error:
        # One may still upload: the page says that the list is missing, the log says why.
        _log.warning("The recent submissions in s3://%s could not be listed: %s", service.settings.bucket, error)
        recent = None
    return _page(
        request,
        "start.html",
        status=400 if errors else 200,
        datasets=[dataset for dataset in DATASETS.values() if dataset.name in visit(request).access.upload],
        years=sorted({year for dataset in DATASETS.values() for year in dataset.years}, reverse=True),
        chosen=chosen,
        errors=errors,
        recent=recent,
    )


async def create_submission(request: Request) -> Response:
    """Name a new submission and hand out the signed request that may write its file.

    A form is answered with the page that has the file input, JSON (from that page's script) with JSON.
    """
    if is_cross_origin(request.headers):
        raise HTTPException(403, "This form was sent from another site. Start from this service's first page.")
    chosen = await _read_choice(request)
    errors = find_choice_errors(chosen, visit(request).access.upload)
    if not errors:
        _count_upload(request)
        return await run_in_threadpool(_answer_submission, request, chosen)
    if wants_json(request):
        return JSONResponse({"error": " ".join(errors.values())}, 400)
    return await run_in_threadpool(_start_page, request, chosen, errors)


def _count_upload(request: Request) -> None:
    service = _service(request)
    seconds = service.rates.begin(person(request), address(request, behind_balancer=service.settings.behind_balancer))
    if seconds is not None:
        wait = "a minute" if seconds <= 60 else f"{-(-seconds // 60)} minutes"
        raise HTTPException(
            429, f"Wait {wait}, then try again. Files that were sent already are safe.", {"Retry-After": str(seconds)}
        )


def _answer_submission(request: Request, chosen: dict[str, str]) -> Response:
    service = _service(request)
    settings = service.settings
    dataset, year = chosen["dataset"], int(chosen["year"])
    submission = new_submission(dataset, year, datetime.now(UTC))
    if wants_json(request):
        follow = _address(request, "follow", submission).path
        body = {"submission": submission.identifier, "follow": follow, **_begin(request, submission, chosen)}
        return JSONResponse(body, 201, {"Location": follow})
    redirect = str(_address(request, "follow", submission))
    upload = presign_upload(service.browser_s3, settings.bucket, submission, settings.max_upload_bytes, redirect)
    page = _page(
        request,
        "upload.html",
        dataset=DATASETS[dataset],
        year=year,
        upload=upload,
        max_upload_bytes=settings.max_upload_bytes,
        part_bytes=PART_BYTES,
    )
    page.headers["Content-Security-Policy"] = content_security_policy(upload.origin, settings.sign_in_origin)
    return page


def _begin(request: Request, submission: Submission, chosen: dict[str, str]) -> dict[str, object]:
    """What a script needs: a form for a file of one part, or of unknown size; a handle for a larger one."""
    service = _service(request)
    settings = service.settings
    size = int(chosen["size"] or 0)
    if size <= PART_BYTES:
        upload = presign_upload(service.browser_s3, settings.bucket, submission, settings.max_upload_bytes, None)
        return {"url": upload.url, "fields": upload.fields}
    begun = begin_upload(service.s3, settings.bucket, submission, size)
    return {"upload": service.handles.seal(begun, person(request)), "part_bytes": PART_BYTES}


async def _read_choice(request: Request) -> dict[str, str]:
    """What was chosen, as sent; whatever is not text counts as not chosen. Size and type come from scripts only."""
    if not wants_json(request):
        try:
            sent = {name: last[-1] for name, last in parse_qs((await read_body(request)).decode()).items()}
        except ValueError as error:
            raise HTTPException(400, "The request could not be read.") from error
        return {name: sent.get(name, "") for name in ("dataset", "year")}
    declared = await read_object(request)
    chosen = {name: str(declared.get(name, "")) for name in ("dataset", "year", "size", "type")}
    _check_file(chosen["size"], chosen["type"], _service(request).settings.max_upload_bytes)
    return chosen


def _check_file(size: str, kind: str, max_bytes: int) -> None:
    if not re.fullmatch(r"[0-9]{0,15}", size, re.ASCII):
        raise HTTPException(400, "The size is a number of bytes.")
    if int(size or 0) > max_bytes:
        raise HTTPException(413, f"The file must be no larger than {max_bytes // 1024**2} MB.")
    if kind.partition(";")[0].strip().lower() not in _CSV_TYPES:
        raise HTTPException(415, "The file must be a CSV file.")


def find_choice_errors(chosen: dict[str, str], permitted: frozenset[str]) -> dict[str, str]:
    dataset = DATASETS.get(chosen["dataset"]) if chosen["dataset"] in permitted else None
    errors = {} if dataset else {"dataset": "Select the data return"}
    years = dataset.years if dataset else range(0)
    if chosen["year"] not in {str(year) for year in years} and (dataset or not chosen["year"]):
        errors["year"] = "Select the year"
    return errors


def _address(request: Request, route: str, submission: Submission) -> URL:
    return request.url_for(route, dataset=submission.dataset, year=submission.year, identifier=submission.identifier)


def _requested_submission(request: Request) -> Submission:
    parts = request.path_params
    submission = find_submission(parts["dataset"], parts["year"], parts["identifier"])
    if submission is None or submission.dataset not in visit(request).access.view:
        raise HTTPException(404)
    return submission


def follow_page(request: Request) -> Response:
    service, submission = _service(request), _requested_submission(request)
    report = read_report(service.s3, service.settings.bucket, submission)
    state = _state(request, submission, report)
    template = "result.html" if report else "waiting.html"
    dataset = DATASETS[submission.dataset]
    sent = _sent_at(request)
    query = f"?sent={int(sent.timestamp())}" if sent else ""
    return _page(request, template, submission=submission, dataset=dataset, report=report, state=state, query=query)


def follow_status(request: Request) -> Response:
    service, submission = _service(request), _requested_submission(request)
    report = read_report(service.s3, service.settings.bucket, submission)
    return JSONResponse({"state": _state(request, submission, report)})


def _state(request: Request, submission: Submission, report: Report | None) -> str:
    if report:
        return report.state
    # Once the signed request has expired, a file that was not sent can no longer arrive.
    since = max(submission.started_at, _sent_at(request) or submission.started_at)
    return "overdue" if datetime.now(UTC) - since > UPLOAD_LIFETIME else "waiting"


def _sent_at(request: Request) -> datetime | None:
    """When a large file was complete, which may be long after its submission began.

    A browser says so, and is believed: it only decides how soon a page says "overdue".
    """
    sent = request.query_params.get("sent", "")
    now = datetime.now(UTC)
    if not re.fullmatch(r"[0-9]{1,10}", sent, re.ASCII):
        return None
    return min(datetime.fromtimestamp(int(sent), UTC), now)


def download_errors(request: Request) -> Response:
    service, submission = _service(request), _requested_submission(request)
    if not exists(service.s3, service.settings.bucket, submission.errors_key):
        raise HTTPException(404)
    return RedirectResponse(presign_errors(service.browser_s3, service.settings.bucket, submission), 303)


def signed_out(request: Request) -> Response:
    return _page(request, "signed_out.html")


def health(request: Request) -> Response:
    return PlainTextResponse("ok")


def govuk_stylesheet(request: Request) -> Response:
    return Response(_service(request).stylesheet, media_type="text/css")


def govuk_script(request: Request) -> Response:
    return FileResponse(_service(request).settings.govuk_frontend / "govuk-frontend.min.js")


def _error(request: Request, status: int, heading: str, text: str) -> Response:
    if wants_json(request) or request.url.path.endswith("/status"):
        return JSONResponse({"error": f"{heading}. {text}"}, status)
    return _page(request, "error.html", status, heading=heading, text=text)


def refusal(request: Request, status: int, heading: str, text: str) -> Response:
    """The sign-in's pages of refusal."""
    if wants_json(request) or request.url.path.endswith("/status"):
        return JSONResponse({"error": f"{heading}. {text}".strip()}, status)
    return _page(request, "refused.html", status, heading=heading, text=text)


def on_http_error(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    if status == 404:
        return _error(request, 404, "Page not found", "If you typed or pasted the web address, check that it is whole.")
    detail = error.detail if isinstance(error, HTTPException) else ""
    heading = "Too many uploads were begun" if status == 429 else "This request cannot be accepted"
    answer = _error(request, status, heading, detail)
    answer.headers.update((error.headers if isinstance(error, HTTPException) else None) or {})
    return answer


def on_s3_error(request: Request, error: Exception) -> Response:
    """A refusal names what was refused and whom to ask; anything else may pass by itself."""
    settings = _service(request).settings
    _log.error("S3, bucket %s of account %s: %s", settings.bucket, settings.account_name, error)
    response = error.response if isinstance(error, ClientError) else {}
    if response.get("Error", {}).get("Code") not in {"AccessDenied", "403"}:
        answer = _error(
            request, 503, "The data store did not answer", "Try again in a few minutes. Nothing that you sent is lost."
        )
        answer.headers["Retry-After"] = "5"
        return answer
    operation = error.operation_name if isinstance(error, ClientError) else ""
    return _error(
        request,
        503,
        "This service lacks a permission",
        f"It is not permitted to {_ACTIONS.get(operation, 'use')} the data store of {settings.readable_account}. "
        f"Ask {settings.support_contact} to restore it and tell them: {operation} on {settings.bucket} is denied.",
    )


def on_unreadable_report(request: Request, error: Exception) -> Response:
    settings = _service(request).settings
    _log.error("%s: the report is not of the agreed shape: %s", request.url.path, error)
    return _error(
        request,
        500,
        "The result cannot be shown",
        f"The checks have finished, but their report cannot be read. Tell {settings.support_contact} the address "
        "of this page.",
    )


def on_unexpected_error(request: Request, error: Exception) -> Response:
    return _error(
        request,
        500,
        "There is a problem with the service",
        f"Try again later. If it happens again, tell {_service(request).settings.support_contact}.",
    )
