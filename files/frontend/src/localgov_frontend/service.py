# SPDX-License-Identifier: GPL-3.0-or-later
"""What every page needs: the settings, the clients of S3, the templates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jinja2 import Environment
from starlette.datastructures import URL
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse

from localgov_frontend.handles import Handles
from localgov_frontend.rates import Rates
from localgov_frontend.settings import Settings
from localgov_frontend.sign_in import visit
from localgov_frontend.submissions import Submission, find_submission

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


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


def service_of(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


def page(request: Request, template: str, status: int = 200, **context: object) -> HTMLResponse:
    html = service_of(request).templates.get_template(template).render(visit=visit(request), **context)
    return HTMLResponse(html, status)


def address_of(request: Request, route: str, submission: Submission) -> URL:
    return request.url_for(route, dataset=submission.dataset, year=submission.year, identifier=submission.identifier)


def requested_submission(request: Request) -> Submission:
    """The one that the address names; for whoever may not see its data return there is none."""
    parts = request.path_params
    submission = find_submission(parts["dataset"], parts["year"], parts["identifier"])
    if submission is None or submission.dataset not in visit(request).access.view:
        raise HTTPException(404)
    return submission
