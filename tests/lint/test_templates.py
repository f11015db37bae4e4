# SPDX-License-Identifier: GPL-3.0-or-later
"""What every template of the collection keeps to, in the form that an account gets (build/templates)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = sorted((ROOT / "build" / "templates").glob("*.yml"))
PERMISSIONS = ROOT / "docs" / "permissions.md"


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short functions, each as a mapping of its name."""


def _function(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        return {suffix: loader.construct_scalar(node)}
    if isinstance(node, yaml.SequenceNode):
        return {suffix: loader.construct_sequence(node, deep=True)}
    assert isinstance(node, yaml.MappingNode)
    return {suffix: loader.construct_mapping(node, deep=True)}


_Loader.add_multi_constructor("!", _function)


def resources(kind: str) -> list[tuple[str, dict[str, Any]]]:
    """Every resource of a type: where it stands, and its properties."""
    found = []
    for path in TEMPLATES:
        template = yaml.load(path.read_text(), _Loader)  # noqa: S506 - a safe loader
        for name, resource in template["Resources"].items():
            if resource["Type"] == kind:
                found.append((f"{path.stem}/{name}", resource.get("Properties", {})))
    assert found, f"no template has a {kind}"
    return found


def named(found: list[tuple[str, dict[str, Any]]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("properties", [entry for _, entry in found], ids=[where for where, _ in found])


TASKS = resources("AWS::ECS::TaskDefinition")
ROLES = resources("AWS::IAM::Role")


def containers(task: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = task["ContainerDefinitions"]
    return found


def each(value: Any) -> list[Any]:  # noqa: ANN401 - as policies have it: one or several
    return value if isinstance(value, list) else [value]


def statements() -> Iterator[tuple[str, dict[str, Any]]]:
    for where, role in ROLES:
        for policy in role.get("Policies", []):
            for statement in policy["PolicyDocument"]["Statement"]:
                yield where, statement


@named(TASKS)
def test_a_container_runs_an_image_known_by_its_content(properties: dict[str, Any]) -> None:
    for container in containers(properties):
        assert re.search(r"@sha256:[0-9a-f]{64}$", container["Image"])


@named(TASKS)
def test_a_container_is_not_root_has_no_capabilities_and_writes_only_to_tmp(properties: dict[str, Any]) -> None:
    for container in containers(properties):
        assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", container["User"])
        assert container["LinuxParameters"]["Capabilities"] == {"Drop": ["ALL"]}
        assert container["ReadonlyRootFilesystem"] is True
        writable = [mount["ContainerPath"] for mount in container["MountPoints"] if not mount.get("ReadOnly")]
        # Beside what is its own, only results for a receipt.
        assert set(writable) - {"/mnt/results"} == {"/tmp"}  # noqa: S108 - in a container


@named(TASKS)
def test_a_file_system_is_mounted_through_an_access_point_by_role_and_over_tls(properties: dict[str, Any]) -> None:
    for volume in properties["Volumes"]:
        if "EFSVolumeConfiguration" in volume:
            mounted = volume["EFSVolumeConfiguration"]
            assert mounted["TransitEncryption"] == "ENABLED"
            assert mounted["AuthorizationConfig"]["IAM"] == "ENABLED"
            assert "AccessPointId" in mounted["AuthorizationConfig"]


@named(TASKS)
def test_a_secret_reaches_a_container_by_reference_only(properties: dict[str, Any]) -> None:
    for container in containers(properties):
        names = {entry["Name"] for entry in container["Environment"]}
        assert names.isdisjoint(entry["Name"] for entry in container.get("Secrets", []))
        assert [name for name in names if re.search("PASSWORD|SECRET|TOKEN", name)] == []


@named(TASKS)
def test_a_container_has_time_to_stop(properties: dict[str, Any]) -> None:
    for container in filter(lambda one: one["Essential"], containers(properties)):
        assert 30 <= container["StopTimeout"] <= 120  # the most that Fargate allows


@named(resources("AWS::ECS::Service"))
def test_a_service_returns_to_its_last_state_when_its_tasks_do_not_come_up(properties: dict[str, Any]) -> None:
    deployment = properties["DeploymentConfiguration"]
    assert deployment["DeploymentCircuitBreaker"] == {"Enable": True, "Rollback": True}
    # One at a time: never two daemons.
    assert deployment["MaximumPercent"] == 100
    tasks = {where.split("/")[1]: task for where, task in TASKS}
    (container,) = (one for one in containers(tasks[properties["TaskDefinition"]["Ref"]]) if one["Essential"])
    assert container["HealthCheck"]["Command"][0] == "CMD"


@named(resources("AWS::Logs::LogGroup"))
def test_logs_end_some_day(properties: dict[str, Any]) -> None:
    assert properties["RetentionInDays"] > 0


@named(ROLES)
def test_a_role_has_policies_of_its_own_and_none_of_awss(properties: dict[str, Any]) -> None:
    assert properties.get("ManagedPolicyArns", []) == []


def is_for_people(role: dict[str, Any]) -> bool:
    return "-operative-" in role["RoleName"]


@named(ROLES)
def test_a_role_for_people_names_them_and_has_no_more_than_a_folder(properties: dict[str, Any]) -> None:
    if not is_for_people(properties):
        return
    for statement in properties["AssumeRolePolicyDocument"]["Statement"]:
        assert re.fullmatch(r"arn:aws:iam::\d{12}:(user|role)/\w+", *each(statement["Principal"]["AWS"]))
    folder = properties["RoleName"].rpartition("-operative-")[2]
    for statement in properties["Policies"][0]["PolicyDocument"]["Statement"]:
        limits = str(statement["Resource"]) + str(statement.get("Condition"))
        assert re.search(rf"/(uploads|receipts)/{folder}/\*", limits)


@named(ROLES)
def test_a_role_is_assumed_by_a_service_on_behalf_of_this_account_only(properties: dict[str, Any]) -> None:
    if is_for_people(properties):
        return
    for statement in properties["AssumeRolePolicyDocument"]["Statement"]:
        assert list(statement["Principal"]) == ["Service"]
        assert "aws:SourceAccount" in {key for keys in statement["Condition"].values() for key in keys}


def test_each_statement_says_its_reason_and_names_its_actions() -> None:
    for where, statement in statements():
        assert re.fullmatch(r"[A-Z][A-Za-z0-9]{5,}", statement["Sid"]), where
        assert "NotAction" not in statement, where
        assert "NotResource" not in statement, where
        assert [action for action in each(statement["Action"]) if "*" in action] == [], where


def test_each_statement_on_every_resource_is_listed_with_its_reason_and_nothing_else_is() -> None:
    listed = set(re.findall(r"^\| `(\w+)` \|", PERMISSIONS.read_text(), flags=re.MULTILINE))
    assert {statement["Sid"] for _, statement in statements() if "*" in each(statement["Resource"])} == listed


@named(resources("AWS::RDS::DBInstance"))
def test_a_database_is_encrypted_backed_up_private_and_not_removed_by_accident(properties: dict[str, Any]) -> None:
    assert properties["StorageEncrypted"] is True
    assert properties["BackupRetentionPeriod"] > 0
    assert properties["PubliclyAccessible"] is False
    assert properties["DeletionProtection"] is True
    assert properties["ManageMasterUserPassword"] is True


@named(resources("AWS::RDS::DBParameterGroup"))
def test_a_database_takes_no_connection_without_tls(properties: dict[str, Any]) -> None:
    assert properties["Parameters"]["rds.force_ssl"] == "1"


@named(TASKS)
def test_a_container_that_opens_the_database_knows_it_by_its_certificate(properties: dict[str, Any]) -> None:
    for container in containers(properties):
        values = {entry["Name"]: entry["Value"] for entry in container["Environment"]}
        if "DAGSTER_PG_HOST" in values:
            assert values["PGSSLMODE"] == "verify-full"
            assert values["PGSSLROOTCERT"].startswith("/")


def test_one_container_alone_has_the_administrators_login_and_it_ends_before_its_service_starts() -> None:
    having = [
        (where, container["Name"], container["Essential"])
        for where, task in TASKS
        for container in containers(task)
        if "DatabaseAdminSecretArn" in str(container.get("Secrets"))
    ]
    assert having == [("services/DaemonTaskDefinition", "init", False)]


@named(resources("AWS::EFS::FileSystem"))
def test_a_staging_area_is_encrypted_and_lets_in_two_roles_through_access_points_over_tls(
    properties: dict[str, Any],
) -> None:
    assert properties["Encrypted"] is True
    assert properties["BackupPolicy"] == {"Status": "DISABLED"}
    denied = {one["Sid"]: one["Condition"] for one in properties["FileSystemPolicy"]["Statement"]}
    assert denied["DenyInsecureTransport"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert denied["DenyPastAccessPoints"] == {"Null": {"elasticfilesystem:AccessPointArn": "true"}}
    assert len(denied["DenyAllButTheTwoRoles"]["StringNotEquals"]["aws:PrincipalArn"]) == 2


@named(resources("AWS::StepFunctions::StateMachine"))
def test_a_workflow_logs_what_it_does_and_not_what_with(properties: dict[str, Any]) -> None:
    assert properties["LoggingConfiguration"]["Level"] == "ALL"
    assert properties["LoggingConfiguration"]["IncludeExecutionData"] is False


@named(resources("AWS::Events::Rule"))
def test_an_event_that_cannot_be_delivered_goes_to_the_dead_letters(properties: dict[str, Any]) -> None:
    for target in properties["Targets"]:
        assert "DeadLetters" in str(target["DeadLetterConfig"])


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_a_template_fits_into_a_request(path: Path) -> None:
    assert len(path.read_bytes()) <= 51_200
