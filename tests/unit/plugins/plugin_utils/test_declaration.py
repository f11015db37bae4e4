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


def test_to_erase_is_to_remove_versions_and_no_more() -> None:
    (statement,) = declaration.storage_statements({"erases": ["data_store/uploads"]}, LOCATIONS)
    assert statement["Action"] == ["s3:DeleteObjectVersion"]
    assert statement["Resource"] == [{"Fn::Sub": "arn:${AWS::Partition}:s3:::la-data/uploads/*"}]


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


def test_whoever_inspects_a_bucket_sees_who_is_let_in_and_nothing_that_it_holds() -> None:
    (statement,) = declaration.storage_statements({"inspects": ["data_store"]}, LOCATIONS)
    assert statement == {
        "Sid": "InspectDataStore",
        "Effect": "Allow",
        "Action": ["s3:GetBucketPolicy", "s3:GetBucketTagging"],
        "Resource": [{"Fn::Sub": "arn:${AWS::Partition}:s3:::la-data"}],
    }
    assert "DATA_STORE_LOCATION" in declaration.location_environment({"inspects": ["data_store"]}, LOCATIONS)


def test_where_there_is_no_such_bucket_nothing_is_inspected() -> None:
    assert declaration.storage_statements({"inspects": ["shared"]}, LOCATIONS) == []


def test_a_folder_has_no_policy_to_inspect() -> None:
    with pytest.raises(declaration.DeclarationError, match="a whole bucket's; leave the prefix out"):
        declaration.storage_statements({"inspects": ["data_store/results"]}, LOCATIONS)


def test_a_follower_may_look_at_tasks_and_stop_them_but_start_none_and_pass_no_role() -> None:
    services = SERVICES | {"dagit": {"follows": ["run"]}}
    actions = [action for s in declaration.launch_statements("dagit", services, "localgov") for action in [s["Action"]]]
    assert actions == [["ecs:DescribeTasks", "ecs:StopTask"], "ecs:DescribeTaskDefinition"]


def test_deleting_is_a_right_of_its_own() -> None:
    (statement,) = declaration.storage_statements({"deletes": ["data_store/results"]}, LOCATIONS)
    assert (statement["Sid"], statement["Action"]) == ("DeleteDataStoreResults", ["s3:DeleteObject"])


def test_whoever_writes_may_send_in_parts_and_only_who_resumes_may_look_at_them_or_give_up() -> None:
    (written,) = declaration.storage_statements({"writes": ["data_store/uploads"]}, LOCATIONS)
    (resumed,) = declaration.storage_statements({"resumes": ["data_store/uploads"]}, LOCATIONS)
    assert written["Action"] == ["s3:PutObject"]
    assert resumed["Sid"] == "ResumeDataStoreUploads"
    assert resumed["Action"] == ["s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
    assert resumed["Resource"] == written["Resource"]


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


# --- Keys of locations ---

KEYS = {"camden-shared": "arn:aws:kms:eu-west-2:012345670123:key/*"}


def test_who_reads_what_a_key_encrypts_may_decrypt_it_for_that_bucket_through_s3_alone() -> None:
    (statement,) = declaration.key_statements({"reads": ["member_shared/ssda903"]}, LOCATIONS, KEYS)
    bucket = "arn:${AWS::Partition}:s3:::camden-shared"
    assert statement == {
        "Sid": "DecryptToReadMemberSharedSsda903",
        "Effect": "Allow",
        "Action": ["kms:Decrypt"],
        "Resource": ["arn:aws:kms:eu-west-2:012345670123:key/*"],
        "Condition": {
            "StringEquals": {"kms:ViaService": [{"Fn::Sub": "s3.eu-west-2.${AWS::URLSuffix}"}]},
            "StringLike": {
                "kms:EncryptionContext:aws:s3:arn": [{"Fn::Sub": bucket}, {"Fn::Sub": f"{bucket}/ssda903/*"}]
            },
        },
    }


def test_who_writes_may_also_decrypt_the_parts_of_a_large_file() -> None:
    locations = {"shared": "camden-shared"}
    (statement,) = declaration.key_statements({"writes": ["shared"]}, locations, KEYS)
    assert statement["Sid"] == "EncryptToWriteShared"
    assert statement["Action"] == ["kms:GenerateDataKey", "kms:Decrypt"]


@pytest.mark.parametrize(
    ("service", "keys"),
    [
        ({"reads": ["member_shared"]}, {}),
        ({"reads": ["data_store"], "writes": ["shared"]}, KEYS),
        ({"lists": ["member_shared"], "deletes": ["member_shared"]}, KEYS),
    ],
)
def test_nothing_is_allowed_on_keys_that_no_location_of_the_service_has(
    service: dict[str, Any], keys: dict[str, str]
) -> None:
    assert declaration.key_statements(service, LOCATIONS, keys) == []


def test_forty_members_with_keys_fit_into_the_policies_of_a_role() -> None:
    """AWS takes 10,240 characters of inline policies of a role."""
    shared = {f"authority-{number}": f"localgov-{number:012}-shared" for number in range(40)}
    keys = {bucket: f"arn:aws:kms:eu-west-2:{bucket[9:21]}:key/*" for bucket in shared.values()}
    locations = {"member_shared": shared}
    service = {"reads": ["member_shared"]}
    statements = declaration.storage_statements(service, locations)
    text = json.dumps([*statements, *declaration.key_statements(service, locations, keys)], separators=(",", ":"))
    resolved = text.replace('{"Fn::Sub":', "").replace("${AWS::Partition}", "aws").replace("}", "")
    assert len(resolved) < 10_240


def test_a_service_that_drains_a_queue_may_receive_and_delete_there_and_send_nothing() -> None:
    assert declaration.queue_statements({"drains": []}, "localgov") == []
    (statement,) = declaration.queue_statements({"drains": ["late_uploads"]}, "localgov")
    assert statement == {
        "Sid": "DrainLateUploads",
        "Effect": "Allow",
        "Action": ["sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"],
        "Resource": [
            {"Fn::Sub": "arn:${AWS::Partition}:sqs:${AWS::Region}:${AWS::AccountId}:localgov-late-uploads"},
        ],
    }


def test_only_a_service_on_demand_may_open_session_managers_channels() -> None:
    assert declaration.session_statements(SERVICES["daemon"]) == []
    (statement,) = declaration.session_statements({"on_demand": True})
    assert statement["Action"] == [
        "ssmmessages:CreateControlChannel",
        "ssmmessages:CreateDataChannel",
        "ssmmessages:OpenControlChannel",
        "ssmmessages:OpenDataChannel",
    ]
