# SPDX-License-Identifier: GPL-3.0-or-later
"""What an account has to run when it hosts a code location of somebody else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.localgov.platform.plugins.plugin_utils import _declaration as declaration
from ansible_collections.localgov.platform.plugins.plugin_utils._code_locations import hosted

SERVICES: declaration.Declaration = {
    "daemon": {"connects_to": ["code_server", "database"], "launches": ["run"]},
    "dagit": {"connects_to": ["code_server", "database"], "follows": ["run"]},
    "code_server": {"port": 4000},
    "run": {},
}
LOCATIONS = {"data_store": "la-data", "workspace": "la-work", "shared": "la-shared"}
CENSUS: dict[str, Any] = {
    "image": "census",
    "environment": {"INPUT_LOCATION": "s3://la-data/uploads", "REGION_OF_DATA": "north"},
    "sensors": {"lists": ["data_store/uploads"]},
    "reads": ["data_store/uploads"],
    "writes": ["workspace/census", "shared"],
}


def found() -> declaration.Declaration:
    return hosted(SERVICES, {"census": CENSUS}, "localgov")


def test_without_code_locations_of_others_the_declaration_is_as_it_was() -> None:
    assert hosted(SERVICES, {}, "localgov") == SERVICES


def test_the_daemon_and_the_web_interface_reach_it_and_know_its_name() -> None:
    services = found()
    for service in ("daemon", "dagit"):
        assert services[service]["connects_to"] == ["code_server", "database", "census_code"]
        assert services[service]["environment"] == {"HOSTED_CODE_LOCATIONS": "census"}
    assert SERVICES["daemon"]["connects_to"] == ["code_server", "database"], "the declaration itself is left alone"


def test_the_daemon_starts_its_runs_and_the_web_interface_follows_them() -> None:
    services = found()
    assert services["daemon"]["launches"] == ["run", "census_run"]
    assert services["dagit"]["follows"] == ["run", "census_run"]
    launched = {
        resource["Fn::Sub"].rpartition("/")[2]
        for statement in declaration.launch_statements("daemon", services, "localgov")
        if statement["Sid"] == "LaunchDeclaredTasks"
        for resource in statement["Resource"]
    }
    assert launched == {"localgov-run:*", "localgov-census-run:*"}


def test_its_code_server_says_which_task_a_run_of_it_is() -> None:
    context = json.loads(found()["census_code"]["environment"]["DAGSTER_CONTAINER_CONTEXT"])
    assert context == {"ecs": {"task_definition_arn": "localgov-census-run", "container_name": "census-run"}}


def test_its_runs_may_do_what_it_names_and_its_code_server_only_looks() -> None:
    services = found()
    run = {statement["Sid"] for statement in declaration.storage_statements(services["census_run"], LOCATIONS)}
    assert run == {"ListDataStoreUploads", "ReadDataStoreUploads", "WriteWorkspaceCensus", "WriteShared"}
    code = {statement["Sid"] for statement in declaration.storage_statements(services["census_code"], LOCATIONS)}
    assert code == {"ListDataStoreUploads"}


def test_its_locations_are_roots_by_the_names_that_it_asks_for() -> None:
    named = {
        "INPUT_LOCATION": "data_store/uploads",
        "SHARED_LOCATION": "shared",
        "WORKSPACE_LOCATION": "workspace/census",
    }
    services = hosted(SERVICES, {"census": {**CENSUS, "environment": {}, "locations": named}}, "localgov")
    for service in ("census_code", "census_run"):
        assert declaration.location_environment(services[service], LOCATIONS).items() >= {
            ("INPUT_LOCATION", "s3://la-data/uploads"),
            ("SHARED_LOCATION", "s3://la-shared"),
            ("WORKSPACE_LOCATION", "s3://la-work/census"),
        }


def test_a_root_is_one_bucket() -> None:
    with pytest.raises(
        declaration.DeclarationError, match="INPUT_LOCATION is to be 'member_shared', which is 2 buckets"
    ):
        declaration.location_environment(
            {"roots": {"INPUT_LOCATION": "member_shared"}}, {"member_shared": {"a": "x", "b": "y"}}
        )


def test_its_code_server_drains_the_queues_that_its_sensors_need() -> None:
    services = hosted(SERVICES, {"census": {**CENSUS, "sensors": {"drains": ["census"]}}}, "localgov")
    assert services["census_code"]["drains"] == ["census"]
    assert "drains" not in services["census_run"]


def test_a_marker_is_put_only_where_it_has_a_location() -> None:
    with pytest.raises(declaration.DeclarationError, match="its marker INPUT_LOCATION is none of its locations"):
        hosted(SERVICES, {"census": {**CENSUS, "markers": ["INPUT_LOCATION"]}}, "localgov")


def test_both_have_its_environment_and_only_runs_have_the_database() -> None:
    services = found()
    for service in ("census_code", "census_run"):
        assert services[service]["environment"].items() >= CENSUS["environment"].items()
    assert services["census_run"]["connects_to"] == ["database"]
    assert "secrets" not in services["census_code"]
    assert "connects_to" not in services["census_code"]


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("Census", {}, "small letters"),
        ("census", {"image": ""}, "name its image"),
        ("census", {"read": ["shared"]}, "'read' means nothing"),
        ("census", {"sensors": {"writes": ["shared"]}}, "sensors only look"),
        ("other", {}, "there is a service 'other_code' already"),
    ],
)
def test_a_faulty_code_location_is_refused_by_name(name: str, change: dict[str, Any], reason: str) -> None:
    with pytest.raises(declaration.DeclarationError, match=reason) as refusal:
        hosted({**SERVICES, "other_code": {}}, {name: {**CENSUS, **change}}, "localgov")
    assert name in str(refusal.value)
