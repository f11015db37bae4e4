# SPDX-License-Identifier: GPL-3.0-or-later
"""What an account runs, as it says itself. On a sandbox: tests/e2e/operators/test_release.py."""

from __future__ import annotations

import io
from typing import Any

import pytest
from ansible_collections.localgov.platform.plugins.module_utils import _deployed_versions as deployed
from ansible_collections.localgov.platform.plugins.modules import deployed_versions_info as module
from botocore.response import StreamingBody

from tests.unit.answering_aws import stubbed

DIGEST = f"sha256:{'0123456789abcdef' * 4}"
IMAGE = f"200000000001.dkr.ecr.eu-west-2.amazonaws.com/localgov/code-server@{DIGEST}"


def test_a_service_and_what_is_only_launched_are_told_with_image_digest_and_tag() -> None:
    ecs, stub = stubbed("ecs")
    for name in ("code-server", "run"):
        container = {"name": name, "image": IMAGE, "essential": True}
        definition = {"family": f"localgov-{name}", "containerDefinitions": [container]}
        stub.add_response("describe_task_definition", {"taskDefinition": definition})
    counted = {"serviceName": "code-server", "status": "ACTIVE", "desiredCount": 1, "runningCount": 0}
    stub.add_response("describe_services", {"services": [counted]})
    found = module.services(ecs, "localgov", ["code-server:1", "run:1"])
    image = {"image": "code-server", "digest": DIGEST, "tag": "0123456789ab"}
    assert found == {
        "code-server": {**image, "desired": 1, "running": 0},
        "run": {**image, "desired": None, "running": None},
    }
    assert deployed.below(found) == ["code-server"]


def says(*logs: str | None) -> dict[str, Any]:
    """What is known of daemons with these logs, of which one may not have come to its first line."""
    ecs, tasks = stubbed("ecs")
    client, streams = stubbed("logs")
    tasks.add_response("list_tasks", {"taskArns": [f"task/localgov/{number}" for number, _ in enumerate(logs)]})
    for number, log in enumerate(logs):
        if log is None:
            streams.add_client_error("get_log_events", "ResourceNotFoundException")
            continue
        asked = {"logGroupName": "/localgov/daemon", "logStreamName": f"daemon/daemon/{number}"}
        events = [{"message": line} for line in log.splitlines()]
        streams.add_response("get_log_events", {"events": events}, {**asked, "limit": 1000, "startFromHead": True})
    return module.said(ecs, client, "localgov", "daemon")


def test_the_daemons_last_word_counts_and_a_start_that_has_not_come_to_it_does_not() -> None:
    told = '{"versions": {"dagster": "1.13.27", "schema": "29b539ebc72a", "schema_expected": "29b539ebc72a"}}'
    assert says(None, f"Waiting\n{told.replace('27', '26')}\n{told}\nStarted")["dagster"] == "1.13.27"


@pytest.mark.parametrize("logs", [(), ("Waiting for the database",), (None,)])
def test_what_no_log_tells_is_unknown(logs: tuple[str | None, ...]) -> None:
    assert says(*logs) == deployed.UNKNOWN


def test_an_account_without_a_stack_is_told_as_such() -> None:
    cloudformation, stub = stubbed("cloudformation")
    stub.add_client_error("list_stack_resources", "ValidationError", "Stack with id localgov-services does not exist")
    assert module.task_definitions(cloudformation, "localgov-services") is None


@pytest.mark.parametrize(("code", "found"), [(None, {"state": "good"}), ("NoSuchKey", None), ("NoSuchBucket", None)])
def test_a_record_that_was_never_written_is_none(code: str | None, found: dict[str, str] | None) -> None:
    s3, stub = stubbed("s3")
    if code:
        stub.add_client_error("get_object", code)
    else:
        body = b'{"state": "good"}'
        stub.add_response("get_object", {"Body": StreamingBody(io.BytesIO(body), len(body))})
    assert module.record(s3, "localgov-012345670123-rollout", "release.json") == found
