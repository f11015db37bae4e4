# SPDX-License-Identifier: GPL-3.0-or-later
"""What the service answers over HTTP, with its role's real permissions on a real S3."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from account import BUCKET, REGION, Account, group, rejection
from botocore.exceptions import ClientError
from conftest import MAX_UPLOAD_BYTES, Frontend, running_frontend
from localgov_frontend.submissions import new_submission

_CHOICE = {"dataset": "ssda903", "year": "2026"}


@pytest.fixture
def http(frontend: Frontend, data_store: Account) -> httpx.Client:
    return frontend.http


def create(http: httpx.Client) -> dict[str, Any]:
    answer = http.post("/submissions", json=_CHOICE)
    assert answer.status_code == 201
    body: dict[str, Any] = answer.json()
    return body


def send(submission: dict[str, Any], content: bytes, **fields: str) -> httpx.Response:
    return httpx.post(
        submission["url"], data={**submission["fields"], **fields}, files={"file": ("confidential name.csv", content)}
    )


def test_a_submission_created_by_script_may_write_its_own_key(http: httpx.Client, data_store: Account) -> None:
    submission = create(http)
    assert send(submission, b"CHILD\n1\n").status_code == 201
    assert data_store.uploads() == {f"uploads/ssda903/2026/{submission['submission']}.csv": b"CHILD\n1\n"}
    assert submission["follow"] == f"/submissions/ssda903/2026/{submission['submission']}"


def test_a_signed_request_writes_no_other_key(http: httpx.Client, data_store: Account) -> None:
    answer = send(create(http), b"x", key="uploads/ssda903/2026/other.csv")
    assert (answer.status_code, "<Code>AccessDenied</Code>" in answer.text) == (403, True)
    assert data_store.uploads() == {}


@pytest.mark.parametrize(("size", "code"), [(0, "EntityTooSmall"), (MAX_UPLOAD_BYTES + 1, "EntityTooLarge")])
def test_a_signed_request_takes_no_other_size(http: httpx.Client, data_store: Account, size: int, code: str) -> None:
    answer = send(create(http), b"1" * size)
    assert f"<Code>{code}</Code>" in answer.text
    assert data_store.uploads() == {}


def test_the_largest_permitted_file_is_taken(http: httpx.Client) -> None:
    assert send(create(http), b"1" * MAX_UPLOAD_BYTES).status_code == 201


def test_the_name_of_the_file_is_nowhere_kept(http: httpx.Client, frontend: Frontend, data_store: Account) -> None:
    submission = create(http)
    assert send(submission, b"CHILD\n1\n").status_code == 201
    stored = data_store.s3.head_object(Bucket=BUCKET, Key=submission["fields"]["key"])
    assert stored["ContentType"] == "text/csv"
    assert "confidential" not in json.dumps(stored, default=str)
    assert "confidential" not in frontend.log.read_text()


def test_the_role_may_write_uploads_and_withdrawals_and_read_results_and_nothing_else(data_store: Account) -> None:
    """The policy of the tests is the README's, so this tells whether the README asks for too much."""
    s3 = data_store.task_client()
    key = "ssda903/2026/x"
    for place in ("uploads", "withdrawals"):
        s3.put_object(Bucket=BUCKET, Key=f"{place}/{key}", Body=b"1")
    requests: tuple[Callable[[], object], ...] = (
        lambda: s3.get_object(Bucket=BUCKET, Key=f"uploads/{key}"),
        lambda: s3.get_object(Bucket=BUCKET, Key=f"withdrawals/{key}"),
        lambda: s3.delete_object(Bucket=BUCKET, Key=f"withdrawals/{key}"),
        lambda: s3.list_objects_v2(Bucket=BUCKET, Prefix="uploads/"),
        lambda: s3.list_objects_v2(Bucket=BUCKET),
        lambda: s3.delete_object(Bucket=BUCKET, Key=f"uploads/{key}"),
        lambda: s3.put_object(Bucket=BUCKET, Key=f"results/{key}", Body=b"1"),
    )
    for request in requests:
        with pytest.raises(ClientError, match="AccessDenied"):
            request()


@pytest.mark.parametrize(
    ("form", "messages"),
    [
        ({}, ["Select the data return", "Select the year"]),
        ({"dataset": "ssda903"}, ["Select the year"]),
        (
            {"dataset": "ssda903", "year": "1999"},
            ["Select a year of this data return, 2017 to 2026"],
        ),
        (
            {"dataset": "cin", "year": "2017"},
            ["Select a year of this data return, 2018 to 2026"],
        ),
        ({"dataset": "<script>", "year": "2026"}, ["Select the data return"]),
    ],
)
def test_a_wrong_choice_is_named(http: httpx.Client, form: dict[str, str], messages: list[str]) -> None:
    page = http.post("/submissions", data=form)
    assert page.status_code == 400
    assert "<script>" not in page.text
    for message in messages:
        assert f">{message}</a>" in page.text
    answer = http.post("/submissions", json=form)
    assert (answer.status_code, answer.json()["error"]) == (400, " ".join(messages))


@pytest.mark.parametrize(("year", "listed"), [("2023", False), ("2024", True)])
def test_the_tables_of_the_chosen_year_are_listed(http: httpx.Client, year: str, listed: bool) -> None:
    page = http.post("/submissions", data={"dataset": "ssda903", "year": year}).text
    assert "<strong>header</strong>" in page
    assert ("<strong>social_worker</strong>" in page) is listed


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b"[" * 4000])
def test_a_body_that_is_no_choice_is_refused(http: httpx.Client, body: bytes) -> None:
    answer = http.post("/submissions", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400


def test_a_file_sent_to_the_service_itself_is_refused(http: httpx.Client) -> None:
    answer = http.post("/submissions", files={"file": ("a.csv", b"1" * 5000)})
    assert answer.status_code == 413


@pytest.mark.parametrize("headers", [{"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://elsewhere.example"}])
def test_a_form_from_another_site_is_refused(http: httpx.Client, headers: dict[str, str]) -> None:
    assert http.post("/submissions", data=_CHOICE, headers=headers).status_code == 403


@pytest.mark.parametrize("headers", [{"Sec-Fetch-Site": "same-origin"}, {}])
def test_a_form_from_this_site_is_taken(http: httpx.Client, frontend: Frontend, headers: dict[str, str]) -> None:
    headers = headers or {"Origin": frontend.address}
    assert http.post("/submissions", data=_CHOICE, headers=headers).status_code == 200


def test_behind_a_load_balancer_a_form_without_script_returns_to_https(http: httpx.Client, frontend: Frontend) -> None:
    page = http.post("/submissions", data=_CHOICE, headers={"X-Forwarded-Proto": "https"}).text
    (address,) = re.findall(r'name="success_action_redirect" value="([^"]+)"', page)
    assert address.startswith(frontend.address.replace("http:", "https:") + "/submissions/ssda903/2026/")


def test_on_aws_requests_are_signed_for_the_regional_address(settings: dict[str, str], tmp_path: Path) -> None:
    """The global address redirects while a bucket is new, which a browser's form does not survive."""
    sandbox = {"AWS_ENDPOINT_URL", "UPLOAD_ENDPOINT_URL"}
    on_aws = {name: value for name, value in settings.items() if name not in sandbox}
    with running_frontend(on_aws, tmp_path / "log") as frontend:
        assert create(frontend.http)["url"] == f"https://{BUCKET}.s3.{REGION}.amazonaws.com/"


def test_pages_carry_a_strict_policy_and_no_cookie(http: httpx.Client, data_store: Account) -> None:
    pages = [http.get("/"), http.get("/nowhere"), http.post("/submissions", data=_CHOICE)]
    for page in pages:
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert page.headers["cache-control"] == "no-store"
        assert page.headers["x-content-type-options"] == "nosniff"
        assert "set-cookie" not in page.headers
    assert [data_store.endpoint in page.headers["content-security-policy"] for page in pages] == [False, False, True]


def test_neither_the_font_nor_the_crown_of_govuk_is_served(http: httpx.Client) -> None:
    stylesheet = http.get("/govuk/govuk-frontend.min.css")
    assert stylesheet.status_code == 200
    assert "govuk-button" in stylesheet.text
    assert "GDS Transport" not in stylesheet.text
    assert "@font-face" not in stylesheet.text
    for path in ("assets/fonts/bold-b542beb274-v2.woff2", "assets/images/govuk-crest.svg", "..%2f..%2fpackage.json"):
        assert http.get(f"/govuk/{path}").status_code == 404


@pytest.mark.parametrize(
    "path",
    ["/nowhere", "/submissions/ssda903/2026/x", "/submissions/ssda903/1999/20261121t101500-6f1c9a20b7d44f0e"],
)
def test_an_unknown_address_is_not_found(http: httpx.Client, path: str) -> None:
    page = http.get(path)
    assert page.status_code == 404
    assert "Page not found" in page.text


def test_the_log_has_paths_but_no_query_strings(http: httpx.Client, frontend: Frontend) -> None:
    http.get("/nowhere?key=a-secret")
    http.get("/no%0Awhere")
    log = frontend.log.read_text()
    assert "GET /nowhere 404" in log
    assert "GET /no%0Awhere 404" in log
    assert "a-secret" not in log


def test_health_is_answered_without_the_data_store(http: httpx.Client, data_store: Account) -> None:
    data_store.permit("s3:PutObject", "s3:GetObject", "s3:ListBucket")
    assert http.get("/health").text == "ok"


def test_the_state_changes_from_waiting_to_the_result(
    http: httpx.Client, data_store: Account, submissions: list[str]
) -> None:
    accepted, rejected = submissions[:2]

    def state(submission: str) -> dict[str, object]:
        found: dict[str, object] = http.get(f"/submissions/{submission}/status").json()
        return found

    assert state(accepted) == {"state": "waiting", "done": None, "goes_on": True}
    data_store.tell_progress(accepted, "parsed", "uploaded")
    assert state(accepted) == {"state": "waiting", "done": "parsed", "goes_on": True}
    now = datetime.now(UTC).isoformat()
    data_store.write_report(accepted, finished_at=now)
    assert state(accepted) == {"state": "sharing", "done": None, "goes_on": True}
    data_store.accept(accepted, finished_at=now)
    assert state(accepted) == {"state": "accepted", "done": None, "goes_on": False}
    data_store.write_report(rejected, **rejection("The file is empty."))
    assert state(rejected) == {"state": "rejected", "done": None, "goes_on": False}


def test_what_was_accepted_long_ago_does_not_wait_for_an_index_that_is_gone(
    http: httpx.Client, data_store: Account, submissions: list[str]
) -> None:
    data_store.write_report(submissions[0])
    assert http.get(f"/submissions/{submissions[0]}/status").json()["state"] == "accepted"
    page = http.get(f"/submissions/{submissions[0]}").text
    assert "Which submission counts cannot be said at the moment." in page
    assert "Not shared" not in page


def test_a_submission_tells_what_superseded_it_and_what_it_superseded(
    http: httpx.Client, data_store: Account, submissions: list[str]
) -> None:
    newer, older = submissions[:2]
    data_store.supersede(older, newer)
    page = http.get(f"/submissions/{older}").text
    assert "Superseded" in page
    assert f'href="/submissions/{newer}"' in page
    page = http.get(f"/submissions/{newer}").text
    assert "copied on 21 July 2026 at 10:15am" in page
    assert f'href="/submissions/{older}"' in page
    year = http.get("/submissions/ssda903/2026").text
    assert re.findall(r'href="/submissions/(ssda903/2026/[^"]+)"', year) == [newer, newer, older]


@pytest.mark.parametrize(
    "path", ["ssda903/2016", "ssda903/x", "other/2026", "ssda903/2026?page=0", "ssda903/2026?page=x"]
)
def test_there_is_no_list_of_what_is_not_declared(http: httpx.Client, path: str) -> None:
    assert http.get(f"/submissions/{path}").status_code == 404


def test_a_page_of_the_list_that_is_no_more_is_the_last_one(
    http: httpx.Client, data_store: Account, submissions: list[str]
) -> None:
    data_store.supersede(submissions[1], submissions[0])
    listed = http.get("/submissions/ssda903/2026?page=3")
    assert (listed.status_code, listed.text) == (200, http.get("/submissions/ssda903/2026").text)


def test_a_file_that_counts_already_and_one_that_was_withdrawn_are_called_so(
    http: httpx.Client, data_store: Account
) -> None:
    now = datetime.now(UTC)
    duplicate, withdrawn = (new_submission("ssda903", 2026, now).path for _ in range(2))
    nothing: dict[str, Any] = {
        "errors": {"total": 0, "by_rule": [], "shown": []},
        "shared": [],
        "table": None,
        "tables": {},
    }
    data_store.write_report(duplicate, **nothing, state="duplicate", duplicate_of="20261120t101500-00000000000000aa")
    by_whom = {"who": "Ada (1)", "when": "2026-11-21T10:15:00Z", "completed_at": "2026-11-21T10:15:09Z"}
    data_store.write_report(withdrawn, **nothing, state="withdrawn", withdrawn=by_whom)
    page = http.get(f"/submissions/{duplicate}").text
    assert 'href="/submissions/ssda903/2026/20261120t101500-00000000000000aa"' in page
    page = http.get(f"/submissions/{withdrawn}").text
    assert "Nothing of it is shared any more" in page
    assert "Ada (1)" in page
    first_page = http.get("/").text
    assert "Duplicate" in first_page
    assert "Withdrawn" in first_page


def test_a_duplicate_says_whether_the_submission_that_it_counts_as_is_still_current(
    http: httpx.Client, data_store: Account, submissions: list[str]
) -> None:
    duplicate, original, newer = submissions[:3]
    data_store.write_report(
        duplicate, state="duplicate", duplicate_of=original.rpartition("/")[2], shared=[], tables={}, table=None
    )
    data_store.accept(original)
    page = http.get(f"/submissions/{duplicate}").text
    assert "This file counts already" in page
    assert f'href="/submissions/{original}"' in page
    assert "which is current." in page
    data_store.supersede(original, newer)
    page = http.get(f"/submissions/{duplicate}").text
    assert "This file had been sent before" in page
    assert f'href="/submissions/{original}"' in page
    assert "which was current when this file was checked, and is no more." in page


def test_after_the_signed_request_expired_a_missing_result_is_called_so(http: httpx.Client) -> None:
    path = new_submission("ssda903", 2026, datetime.now(UTC) - timedelta(minutes=16)).path
    assert http.get(f"/submissions/{path}/status").json()["state"] == "overdue"
    page = http.get(f"/submissions/{path}").text
    assert "Either the file never arrived, or its checks are delayed." in page
    assert 'href="/?dataset=ssda903&amp;year=2026"' in page


def test_a_file_whose_checks_take_far_too_long_is_called_delayed_and_need_not_be_sent_again(
    http: httpx.Client, data_store: Account
) -> None:
    path = new_submission("ssda903", 2026, datetime.now(UTC) - timedelta(minutes=16)).path
    data_store.tell_progress(path, "uploaded", "parsed")
    assert http.get(f"/submissions/{path}/status").json() == {"state": "delayed", "done": "parsed", "goes_on": True}
    page = http.get(f"/submissions/{path}").text
    assert "The checks are delayed" in page
    assert "You do not need to send it again." in page
    assert "The last step was done on" in page


def test_errors_are_shown_by_rule_with_their_first_rows_and_all_can_be_downloaded(
    http: httpx.Client, data_store: Account, submissions: list[str]
) -> None:
    submission = submissions[0]
    assert http.get(f"/submissions/{submission}/errors.csv").status_code == 404
    by_rule = [group("<b>Not a date.</b>", 2, 5, count=4040, column="DOB", rule="date")]
    data_store.write_report(submission, errors={"total": 4040, "by_rule": by_rule, "shown": []})
    data_store.write_result(submission, "errors.csv", b"row,column,rule,reason\n")
    page = http.get(f"/submissions/{submission}").text
    assert "Rows 2, 5 and 4,038 more" in page
    assert "&lt;b&gt;Not a date." in page
    download = http.get(f"/submissions/{submission}/errors.csv", follow_redirects=True)
    assert download.content == b"row,column,rule,reason\n"
    assert download.headers["content-disposition"].startswith("attachment")


def test_the_first_page_lists_the_newest_twenty_of_thirty_days(
    http: httpx.Client, data_store: Account, submissions: list[str]
) -> None:
    old = new_submission("ssda903", 2026, datetime.now(UTC) - timedelta(days=31)).path
    other_year = new_submission("ssda903", 2017, datetime.now(UTC) + timedelta(seconds=1)).path
    for submission in (*submissions, old, other_year):
        data_store.write_report(submission)
    page = http.get("/").text
    assert re.findall(r'href="/submissions/([^"]+)"', page) == [other_year, *submissions[:19]]


def test_a_report_of_another_shape_does_not_hide_the_others(
    http: httpx.Client, data_store: Account, submissions: list[str]
) -> None:
    data_store.write_report(submissions[0])
    data_store.write_result(submissions[1], "report.json", b"{}")
    assert "Cannot be read" in http.get("/").text
    page = http.get(f"/submissions/{submissions[1]}")
    assert page.status_code == 500
    assert "their report cannot be read. Tell the data team" in page.text
    assert "KeyError" not in page.text


@pytest.mark.parametrize(
    ("action", "operation", "what"),
    [("s3:ListBucket", "ListObjectsV2", "list results in"), ("s3:GetObject", "GetObject", "read results from")],
)
def test_a_missing_permission_is_named_with_whom_to_ask(
    http: httpx.Client, data_store: Account, submissions: list[str], action: str, operation: str, what: str
) -> None:
    data_store.write_report(submissions[0])
    data_store.permit(action)
    page = http.get(f"/submissions/{submissions[0]}")
    assert page.status_code == 503
    assert f"It is not permitted to {what} the data store of Camden. Ask the data team" in page.text
    assert f"{operation} on {BUCKET} is denied" in page.text
    assert http.get(f"/submissions/{submissions[0]}/status").status_code == 503
    start = http.get("/")
    assert start.status_code == 200
    assert "The list of recent submissions cannot be read at the moment." in start.text
