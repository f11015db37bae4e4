# SPDX-License-Identifier: GPL-3.0-or-later
"""What the module sends S3, and what it leaves alone.

Buckets that really announce: tests/e2e/people/test_journey.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import botocore.session
import pytest
import yaml
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry, RetryingBotoClientWrapper
from ansible_collections.localgov.platform.plugins.module_utils._policy_resources import RefusedError
from ansible_collections.localgov.platform.plugins.modules import s3_event_announcements as announcements
from botocore.stub import Stubber

from tests.unit.plugins.modules.test_access import assert_documented

BUCKET = "localgov-012345670123-data-store"
OTHERS = {"QueueConfigurations": [{"Id": "own", "QueueArn": "arn:of-a-queue", "Events": ["s3:ObjectRemoved:*"]}]}


class S3:
    """A bucket's notifications, as S3 answers what is asked of it."""

    def __init__(self) -> None:
        raw = botocore.session.get_session().create_client(
            "s3", region_name="eu-west-2", aws_access_key_id="made-up-id", aws_secret_access_key="made-up-secret"
        )
        self.stub = Stubber(raw)
        self.client = RetryingBotoClientWrapper(raw, AWSRetry.jittered_backoff(retries=1))

    def has(self, **configuration: Any) -> None:  # noqa: ANN401 - whatever S3 may say
        self.stub.add_response("get_bucket_notification_configuration", configuration, {"Bucket": BUCKET})

    def takes(self, **configuration: Any) -> None:  # noqa: ANN401 - whatever S3 takes
        wanted = {"Bucket": BUCKET, "NotificationConfiguration": configuration}
        self.stub.add_response("put_bucket_notification_configuration", {}, wanted)

    def announces(self, wanted: bool = True, *, check: bool = False) -> bool:
        changed: bool = announcements.announce(self.client, BUCKET, wanted, check=check)["changed"]
        return changed


@pytest.fixture
def s3() -> Iterator[S3]:
    found = S3()
    with found.stub:
        yield found
        found.stub.assert_no_pending_responses()


def test_other_notifications_stay_when_eventbridge_is_told(s3: S3) -> None:
    s3.has(**OTHERS)
    s3.takes(**OTHERS, EventBridgeConfiguration={})
    assert s3.announces()


def test_other_notifications_stay_when_it_is_told_no_longer(s3: S3) -> None:
    s3.has(**OTHERS, EventBridgeConfiguration={})
    s3.takes(**OTHERS)
    assert s3.announces(wanted=False)


@pytest.mark.parametrize(("there", "wanted"), [({"EventBridgeConfiguration": {}}, True), ({}, False)])
def test_what_is_as_wanted_is_left_alone(s3: S3, there: dict[str, Any], wanted: bool) -> None:
    s3.has(**there)
    assert not s3.announces(wanted)


def test_a_rehearsal_changes_nothing(s3: S3) -> None:
    s3.has()
    assert s3.announces(check=True)


def test_a_rehearsal_foresees_a_bucket_that_is_not_there_yet(s3: S3) -> None:
    s3.stub.add_client_error("get_bucket_notification_configuration", "NoSuchBucket")
    assert s3.announces(check=True)


@pytest.mark.parametrize(
    ("code", "message"),
    [("NoSuchBucket", "Make it first"), ("AccessDenied", "needs s3:GetBucketNotification on it")],
)
def test_a_bucket_that_cannot_be_looked_at_is_named_with_what_to_do(s3: S3, code: str, message: str) -> None:
    s3.stub.add_client_error("get_bucket_notification_configuration", code)
    with pytest.raises(RefusedError, match=f"{BUCKET}.*{message}"):
        s3.announces()


def test_what_is_documented_is_what_it_takes() -> None:
    documented = yaml.safe_load(announcements.DOCUMENTATION)
    assert_documented(documented["options"], announcements.ARGUMENTS)
    for task in yaml.safe_load(announcements.EXAMPLES):
        assert set(task["localgov.platform.s3_event_announcements"]) <= set(documented["options"])
