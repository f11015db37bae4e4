# SPDX-License-Identifier: GPL-3.0-or-later
"""The pages about one submission: how far it has come, what became of it, its download, its withdrawal."""

from __future__ import annotations

import logging
import re
from dataclasses import replace
from datetime import UTC, datetime

from botocore.exceptions import BotoCoreError, ClientError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from localgov_frontend.datasets import DATASETS
from localgov_frontend.history import History, page_links, read_history
from localgov_frontend.life import STAGES, Life, live
from localgov_frontend.middleware import is_cross_origin
from localgov_frontend.results import Report, exists
from localgov_frontend.service import address_of, page, requested_submission, service_of
from localgov_frontend.sharing import PolicyUnreadableError, Sharing, read_sharing
from localgov_frontend.sign_in import visit
from localgov_frontend.submissions import Submission, presign_errors
from localgov_frontend.withdrawals import ask_for_withdrawal

_log = logging.getLogger("localgov_frontend")


def submission_routes() -> list[Route]:
    path = "/submissions/{dataset}/{year}/{identifier}"
    return [
        Route("/submissions/{dataset}/{year}", year_page),
        Route(path, follow_page, name="follow"),
        Route(f"{path}/status", follow_status),
        Route(f"{path}/errors.csv", download_errors),
        Route(f"{path}/withdrawal", confirm_withdrawal),
        Route(f"{path}/withdrawal", withdraw, methods=["POST"]),
    ]


def year_page(request: Request) -> Response:
    service, parts = service_of(request), request.path_params
    dataset = DATASETS.get(parts["dataset"])
    if dataset is None or dataset.name not in visit(request).access.view:
        raise HTTPException(404)
    year = next((year for year in dataset.years if str(year) == parts["year"]), None)
    if year is None:
        raise HTTPException(404)
    history = read_history(service.s3, service.settings.bucket, dataset.name, year)
    number = _page_number(request, history)
    links = page_links(number, history.pages)
    return page(request, "year.html", dataset=dataset, year=year, history=history, number=number, links=links)


def _page_number(request: Request, history: History) -> int:
    """Without one in the address, the first. One that was there, before submissions went, leads to the last."""
    asked = request.query_params.get("page", "1")
    if not re.fullmatch(r"[1-9][0-9]{0,5}", asked, re.ASCII):
        raise HTTPException(404)
    return min(int(asked), history.pages)


def follow_page(request: Request) -> Response:
    submission = requested_submission(request)
    life, sent = _life(request, submission), _sent_at(request)
    is_copied = _is_copied(submission, life)
    return page(
        request,
        "submission.html" if life.report else "waiting.html",
        submission=submission,
        dataset=DATASETS[submission.dataset],
        life=life,
        report=life.report,
        original=_original(submission, life),
        stages=STAGES,
        query=f"?sent={int(sent.timestamp())}" if sent else "",
        may_withdraw=_may_withdraw(request, submission, life),
        is_copied=is_copied,
        shared=service_of(request).settings.shared,
        sharing=_sharing(request, life.report) if is_copied and life.report else None,
        now=datetime.now(UTC),
    )


def _is_copied(submission: Submission, life: Life) -> bool:
    """Whether it lies in the shared bucket: until the index says that another one does."""
    if life.report is None or not life.report.shared or life.state not in {"accepted", "sharing"}:
        return False
    return not life.history.knows(submission, life.report.state) or bool(life.history.current_tables(submission))


def _sharing(request: Request, report: Report) -> Sharing | None:
    """Asked anew each time, for a bucket that was just opened must not be called closed. None where it is not known."""
    service = service_of(request)
    place = service.settings.shared
    if place is None or any(part.bucket != place.bucket for part in report.shared):
        return None
    try:
        return read_sharing(service.s3, place)
    except (BotoCoreError, ClientError, PolicyUnreadableError) as error:
        _log.warning("With whom s3://%s is shared could not be read: %s", place.bucket, error)
        return None


def _original(submission: Submission, life: Life) -> Submission | None:
    """Of which the submission is the duplicate."""
    named = life.report and life.report.duplicate_of
    return replace(submission, identifier=named) if named else None


def follow_status(request: Request) -> Response:
    life = _life(request, requested_submission(request))
    return JSONResponse({"state": life.state, "done": life.done, "goes_on": life.goes_on})


def _life(request: Request, submission: Submission) -> Life:
    service = service_of(request)
    return live(service.s3, service.settings.bucket, submission, _sent_at(request))


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
    service, submission = service_of(request), requested_submission(request)
    if not exists(service.s3, service.settings.bucket, submission.errors_key):
        raise HTTPException(404)
    return RedirectResponse(presign_errors(service.browser_s3, service.settings.bucket, submission), 303)


def _may_withdraw(request: Request, submission: Submission, life: Life) -> bool:
    """Once it has a report, and until somebody has asked for it."""
    is_there = life.report is not None and life.state not in {"withdrawing", "withdrawn"}
    return is_there and submission.dataset in visit(request).access.withdraw


def confirm_withdrawal(request: Request) -> Response:
    submission = requested_submission(request)
    life = _life(request, submission)
    if not _may_withdraw(request, submission, life):
        return _back(request, submission)
    dataset = DATASETS[submission.dataset]
    return page(request, "withdrawal.html", submission=submission, dataset=dataset, life=life, report=life.report)


async def withdraw(request: Request) -> Response:
    if is_cross_origin(request.headers):
        raise HTTPException(403, "This form was sent from another site. Start from this service's first page.")
    submission = requested_submission(request)
    if submission.dataset not in visit(request).access.withdraw:
        raise HTTPException(403, "You may not withdraw submissions of this data return.")
    return await run_in_threadpool(_withdraw, request, submission)


def _withdraw(request: Request, submission: Submission) -> Response:
    if _may_withdraw(request, submission, _life(request, submission)):
        service, session = service_of(request), visit(request).session
        ask_for_withdrawal(service.s3, service.settings.bucket, submission, session)
        _log.info("%s asked to withdraw %s", session.subject if session else "Somebody", submission.path)
    return _back(request, submission)


def _back(request: Request, submission: Submission) -> Response:
    return RedirectResponse(address_of(request, "follow", submission).path, 303)
