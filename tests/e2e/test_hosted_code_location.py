# SPDX-License-Identifier: GPL-3.0-or-later
"""A Dagster code location of somebody else, hosted in one account by what the inventory says of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sandbox.journey.organisation import PREFIX, Organisation
from sandbox.journey.person import upload, wait_for, wait_for_result
from sandbox.sessions import client_of_root
from sandbox.settings import Settings
from tests.e2e.conftest import Playbook, sample
from tests.e2e.layouts import with_changed_command, with_image
from tests.e2e.workings import Workings

ACCOUNT, PATIENCE = "camden", 300
IMAGES = ("frontend", "dagit", "daemon", "code-server", "census")
# It knows nothing of the platform but the variables that the inventory gives it.
CODE = """
import os
import boto3
import dagster as dg

def uploads():
    bucket, _, prefix = os.environ["INPUT_LOCATION"].removeprefix("s3://").partition("/")
    listed = boto3.client("s3").list_objects_v2(Bucket=bucket, Prefix=f"{prefix}/")
    return [entry["Key"] for entry in listed.get("Contents", [])]

@dg.op
def count():
    bucket, _, prefix = os.environ["OUTPUT_LOCATION"].removeprefix("s3://").partition("/")
    boto3.client("s3").put_object(Bucket=bucket, Key=f"{prefix}/count", Body=str(len(uploads())))

@dg.job
def census():
    count()

@dg.sensor(job=census, minimum_interval_seconds=5, default_status=dg.DefaultSensorStatus.RUNNING)
def arrivals():
    for key in uploads()[-1:]:
        yield dg.RunRequest(run_key=key)

definitions = dg.Definitions(jobs=[census], sensors=[arrivals])
"""
COMMAND = ["dagster", "api", "grpc", "--module-name", "census", "--host", "0.0.0.0", "--port", "4000"]  # noqa: S104


@pytest.fixture(scope="module")
def layouts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The platform's images, and one that its organisation knows nothing of."""
    folder = tmp_path_factory.mktemp("images")
    project = with_changed_command("files/dagster/code_server", json.dumps(COMMAND), folder)
    (project / "src" / "census.py").write_text(CODE)
    with_image("census", project, folder / "layouts")
    return folder / "layouts"


@pytest.fixture(scope="module")
def inventory(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    buckets = f"s3://{PREFIX}-{settings.accounts[ACCOUNT].id}"
    hosted = {
        "image": "census",
        "environment": {
            "INPUT_LOCATION": f"{buckets}-data-store/uploads",
            "OUTPUT_LOCATION": f"{buckets}-workspace/census",
        },
        "sensors": {"lists": ["data_store/uploads"]},
        "lists": ["data_store/uploads"],
        "writes": ["workspace/census"],
    }
    hosts: dict[str, Any] = {
        "hub": {"org_ecr_images": list(IMAGES)},
        ACCOUNT: {"la_services_code_locations": {"census": hosted}},
    }
    path = tmp_path_factory.mktemp("inventory") / "hosts.yml"
    path.write_text(json.dumps({"all": {"hosts": hosts}}))
    return path


@pytest.mark.slow
def test_a_hosted_code_location_runs_beside_the_platforms_own_with_the_rights_it_names(
    settings: Settings, organisation: Organisation, playbook: Playbook, layouts: Path, inventory: Path
) -> None:
    images = {name: {"context": "not built here"} for name in IMAGES}
    given = json.dumps({"platform_image_layouts": str(layouts), "platform_images": images})
    deployed = playbook("site", "-i", str(inventory), "-e", given)
    assert deployed.returncode == 0, deployed.stdout[-4000:]
    workings = Workings(settings, ACCOUNT)

    sent = upload(organisation.frontend(ACCOUNT), sample("header.csv"))
    wait_for(lambda: workings.versions("workspace", "census/count"), "what the hosted location writes", PATIENCE)
    wait_for(
        lambda: ("SUCCESS",) in workings.query("SELECT status FROM runs WHERE pipeline_name = %s", "census"),
        "the end of its run",
        PATIENCE,
    )
    assert workings.used("census-run") == workings.allowed("census-run") == {"s3:ListBucket", "s3:PutObject"}
    assert workings.used("census-code") == workings.allowed("census-code") == {"s3:ListBucket"}
    assert wait_for_result(sent, PATIENCE) == "accepted", "the platform's own location goes on"

    gone = playbook("site", "--limit", ACCOUNT)
    assert gone.returncode == 0, gone.stdout[-4000:]
    ecs = client_of_root(settings, ACCOUNT, "ecs")
    services = ecs.describe_services(cluster=PREFIX, services=["census-code"])["services"]
    assert [service for service in services if service["status"] == "ACTIVE"] == []
