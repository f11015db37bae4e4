# SPDX-License-Identifier: GPL-3.0-or-later
"""What is announced once more, and which report is waited for. Runs of it: tests/e2e/people/test_process.py."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import botocore.session
import pytest
import yaml
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry, RetryingBotoClientWrapper
from ansible_collections.localgov.platform.plugins.module_utils._policy_resources import RefusedError
from ansible_collections.localgov.platform.plugins.modules import submission_runs
from botocore.response import StreamingBody
from botocore.stub import ANY, Stubber

from tests.unit.plugins.modules.test_access import assert_documented

BUCKET, QUEUE, SCOPE = "localgov-012345670123-data-store", "localgov-uploads", "ssda903/2026/"
GIVEN = {"dataset": "ssda903", "year": 2026, "submissions": [], "wait_timeout": 3}
WHEN = datetime(2026, 11, 26, tzinfo=UTC)


class Aws:
    """S3 and SQS that answer what they were told to."""

    def __init__(self) -> None:
        self.s3, self.sqs = self._stub("s3"), self._stub("sqs")
        again = AWSRetry.jittered_backoff(retries=1)
        s3, sqs = (RetryingBotoClientWrapper(stub.client, again) for stub in (self.s3, self.sqs))
        self.pipeline = submission_runs.Pipeline(s3, sqs, BUCKET, QUEUE)
        self.sent: list[dict[str, Any]] = []
        self.sqs.client.meta.events.register("provide-client-params.sqs.SendMessageBatch", self._remember)

    def _stub(self, service: str) -> Stubber:
        return Stubber(
            botocore.session.get_session().create_client(
                service, region_name="eu-west-2", aws_access_key_id="made-up-id", aws_secret_access_key="made-up-secret"
            )
        )

    def _remember(self, params: dict[str, Any], **_: object) -> None:
        self.sent += [json.loads(entry["MessageBody"])["detail"] for entry in params["Entries"]]

    def has(self, folder: str, forms: tuple[str, ...] = ("csv",), **versions: str) -> None:
        """The listing of a folder: names to their latest version. A version that is older is there, too."""
        entries: list[dict[str, Any]] = []
        endings = ["/report.json"] if folder == "results" else [f".{form}" for form in forms]
        for name, version in versions.items():
            for ending in endings:
                key = f"{folder}/{SCOPE}{name}{ending}"
                entries += [
                    {"Key": key, "VersionId": version, "IsLatest": True, "LastModified": WHEN},
                    {"Key": key, "VersionId": "older", "IsLatest": False, "LastModified": WHEN},
                ]
        asked = {"Bucket": BUCKET, "Prefix": f"{folder}/{SCOPE}"}
        self.s3.add_response("list_object_versions", {"Versions": entries, "IsTruncated": False}, asked)

    def takes(self, number: int) -> None:
        self.sqs.add_response("get_queue_url", {"QueueUrl": "https://queue"}, {"QueueName": QUEUE})
        taken = [{"Id": str(one), "MessageId": "m", "MD5OfMessageBody": "x" * 32} for one in range(number)]
        answer = {"Successful": taken, "Failed": []}
        self.sqs.add_response("send_message_batch", answer, {"QueueUrl": "https://queue", "Entries": ANY})

    def reports(self, name: str, **report: Any) -> None:  # noqa: ANN401 - whatever a report may hold
        content = json.dumps(report).encode()
        body = StreamingBody(io.BytesIO(content), len(content))
        asked = {"Bucket": BUCKET, "Key": f"results/{SCOPE}{name}/report.json"}
        self.s3.add_response("get_object", {"Body": body}, asked)

    def processes(self, *, check: bool = False, **given: Any) -> dict[str, Any]:  # noqa: ANN401 - options of the module
        return submission_runs.process(self.pipeline, {**GIVEN, **given}, check=check)


@pytest.fixture
def aws() -> Iterator[Aws]:
    found = Aws()
    with found.s3, found.sqs:
        yield found
        found.s3.assert_no_pending_responses()
        found.sqs.assert_no_pending_responses()


def test_each_upload_is_announced_by_its_latest_version_and_told_of_by_its_new_report(aws: Aws) -> None:
    aws.has("uploads", one="1", two="2")
    aws.has("results", one="before")
    aws.takes(2)
    aws.has("results", one="after", two="first")
    aws.reports("one", state="accepted", errors={"total": 3}, finished_at="2026-11-26T10:00:00Z")
    aws.reports("two", state="rejected", errors={"total": 1}, finished_at="2026-11-26T10:00:01Z")
    found = aws.processes()
    assert [(entry["object"]["key"], entry["object"]["version-id"]) for entry in aws.sent] == [
        (f"uploads/{SCOPE}one.csv", "1"),
        (f"uploads/{SCOPE}two.csv", "2"),
    ]
    assert len({entry["requested"] for entry in aws.sent}) == 1
    assert [(entry["submission"], entry["state"], entry["errors"]) for entry in found["submissions"]] == [
        ("one", "accepted", 3),
        ("two", "rejected", 1),
    ]


def test_a_submission_that_came_in_two_forms_is_finished_with_its_one_report(aws: Aws) -> None:
    aws.has("uploads", forms=("csv", "xlsx"), one="1")
    aws.has("results")
    aws.takes(2)
    aws.has("results", one="first")
    aws.reports("one", state="accepted")
    assert [told["state"] for told in aws.processes(wait_timeout=1)["submissions"]] == ["accepted"]


def test_a_report_of_before_is_no_answer(aws: Aws) -> None:
    aws.has("uploads", one="1")
    aws.has("results", one="before")
    aws.takes(1)
    aws.has("results", one="before")
    (told,) = aws.processes(wait_timeout=1)["submissions"]
    assert told["state"] == "unfinished"


def test_a_rehearsal_tells_what_it_would_process_and_sends_nothing(aws: Aws) -> None:
    aws.has("uploads", one="1")
    found = aws.processes(check=True)
    assert found["changed"]
    assert [entry["state"] for entry in found["submissions"]] == ["to be processed"]


def test_where_nothing_was_uploaded_nothing_is_done(aws: Aws) -> None:
    aws.has("uploads")
    assert aws.processes() == {"changed": False, "submissions": []}


def test_a_submission_that_is_not_there_is_named(aws: Aws) -> None:
    aws.has("uploads", one="1")
    with pytest.raises(RefusedError, match=r"uploads/ssda903/2026/ of localgov-.* has no submission three"):
        aws.processes(submissions=["one", "three"])


def test_a_dataset_that_is_none_never_reaches_aws(aws: Aws) -> None:
    with pytest.raises(RefusedError, match="names no dataset"):
        aws.processes(dataset="../ssda903")


def test_who_may_not_send_is_told_what_is_needed(aws: Aws) -> None:
    aws.has("uploads", one="1")
    aws.has("results")
    aws.sqs.add_client_error("get_queue_url", "AccessDenied")
    with pytest.raises(RefusedError, match="needs sqs:GetQueueUrl and sqs:SendMessage on localgov-uploads"):
        aws.processes()


def test_what_is_documented_is_what_it_takes() -> None:
    documented = yaml.safe_load(submission_runs.DOCUMENTATION)
    assert_documented(documented["options"], submission_runs.ARGUMENTS)
    for task in yaml.safe_load(submission_runs.EXAMPLES):
        assert set(task.get("localgov.platform.submission_runs", {})) <= set(documented["options"])
