# SPDX-License-Identifier: GPL-3.0-or-later
"""Dagster code locations of somebody else, hosted in one account by what the inventory says of them."""

from __future__ import annotations

import json
import os
import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sandbox.journey.organisation import PREFIX, Organisation
from sandbox.journey.person import upload, wait_for, wait_for_result
from sandbox.processes import is_alive
from sandbox.sessions import client_of_root
from sandbox.settings import Settings
from tests.e2e.conftest import Playbook, failures, sample
from tests.e2e.layouts import with_changed_command, with_image
from tests.e2e.workings import Workings

ACCOUNT, PATIENCE = "camden", 300
IMAGES = ("frontend", "dagit", "daemon", "code-server", "census")
# It knows nothing of the platform but the variables that the inventory gives it.
CODE = """
import os
import dagster as dg
from botocore.session import Session

def s3():
    return Session().create_client("s3")

def listed(variable):
    bucket, _, prefix = os.environ[variable].removeprefix("s3://").partition("/")
    found = s3().list_objects_v2(Bucket=bucket, Prefix=f"{prefix}/")
    return [entry["Key"] for entry in found.get("Contents", [])]

def uploads():
    return listed("INPUT_LOCATION")

if "FRAGILE" in os.environ and [key for key in listed("OUTPUT_LOCATION") if key.endswith("/broken")]:
    raise ImportError("broken")

@dg.op
def count():
    bucket, _, prefix = os.environ["OUTPUT_LOCATION"].removeprefix("s3://").partition("/")
    s3().put_object(Bucket=bucket, Key=f"{prefix}/count", Body=str(len(uploads())))

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
    """One location that works, and one that can be broken. Both find their data by the names of locations."""
    uploads = ["data_store/uploads"]
    census = {
        "image": "census",
        "locations": {"INPUT_LOCATION": "data_store/uploads", "OUTPUT_LOCATION": "workspace/census"},
        "sensors": {"lists": uploads},
        "lists": uploads,
        "writes": ["workspace/census"],
    }
    fragile = {
        "image": "census",
        "environment": {"FRAGILE": "yes"},
        "locations": {"INPUT_LOCATION": "data_store/uploads", "OUTPUT_LOCATION": "workspace/fragile"},
        "markers": ["OUTPUT_LOCATION"],
        "sensors": {"lists": [*uploads, "workspace/fragile"]},
        "lists": [*uploads, "workspace/fragile"],
        "writes": ["workspace/fragile"],
    }
    hosts: dict[str, Any] = {
        "hub": {"org_ecr_images": list(IMAGES)},
        ACCOUNT: {"la_services_code_locations": {"census": census, "fragile": fragile}},
    }
    path = tmp_path_factory.mktemp("inventory") / "hosts.yml"
    path.write_text(json.dumps({"all": {"hosts": hosts}}))
    return path


@pytest.mark.slow
def test_hosted_code_locations_run_side_by_side_with_the_rights_they_name_and_one_that_breaks_breaks_alone(
    settings: Settings, organisation: Organisation, playbook: Playbook, layouts: Path, inventory: Path
) -> None:
    images = {name: {"context": "not built here"} for name in IMAGES}
    given = json.dumps({"platform_image_layouts": str(layouts), "platform_images": images})
    deployed = playbook("site", "-i", str(inventory), "-e", given)
    assert deployed.returncode == 0, failures(deployed)
    workings = Workings(settings, ACCOUNT)

    sent = upload(organisation.frontend(ACCOUNT), sample("header.csv"))
    for key in ("census/count", "fragile/count"):
        wait_for(partial(workings.versions, "workspace", key), f"{key}, which the hosted location writes", PATIENCE)
    assert workings.versions("workspace", "fragile/")[0], "the marker that it asks for"
    wait_for(
        lambda: ("SUCCESS",) in workings.query("SELECT status FROM runs WHERE pipeline_name = %s", "census"),
        "the end of its run",
        PATIENCE,
    )
    assert workings.used("census-run") == workings.allowed("census-run") == {"s3:ListBucket", "s3:PutObject"}
    assert workings.used("census-code") == workings.allowed("census-code") == {"s3:ListBucket"}
    assert wait_for_result(sent, PATIENCE) == "accepted", "the platform's own location goes on"

    before = len(workings.versions("workspace", "census/count"))
    break_on_import(settings, workings)
    sent = upload(organisation.frontend(ACCOUNT), sample("header.csv"))
    wait_for(lambda: len(workings.versions("workspace", "census/count")) > before, "the other one's next run", PATIENCE)
    assert wait_for_result(sent, PATIENCE) == "accepted"
    assert len(workings.versions("workspace", "fragile/count")) == 1, "the broken one stands still"

    gone = playbook("site", "--limit", ACCOUNT)
    assert gone.returncode == 0, failures(gone)
    ecs = client_of_root(settings, ACCOUNT, "ecs")
    services = ecs.describe_services(cluster=PREFIX, services=["census-code", "fragile-code"])["services"]
    assert [service for service in services if service["status"] == "ACTIVE"] == []


def break_on_import(settings: Settings, workings: Workings) -> None:
    """From its next start on the fragile location fails when it is imported, and that start is now."""
    bucket = f"{PREFIX}-{settings.accounts[ACCOUNT].id}-workspace"
    client_of_root(settings, ACCOUNT, "s3").put_object(Bucket=bucket, Key="fragile/broken", Body=b"")
    (served,) = workings.processes("fragile-code")
    os.kill(served.pid, signal.SIGKILL)
    wait_for(lambda: not is_alive(served), "the end of its server", 30)
