# SPDX-License-Identifier: GPL-3.0-or-later
"""The pages: choose a return, upload its file, follow what became of it."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
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
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from localgov_frontend.bodies import read_body, read_object, wants_json
from localgov_frontend.datasets import DATASETS, Dataset, FileKind, year_label
from localgov_frontend.handles import Handles
from localgov_frontend.middleware import content_security_policy, is_cross_origin, surround
from localgov_frontend.multipart import PART_BYTES, begin_upload
from localgov_frontend.rates import Rates, address, person
from localgov_frontend.results import ReportUnreadableError, recent_reports
from localgov_frontend.service import Service, address_of, page, service_of
from localgov_frontend.settings import Settings
from localgov_frontend.sign_in import FORM_FIELD, SIGN_IN_PATH, SIGN_OUT_PATH, SignIn, visit
from localgov_frontend.sign_in_settings import SIGNED_OUT_PATH
from localgov_frontend.submission_pages import submission_routes
from localgov_frontend.submissions import UPLOAD_LIFETIME, Submission, new_submission, presign_upload
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
    "PutObject": "ask for a withdrawal in",
}


def create_app(settings: Settings) -> ASGIApp:
    app = Starlette(
        routes=[
            Route("/", start_page),
            Route("/health", health),
            Route(SIGNED_OUT_PATH, signed_out),
            Route("/submissions", create_submission, methods=["POST"]),
            *submission_routes(),
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
    environment.filters["number"] = "{:,}".format
    environment.filters["ranges"] = ranges
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


def ranges(numbers: Iterable[int]) -> str:
    """`2, 5 to 9, 12`: what follows each other as one. The numbers ascend; some may come twice, as in XML."""
    runs: list[list[int]] = []
    for number in dict.fromkeys(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]} to {run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs)


def start_page(request: Request) -> Response:
    chosen = {name: request.query_params.get(name, "") for name in ("dataset", "year")}
    return _start_page(request, chosen, {})


def _start_page(request: Request, chosen: dict[str, str], errors: dict[str, str]) -> Response:
    service = service_of(request)
    try:
        recent = recent_reports(service.s3, service.settings.bucket, datetime.now(UTC), visit(request).access.view)
    except (BotoCoreError, ClientError) as error:
        # One may still upload: the page says that the list is missing, the log says why.
        _log.warning("The recent submissions in s3://%s could not be listed: %s", service.settings.bucket, error)
        recent = None
    offered = [dataset for dataset in DATASETS.values() if dataset.name in visit(request).access.upload]
    return page(
        request,
        "start.html",
        status=400 if errors else 200,
        datasets=offered,
        years=sorted({year for dataset in offered for year in dataset.years}, reverse=True),
        chosen=chosen,
        errors=errors,
        recent=recent,
        titles={dataset.name: dataset.title for dataset in DATASETS.values()},
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
    service = service_of(request)
    seconds = service.rates.begin(person(request), address(request, behind_balancer=service.settings.behind_balancer))
    if seconds is not None:
        wait = "a minute" if seconds <= 60 else f"{-(-seconds // 60)} minutes"
        raise HTTPException(
            429, f"Wait {wait}, then try again. Files that were sent already are safe.", {"Retry-After": str(seconds)}
        )


def _answer_submission(request: Request, chosen: dict[str, str]) -> Response:
    service = service_of(request)
    settings = service.settings
    dataset, year = chosen["dataset"], int(chosen["year"])
    submission = new_submission(dataset, year, datetime.now(UTC))
    if wants_json(request):
        follow = address_of(request, "follow", submission).path
        body = {"submission": submission.identifier, "follow": follow, **_begin(request, submission, chosen)}
        return JSONResponse(body, 201, {"Location": follow})
    redirect = str(address_of(request, "follow", submission))
    kind = DATASETS[dataset].kinds[0]
    upload = presign_upload(service.browser_s3, settings.bucket, submission, kind, settings.max_upload_bytes, redirect)
    answer = page(
        request,
        "upload.html",
        dataset=DATASETS[dataset],
        year=year,
        upload=upload,
        max_upload_bytes=settings.max_upload_bytes,
        part_bytes=PART_BYTES,
    )
    answer.headers["Content-Security-Policy"] = content_security_policy(upload.origin, settings.sign_in_origin)
    return answer


def _begin(request: Request, submission: Submission, chosen: dict[str, str]) -> dict[str, object]:
    """What a script needs: a form for a file of one part, or of unknown size; a handle for a larger one."""
    service = service_of(request)
    settings = service.settings
    size = int(chosen["size"] or 0)
    kind = _kind(DATASETS[submission.dataset], chosen["kind"])
    if size <= PART_BYTES:
        upload = presign_upload(service.browser_s3, settings.bucket, submission, kind, settings.max_upload_bytes, None)
        return {"url": upload.url, "fields": upload.fields}
    begun = begin_upload(service.s3, settings.bucket, submission, kind, size)
    return {"upload": service.handles.seal(begun, person(request)), "part_bytes": PART_BYTES}


async def _read_choice(request: Request) -> dict[str, str]:
    """What was chosen, as sent; whatever is not text counts as not chosen. Size and kind come from scripts only."""
    if not wants_json(request):
        try:
            sent = {name: last[-1] for name, last in parse_qs((await read_body(request)).decode()).items()}
        except ValueError as error:
            raise HTTPException(400, "The request could not be read.") from error
        return {name: sent.get(name, "") for name in ("dataset", "year")}
    declared = await read_object(request)
    chosen = {name: str(declared.get(name, "")) for name in ("dataset", "year", "size", "kind")}
    _check_size(chosen["size"], service_of(request).settings.max_upload_bytes)
    return chosen


def _check_size(size: str, max_bytes: int) -> None:
    if not re.fullmatch(r"[0-9]{0,15}", size, re.ASCII):
        raise HTTPException(400, "The size is a number of bytes.")
    if int(size or 0) > max_bytes:
        raise HTTPException(413, f"The file must be no larger than {max_bytes // 1024**2} MB.")


def _kind(dataset: Dataset, ending: str) -> FileKind:
    """By the ending of the file's name, of which a script tells nothing else."""
    kind = dataset.kind(ending) if ending else dataset.kinds[0]
    if kind is None:
        raise HTTPException(415, f"The file must be {dataset.kinds_in_words}.")
    return kind


def find_choice_errors(chosen: dict[str, str], permitted: frozenset[str]) -> dict[str, str]:
    dataset = DATASETS.get(chosen["dataset"]) if chosen["dataset"] in permitted else None
    errors = {} if dataset else {"dataset": "Select the data return"}
    if not chosen["year"]:
        errors["year"] = "Select the year"
    elif dataset and chosen["year"] not in {str(year) for year in dataset.years}:
        first, last = dataset.years[0], dataset.years[-1]
        errors["year"] = f"Select a year of this data return, {first} to {last}"
    return errors


def signed_out(request: Request) -> Response:
    return page(request, "signed_out.html")


def health(request: Request) -> Response:
    return PlainTextResponse("ok")


def govuk_stylesheet(request: Request) -> Response:
    return Response(service_of(request).stylesheet, media_type="text/css")


def govuk_script(request: Request) -> Response:
    return FileResponse(service_of(request).settings.govuk_frontend / "govuk-frontend.min.js")


def _error(request: Request, status: int, heading: str, text: str) -> Response:
    if wants_json(request) or request.url.path.endswith("/status"):
        return JSONResponse({"error": f"{heading}. {text}"}, status)
    return page(request, "error.html", status, heading=heading, text=text)


def refusal(request: Request, status: int, heading: str, text: str) -> Response:
    """The sign-in's pages of refusal."""
    if wants_json(request) or request.url.path.endswith("/status"):
        return JSONResponse({"error": f"{heading}. {text}".strip()}, status)
    return page(request, "refused.html", status, heading=heading, text=text)


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
    settings = service_of(request).settings
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
    settings = service_of(request).settings
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
        f"Try again later. If it happens again, tell {service_of(request).settings.support_contact}.",
    )
