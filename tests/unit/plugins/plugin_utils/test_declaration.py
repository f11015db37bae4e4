# SPDX-License-Identifier: GPL-3.0-or-later
"""What a declaration of services comes to."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.localgov.platform.plugins.plugin_utils import _declaration as declaration

SERVICES: dict[str, Any] = {
    "frontend": {"tier": "frontend", "port": 8080, "reads": ["data_store/results"], "writes": ["data_store/uploads"]},
    "daemon": {"tier": "private", "connects_to": ["code_server", "database"], "launches": ["run"]},
    "code_server": {"tier": "private", "port": 4000, "lists": ["data_store/uploads", "member_shared"]},
    "run": {"tier": "private", "connects_to": ["database"]},
}
LOCATIONS = {
    "data_store": "la-data",
    "shared": "",
    "member_shared": {"camden": "camden-shared", "sutton": "sutton-shared"},
}


def test_every_arrow_becomes_a_connection_to_the_targets_port() -> None:
    assert declaration.connections(SERVICES) == [
        {"source": "daemon", "target": "code_server", "port": 4000},
        {"source": "daemon", "target": "database", "port": 5432},
        {"source": "run", "target": "database", "port": 5432},
    ]


@pytest.mark.parametrize(
    ("services", "message"),
    [
        (
            {"a": {"connects_to": ["b"]}},
            "service 'a' connects_to 'b', which is not declared; declared are: a, database",
        ),
        ({"a": {"connects_to": ["b"]}, "b": {}}, "'b', which declares no port; give 'b' a port"),
    ],
)
def test_an_arrow_to_nowhere_is_refused_by_name(services: dict[str, Any], message: str) -> None:
    with pytest.raises(declaration.DeclarationError, match=message):
        declaration.connections(services)


def test_the_frontend_may_write_uploads_and_read_results_and_nothing_else() -> None:
    statements = declaration.storage_statements(SERVICES["frontend"], LOCATIONS)
    allowed = {
        (action, resource["Fn::Sub"]): statement.get("Condition")
        for statement in statements
        for action in statement["Action"]
        for resource in statement["Resource"]
    }
    bucket = "arn:${AWS::Partition}:s3:::la-data"
    only_results = {"StringLike": {"s3:prefix": ["results/*"]}}
    assert allowed == {
        ("s3:ListBucket", bucket): only_results,
        ("s3:GetObject", f"{bucket}/results/*"): None,
        ("s3:PutObject", f"{bucket}/uploads/*"): None,
    }


def test_every_statement_says_which_arrow_asks_for_it() -> None:
    statements = declaration.storage_statements(SERVICES["frontend"], LOCATIONS)
    assert [statement["Sid"] for statement in statements] == [
        "ListDataStoreResults",
        "ReadDataStoreResults",
        "WriteDataStoreUploads",
    ]


def test_an_arrow_to_a_location_that_the_account_lacks_asks_for_nothing() -> None:
    assert declaration.storage_statements({"writes": ["shared"]}, LOCATIONS) == []


def test_an_arrow_to_an_unknown_location_is_refused() -> None:
    with pytest.raises(declaration.DeclarationError, match="'archive/2026' names no location; known are: data_store"):
        declaration.storage_statements({"writes": ["archive/2026"]}, LOCATIONS)


def test_a_location_of_several_accounts_names_each_bucket_and_no_pattern() -> None:
    (statement,) = declaration.storage_statements({"lists": ["member_shared"]}, LOCATIONS)
    assert [resource["Fn::Sub"] for resource in statement["Resource"]] == [
        "arn:${AWS::Partition}:s3:::camden-shared",
        "arn:${AWS::Partition}:s3:::sutton-shared",
    ]


def test_a_service_is_told_only_of_the_locations_it_has_an_arrow_to() -> None:
    environment = declaration.location_environment(SERVICES["code_server"], LOCATIONS)
    assert environment.keys() == {"DATA_STORE_LOCATION", "MEMBER_SHARED_LOCATIONS"}
    assert environment["DATA_STORE_LOCATION"] == "s3://la-data"
    assert json.loads(environment["MEMBER_SHARED_LOCATIONS"]) == {
        "camden": "s3://camden-shared",
        "sutton": "s3://sutton-shared",
    }


def test_a_service_that_only_knows_a_location_is_told_its_name_and_gets_no_right() -> None:
    service = {"knows": ["data_store"]}
    assert declaration.location_environment(service, LOCATIONS) == {"DATA_STORE_LOCATION": "s3://la-data"}
    assert declaration.storage_statements(service, LOCATIONS) == []


def test_only_a_service_that_asks_for_versions_may_list_them() -> None:
    (statement,) = declaration.storage_statements({"versions": ["data_store/uploads"]}, LOCATIONS)
    assert (statement["Sid"], statement["Action"]) == ("ListVersionsOfDataStoreUploads", ["s3:ListBucketVersions"])


def test_a_follower_may_look_at_tasks_and_stop_them_but_start_none_and_pass_no_role() -> None:
    services = SERVICES | {"dagit": {"follows": ["run"]}}
    actions = [action for s in declaration.launch_statements("dagit", services, "localgov") for action in [s["Action"]]]
    assert actions == [["ecs:DescribeTasks", "ecs:StopTask"], "ecs:DescribeTaskDefinition", "logs:GetLogEvents"]


def test_deleting_is_a_right_of_its_own() -> None:
    (statement,) = declaration.storage_statements({"deletes": ["data_store/results"]}, LOCATIONS)
    assert (statement["Sid"], statement["Action"]) == ("DeleteDataStoreResults", ["s3:DeleteObject"])


def test_a_launcher_may_start_only_what_it_launches_and_pass_only_its_roles() -> None:
    statements = {
        statement["Sid"]: statement for statement in declaration.launch_statements("daemon", SERVICES, "localgov")
    }
    (run,) = statements["LaunchDeclaredTasks"]["Resource"]
    assert run["Fn::Sub"].endswith(":task-definition/localgov-run:*")
    passed = [resource["Fn::Sub"].rpartition("/")[2] for resource in statements["PassRolesOfLaunchedTasks"]["Resource"]]
    assert passed == ["localgov-run-execution", "localgov-run-task"]


def test_the_only_star_of_a_launcher_says_why() -> None:
    stars = [s["Sid"] for s in declaration.launch_statements("daemon", SERVICES, "localgov") if s["Resource"] == "*"]
    assert stars == ["DescribeTaskDefinitionHasNoResourceLevel"]


def test_a_service_that_launches_nothing_gets_no_launch_rights() -> None:
    assert declaration.launch_statements("frontend", SERVICES, "localgov") == []


def test_launching_an_undeclared_task_is_refused() -> None:
    with pytest.raises(
        declaration.DeclarationError, match="service 'a' launches or follows 'b', which is not declared"
    ):
        declaration.launch_statements("a", {"a": {"launches": ["b"]}}, "localgov")


def test_only_a_service_on_demand_may_open_session_managers_channels() -> None:
    assert declaration.session_statements(SERVICES["daemon"]) == []
    (statement,) = declaration.session_statements({"on_demand": True})
    assert statement["Action"] == [
        "ssmmessages:CreateControlChannel",
        "ssmmessages:CreateDataChannel",
        "ssmmessages:OpenControlChannel",
        "ssmmessages:OpenDataChannel",
    ]
