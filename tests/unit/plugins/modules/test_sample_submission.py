# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of a sample, by what the pipeline says of it.

Through a real pipeline: tests/integration/onboarding/test_onboard.py.
"""

from __future__ import annotations

import hashlib
import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry, RetryingBotoClientWrapper
from ansible_collections.localgov.platform.plugins.module_utils._policy_resources import RefusedError
from ansible_collections.localgov.platform.plugins.module_utils._submissions import Submissions
from ansible_collections.localgov.platform.plugins.modules import sample_submission as module
from botocore.response import StreamingBody
from botocore.stub import ANY, Stubber

BUCKET, SCOPE = "localgov-012345670123-data-store", "school_places/2024/"
CONTENT = b"SCHOOL\n100001\n"
NAME = f"sample-{hashlib.sha256(CONTENT).hexdigest()[:12]}"
LEFT = "sample-0c1d2e3f4a5b"


class DataStore:
    """A bucket of S3, which answers what it was told to, in that order."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "sample.csv"
        self.file.write_bytes(CONTENT)
        client = botocore.session.get_session().create_client(
            "s3", region_name="eu-west-2", aws_access_key_id="made-up-id", aws_secret_access_key="made-up"
        )
        self.stub = Stubber(client)
        self.stub.activate()
        self.submissions = Submissions(RetryingBotoClientWrapper(client, AWSRetry.jittered_backoff(retries=1)), BUCKET)

    def lists(self, kind: str, *keys: str, version: str = "1") -> DataStore:
        versions = [
            {"Key": f"{kind}/{SCOPE}{key}", "VersionId": version, "IsLatest": True, "LastModified": datetime.now(UTC)}
            for key in keys
        ]
        asked = {"Bucket": BUCKET, "Prefix": f"{kind}/{SCOPE}"}
        self.stub.add_response("list_object_versions", {"Versions": versions}, asked)
        return self

    def reports(self, *names: str, version: str = "1") -> DataStore:
        return self.lists("results", *(f"{name}/report.json" for name in names), version=version)

    def takes(self, key: str) -> DataStore:
        self.stub.add_response("put_object", {}, {"Bucket": BUCKET, "Key": key, "Body": ANY})
        return self

    def says(self, state: str, *reasons: str) -> DataStore:
        report = {"state": state, "rows": {"read": 1}, "errors": {"shown": [{"reason": reason} for reason in reasons]}}
        body = json.dumps(report).encode()
        asked = {"Bucket": BUCKET, "Key": f"results/{SCOPE}{NAME}/report.json"}
        self.stub.add_response("get_object", {"Body": StreamingBody(io.BytesIO(body), len(body))}, asked)
        return self

    def send(self, *, check: bool = False, proves: str = "") -> dict[str, Any]:
        given = {"dataset": "school_places", "year": 2024, "src": str(self.file), "proves": proves, "wait_timeout": 3}
        found = module.send(self.submissions, given, check=check)
        self.stub.assert_no_pending_responses()
        return found


@pytest.fixture
def store(tmp_path: Path) -> DataStore:
    return DataStore(tmp_path)


def test_a_sample_is_sent_accepted_and_taken_back(store: DataStore) -> None:
    store.lists("uploads").reports()
    store.reports().takes(f"uploads/{SCOPE}{NAME}.csv").reports(NAME).says("accepted")
    store.reports(NAME).takes(f"withdrawals/{SCOPE}{NAME}.json").reports(NAME, version="2").says("withdrawn")
    sent = store.send()
    assert (sent["changed"], sent["state"], sent["rows"]) == (True, "withdrawn", 1)


def test_what_went_through_once_is_not_sent_again(store: DataStore) -> None:
    sent = store.lists("uploads").reports(NAME).says("withdrawn").send()
    assert (sent["changed"], sent["state"]) == (False, "withdrawn")


def test_for_another_image_it_is_sent_again(store: DataStore) -> None:
    sent = store.lists("uploads").reports(NAME).send(check=True, proves="sha256:1")
    assert (sent["changed"], sent["state"]) == (True, "would be sent")
    assert NAME not in sent["report"]


def test_what_an_interrupted_run_left_accepted_is_taken_back(store: DataStore) -> None:
    store.lists("uploads", f"{NAME}.csv").reports(NAME).says("accepted")
    store.reports(NAME).takes(f"withdrawals/{SCOPE}{NAME}.json").reports(NAME, version="2").says("withdrawn")
    assert store.send()["state"] == "withdrawn"


def test_nothing_is_sent_where_it_would_count_in_place_of_somebodys_upload(store: DataStore) -> None:
    sent = store.lists("uploads", "20261126-real.csv").reports().send()
    assert (sent["changed"], sent["state"]) == (False, "not sent")


def test_a_sample_that_broken_images_have_left_is_asked_back_and_is_nobodys_upload(store: DataStore) -> None:
    store.lists("uploads", f"{LEFT}.csv").reports().takes(f"withdrawals/{SCOPE}{LEFT}.json")
    store.reports().takes(f"uploads/{SCOPE}{NAME}.csv").reports(NAME).says("accepted")
    store.reports(NAME).takes(f"withdrawals/{SCOPE}{NAME}.json").reports(NAME, version="2").says("withdrawn")
    assert store.send()["state"] == "withdrawn"


def test_a_sample_that_a_killed_run_has_left_does_not_stand_in_the_way_of_the_next_release(store: DataStore) -> None:
    sent = store.lists("uploads", f"{NAME}.csv", f"{LEFT}.csv").reports(LEFT).send(check=True, proves="noon")
    assert sent["state"] == "would be sent"


def test_a_sample_that_is_left_among_somebodys_uploads_is_asked_back_without_another(store: DataStore) -> None:
    store.lists("uploads", "20261126-real.csv", f"{LEFT}.csv").reports().takes(f"withdrawals/{SCOPE}{LEFT}.json")
    sent = store.send()
    assert (sent["changed"], sent["state"]) == (True, "not sent")


def test_an_upload_that_somebody_calls_a_sample_is_theirs_and_stays(store: DataStore) -> None:
    sent = store.lists("uploads", "sample-of-ours.csv").reports().send()
    assert (sent["changed"], sent["state"]) == (False, "not sent")


def test_a_rehearsal_sends_nothing(store: DataStore) -> None:
    sent = store.lists("uploads").reports().send(check=True)
    assert (sent["changed"], sent["state"]) == (True, "would be sent")


def test_why_a_sample_is_rejected_is_said(store: DataStore) -> None:
    store.lists("uploads").reports()
    store.reports().takes(f"uploads/{SCOPE}{NAME}.csv").reports(NAME).says("rejected", "A column is missing.")
    with pytest.raises(RefusedError, match="said rejected to the sample: A column is missing"):
        store.send()


def test_a_pipeline_that_is_silent_is_told_of_with_where_to_look(store: DataStore) -> None:
    store.lists("uploads").reports()
    store.reports().takes(f"uploads/{SCOPE}{NAME}.csv").reports()
    with pytest.raises(RefusedError, match=r"has said nothing of s3://.* for 3 seconds[.] Look whether"):
        store.send()
