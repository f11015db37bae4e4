# SPDX-License-Identifier: GPL-3.0-or-later
"""What every template of the collection keeps to, in the form that an account gets (build/templates)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
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


@cache
def template(path: Path) -> dict[str, Any]:
    read: dict[str, Any] = yaml.load(path.read_text(), _Loader)  # noqa: S506 - a safe loader
    return read


def resources(kind: str) -> list[tuple[str, dict[str, Any]]]:
    """Every resource of a type: where it stands, and its properties."""
    found = []
    for path in TEMPLATES:
        for name, resource in template(path)["Resources"].items():
            if resource["Type"] == kind:
                found.append((f"{path.stem}/{name}", resource.get("Properties", {})))
    assert found, f"no template has a {kind}"
    return found


def named(found: list[tuple[str, dict[str, Any]]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("properties", [entry for _, entry in found], ids=[where for where, _ in found])


# Reached by ports that Session Manager forwards, for which its agent writes to three folders.
ON_DEMAND = {"dagit"}
AGENT = ["/managed-agents", "/var/lib/amazon/ssm", "/var/log/amazon/ssm"]
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
        # Beside what is its own, only results for a receipt, and what Session Manager's agent writes.
        own = [path for path in writable if path != "/mnt/results"]
        assert own == ["/tmp", *(AGENT if container["Name"] in ON_DEMAND else [])]  # noqa: S108 - in a container


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
    # Where two would disagree there is one at a time; elsewhere the old one serves until the new one is healthy.
    alone = properties["ServiceName"] in ("daemon", "code-server", "census-code")
    shares = (deployment["MaximumPercent"], deployment["MinimumHealthyPercent"])
    assert shares == ((100, 0) if alone else (200, 100))
    tasks = {where.split("/")[1]: task for where, task in TASKS}
    (container,) = (one for one in containers(tasks[properties["TaskDefinition"]["Ref"]]) if one["Essential"])
    assert container["HealthCheck"]["Command"][0] == "CMD"


def test_only_what_is_switched_on_demand_lets_session_manager_in() -> None:
    services = resources("AWS::ECS::Service")
    assert {found["ServiceName"] for _, found in services if found.get("EnableExecuteCommand")} == ON_DEMAND
    may = {where for where, statement in statements() if any("ssm" in action for action in each(statement["Action"]))}
    assert may == {f"{roles}/{name.title()}TaskRole" for name in ON_DEMAND for roles in ("roles", "roles_linked")}


def test_a_role_of_schedules_switches_services_by_name_for_its_own_group_and_does_nothing_else() -> None:
    found = [
        (where, role) for where, role in ROLES if "scheduler.amazonaws.com" in str(role["AssumeRolePolicyDocument"])
    ]
    assert found
    for _, role in found:
        (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
        assert trust["Condition"]["StringEquals"]["aws:SourceArn"] == {"GetAtt": "Group.Arn"}
        (policy,) = role["Policies"]
        switch, keep = policy["PolicyDocument"]["Statement"]
        assert (switch["Action"], keep["Action"]) == ("ecs:UpdateService", "sqs:SendMessage")
        assert all(":service/localgov/" in arn["Sub"] and not arn["Sub"].endswith("*") for arn in switch["Resource"])


@named(resources("AWS::SQS::Queue"))
def test_a_queue_of_failures_is_encrypted(properties: dict[str, Any]) -> None:
    assert properties["SqsManagedSseEnabled"] is True


def test_each_queue_of_failures_is_watched_by_an_alarm() -> None:
    queues = {tuple(where.split("/")) for where, queue in resources("AWS::SQS::Queue") if "RedrivePolicy" not in queue}
    watched = {
        (where.split("/")[0], dimension["Value"]["GetAtt"].removesuffix(".QueueName"))
        for where, alarm in resources("AWS::CloudWatch::Alarm")
        for dimension in alarm.get("Dimensions", [])
        if dimension["Name"] == "QueueName"
    }
    assert watched == queues


@named(resources("AWS::Scheduler::Schedule"))
def test_a_schedule_sets_a_count_of_none_or_one_exactly_then_and_keeps_what_fails(properties: dict[str, Any]) -> None:
    assert properties["FlexibleTimeWindow"] == {"Mode": "OFF"}
    assert properties["ScheduleExpressionTimezone"] == "Europe/London"
    # Once a start lies in the past a schedule can be changed no more.
    assert "StartDate" not in properties
    target = properties["Target"]
    assert target["Arn"] == "arn:aws:scheduler:::aws-sdk:ecs:updateService"
    assert target["DeadLetterConfig"] == {"Arn": {"Fn::GetAtt": ["FailedQueue", "Arn"]}}
    assert json.loads(target["Input"])["DesiredCount"] in (0, 1)


def test_a_stack_holds_the_working_hours_of_every_service_for_a_year() -> None:
    assert len((ROOT / "build/templates/hours_calendar.yml").read_bytes()) <= 51_200


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


INSTANCES, CLUSTERS = resources("AWS::RDS::DBInstance"), resources("AWS::RDS::DBCluster")
# What keeps data: an instance of its own, or a cluster whose instances hold none.
DATABASES = [entry for entry in INSTANCES if "DBClusterIdentifier" not in entry[1]] + CLUSTERS


@named(DATABASES)
def test_a_database_is_encrypted_backed_up_and_not_removed_by_accident(properties: dict[str, Any]) -> None:
    # A restored one is as its snapshot is, which was taken of an encrypted one.
    assert properties["StorageEncrypted"] == {"If": ["IsRestored", {"Ref": "AWS::NoValue"}, True]}
    assert properties["BackupRetentionPeriod"] > 0
    assert properties["DeletionProtection"] is True
    assert properties["ManageMasterUserPassword"] is True


@named(INSTANCES)
def test_a_database_server_is_private_and_kept_up_to_date(properties: dict[str, Any]) -> None:
    assert properties["PubliclyAccessible"] is False
    assert properties["AutoMinorVersionUpgrade"] is True
    assert properties["CACertificateIdentifier"] == "rds-ca-rsa2048-g1"


@named(resources("AWS::RDS::DBParameterGroup") + resources("AWS::RDS::DBClusterParameterGroup"))
def test_a_database_takes_no_connection_without_tls(properties: dict[str, Any]) -> None:
    assert properties["Parameters"]["rds.force_ssl"] == "1"


@named(TASKS)
def test_a_container_that_opens_the_database_knows_it_by_its_certificate(properties: dict[str, Any]) -> None:
    for container in containers(properties):
        values = {entry["Name"]: entry["Value"] for entry in container["Environment"]}
        if {"DAGSTER_PG_HOST", "PGHOST"} & values.keys():
            assert values["PGSSLMODE"] == "verify-full"
            assert values["PGSSLROOTCERT"].startswith("/")


def test_one_container_alone_has_the_administrators_login_and_it_ends_before_its_service_starts() -> None:
    having = [
        (where, container["Name"], container["Essential"])
        for where, task in TASKS
        for container in containers(task)
        if "DatabaseAdminSecretArn" in str(container.get("Secrets"))
    ]
    pipelines = ("services", "services_balanced", "services_hosted", "services_linked", "services_without_sign_in")
    wanted = {("services_marketplace/ApiTaskDefinition", "init", False)}
    assert sorted(having) == sorted(wanted | {(f"{name}/DaemonTaskDefinition", "init", False) for name in pipelines})


@pytest.mark.parametrize("path", TEMPLATES, ids=[path.stem for path in TEMPLATES])
def test_a_template_fits_into_one_request_with_room_to_grow_or_goes_by_a_bucket(path: Path) -> None:
    assert path.stat().st_size < (0.5 * 1_000_000 if path.stem == "services_marketplace" else 0.9 * 51200)


@named(resources("AWS::ECS::Service"))
def test_a_service_says_what_it_has_no_longer(properties: dict[str, Any]) -> None:
    """A list that is left out stays as it was: a service would never leave its balancer."""
    assert isinstance(properties["LoadBalancers"], list)
    assert isinstance(properties["ServiceRegistries"], list)


@named(resources("AWS::ElasticLoadBalancingV2::LoadBalancer"))
def test_a_balancer_drops_what_is_no_proper_request(properties: dict[str, Any]) -> None:
    attributes = {entry["Key"]: entry["Value"] for entry in properties["LoadBalancerAttributes"]}
    assert attributes["routing.http.drop_invalid_header_fields.enabled"] == "true"
    assert attributes["routing.http.desync_mitigation_mode"] in ("defensive", "strictest")


def test_a_public_balancer_speaks_tls_and_sends_everything_else_there() -> None:
    public = [
        listener
        for _, listener in resources("AWS::ElasticLoadBalancingV2::Listener")
        if listener["LoadBalancerArn"]["Ref"] == "PublicBalancer"
    ]
    assert {listener["Protocol"] for listener in public} == {"HTTP", "HTTPS"}
    for listener in public:
        (action,) = listener["DefaultActions"]
        if listener["Protocol"] == "HTTPS":
            assert listener["SslPolicy"].startswith("ELBSecurityPolicy-TLS13-1-2-")
        else:
            assert (action["Type"], action["RedirectConfig"]["Protocol"]) == ("redirect", "HTTPS")


def test_the_world_comes_in_at_a_public_balancer_only() -> None:
    open_to_all = {
        (where.split("/")[1], rule["FromPort"])
        for where, group in resources("AWS::EC2::SecurityGroup")
        for rule in group.get("SecurityGroupIngress", [])
    }
    assert open_to_all == {("PublicBalancerSecurityGroup", 443), ("PublicBalancerSecurityGroup", 80)}
    assert not [rule for _, rule in resources("AWS::EC2::SecurityGroupIngress") if "CidrIp" in rule]


@named(resources("AWS::ElastiCache::ReplicationGroup"))
def test_a_cache_speaks_tls_to_who_knows_a_token_that_no_template_has(properties: dict[str, Any]) -> None:
    assert properties["TransitEncryptionEnabled"] is True
    assert properties["TransitEncryptionMode"] == "required"
    assert properties["AtRestEncryptionEnabled"] is True
    assert properties["AuthToken"] == {"Sub": "{{resolve:secretsmanager:${Token}:SecretString:token}}"}


def test_a_balancer_that_is_to_have_a_web_acl_has_it() -> None:
    ((where, properties),) = resources("AWS::WAFv2::WebACLAssociation")
    assert where == "services_balanced/PublicBalancerFirewall"
    assert properties["ResourceArn"] == {"Ref": "PublicBalancer"}
    assert ":regional/webacl/frontend/" in properties["WebACLArn"]


def test_tasks_run_on_the_architecture_and_runs_on_the_capacity_that_were_chosen() -> None:
    chosen = {"services": ("X86_64", "FARGATE"), "services_balanced": ("ARM64", "FARGATE_SPOT")}
    for template, (architecture, capacity) in chosen.items():
        tasks = {where: task for where, task in TASKS if where.startswith(f"{template}/")}
        assert {task["RuntimePlatform"]["CpuArchitecture"] for task in tasks.values()} == {architecture}
        (daemon,) = [task for where, task in tasks.items() if where.endswith("/DaemonTaskDefinition")]
        told = {entry["Name"]: entry["Value"] for entry in containers(daemon)[-1]["Environment"]}
        assert told["RUN_CAPACITY_PROVIDER"] == capacity
        assert capacity in dict(resources("AWS::ECS::Cluster"))[f"{template}/Cluster"]["CapacityProviders"]


@named(resources("AWS::Cognito::UserPool"))
def test_a_user_pool_holds_whom_the_authority_put_in_and_is_not_removed_by_accident(properties: dict[str, Any]) -> None:
    assert properties["AdminCreateUserConfig"] == {"AllowAdminCreateUserOnly": True}
    assert properties["DeletionProtection"] == "ACTIVE"
    assert properties["MfaConfiguration"] in {"ON", "OPTIONAL"}
    assert properties["EnabledMfas"] == ["SOFTWARE_TOKEN_MFA"]
    assert properties["Policies"]["PasswordPolicy"]["MinimumLength"] >= 14


def test_invitations_are_sent_by_the_authoritys_own_sender_where_it_has_one() -> None:
    pools = dict(resources("AWS::Cognito::UserPool"))
    assert "EmailConfiguration" not in pools["signin/UserPool"]
    assert pools["signin_saml/UserPool"]["EmailConfiguration"] == {
        "EmailSendingAccount": "DEVELOPER",
        "SourceArn": "arn:aws:ses:eu-west-2:012345670123:identity/camden.example",
        "From": "Uploads <uploads@camden.example>",
    }


@named(resources("AWS::Cognito::UserPoolClient"))
def test_people_sign_in_by_the_code_flow_alone_and_cannot_give_themselves_a_group(properties: dict[str, Any]) -> None:
    assert properties["GenerateSecret"] is True
    assert properties["AllowedOAuthFlows"] == ["code"]
    assert set(properties["AllowedOAuthScopes"]) == {"openid", "email", "profile"}
    assert properties["ExplicitAuthFlows"] == ["ALLOW_REFRESH_TOKEN_AUTH"]
    assert properties["PreventUserExistenceErrors"] == "ENABLED"
    assert properties["CallbackURLs"] == ["https://upload.camden.example/sign-in/callback"]
    federated = properties["SupportedIdentityProviders"] != ["COGNITO"]
    assert ("custom:groups" in properties["WriteAttributes"]) is federated


@named(resources("AWS::SecretsManager::Secret"))
def test_a_template_makes_a_secret_and_never_holds_one(properties: dict[str, Any]) -> None:
    assert "GenerateSecretString" in properties or "${Client.ClientSecret}" in properties["SecretString"]["Sub"]


def test_whether_people_sign_in_is_always_said() -> None:
    said = {
        where: entry["Value"]
        for where, task in TASKS
        for container in containers(task)
        for entry in container["Environment"]
        if entry["Name"] == "SIGN_IN"
    }
    variants = ("services", "services_balanced", "services_hosted", "services_linked")
    assert said == {
        **{f"{name}/FrontendTaskDefinition": "cognito" for name in variants},
        "services_without_sign_in/FrontendTaskDefinition": "none",
    }


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


@named(resources("AWS::S3::Bucket"))
def test_a_bucket_of_a_stack_encrypts_with_a_key_of_that_stack(properties: dict[str, Any]) -> None:
    # The sandbox does not apply it, so it cannot be read back there.
    (rule,) = properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": {"GetAtt": "Key.Arn"}}


@named(resources("AWS::StepFunctions::StateMachine"))
def test_a_workflow_logs_what_it_does_and_not_what_with(properties: dict[str, Any]) -> None:
    assert properties["LoggingConfiguration"]["Level"] == "ALL"
    assert properties["LoggingConfiguration"]["IncludeExecutionData"] is False


@named(resources("AWS::Events::Rule"))
def test_an_event_that_cannot_be_delivered_goes_to_the_dead_letters(properties: dict[str, Any]) -> None:
    for target in properties["Targets"]:
        assert "DeadLetters" in str(target["DeadLetterConfig"])


@named(resources("AWS::SQS::Queue"))
def test_a_queue_is_encrypted_and_keeps_what_it_has_for_two_weeks(properties: dict[str, Any]) -> None:
    assert properties["SqsManagedSseEnabled"] is True
    assert properties["MessageRetentionPeriod"] == 14 * 24 * 3600


def test_a_queue_of_events_is_spoken_to_over_tls_and_filled_by_its_own_rule_alone() -> None:
    queues = {
        name: resource for name, resource in _part("events", "Resources").items() if "QueuePolicy" in resource["Type"]
    }
    assert queues.keys() == {"UploadsQueuePolicy", "UploadsDeadLettersPolicy"}
    for policy in queues.values():
        denied, allowed = policy["Properties"]["PolicyDocument"]["Statement"]
        assert (denied["Effect"], denied["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})
        assert allowed["Principal"] == {"Service": "events.amazonaws.com"}
        assert allowed["Action"] == "sqs:SendMessage"
        assert allowed["Condition"] == {"ArnEquals": {"aws:SourceArn": {"GetAtt": "UploadsRule.Arn"}}}


def test_what_nobody_understands_goes_to_dead_letters_that_take_it_from_that_queue_alone() -> None:
    parts = _part("events", "Resources")
    redrive = parts["UploadsQueue"]["Properties"]["RedrivePolicy"]
    assert redrive == {"deadLetterTargetArn": {"GetAtt": "UploadsDeadLetters.Arn"}, "maxReceiveCount": 5}
    taken = parts["UploadsDeadLetters"]["Properties"]["RedriveAllowPolicy"]
    assert taken["redrivePermission"] == "byQueue"
    assert taken["sourceQueueArns"][0]["Sub"].endswith(":localgov-uploads")
    alarm = parts["UploadsFailedAlarm"]["Properties"]
    assert alarm["Dimensions"] == [{"Name": "QueueName", "Value": {"GetAtt": "UploadsDeadLetters.QueueName"}}]


def test_the_key_of_pseudonyms_outlives_its_stack_under_a_name_by_which_it_is_found() -> None:
    key = _part("keys", "Resources")["PseudonymKey"]
    assert (key["DeletionPolicy"], key["UpdateReplacePolicy"]) == ("Retain", "Retain")
    assert key["Properties"]["Name"] == "localgov/pseudonym-key"
    # Another word here would make another key of every account that has one.
    assert key["Properties"]["GenerateSecretString"] == {
        "SecretStringTemplate": "{}",
        "GenerateStringKey": "own",
        "PasswordLength": 64,
        "ExcludePunctuation": True,
    }


def test_the_runs_alone_are_given_the_key_of_pseudonyms() -> None:
    having = {
        (where.split("/")[1], entry["Name"])
        for where, task in TASKS
        for container in containers(task)
        for entry in container.get("Secrets") or []
        if "PseudonymSecretArn" in str(entry)
    }
    assert having == {("RunTaskDefinition", "PSEUDONYM_KEY")}
    reading = {where.split("/")[1] for where, role in ROLES if "PseudonymSecretArn" in str(role.get("Policies"))}
    assert reading == {"RunExecutionRole"}


def test_a_linking_key_is_given_to_the_runs_alone_and_only_where_there_is_one() -> None:
    arn = "arn:aws:secretsmanager:eu-west-2:200000000001:secret:linking-key-AbCdEf"
    services, roles = _part("services_linked", "Resources"), _part("roles_linked", "Resources")
    given = {
        (name, entry["Name"])
        for name, resource in services.items()
        for container in resource["Properties"].get("ContainerDefinitions") or []
        for entry in container.get("Secrets") or []
        if arn in str(entry["ValueFrom"])
    }
    assert given == {("RunTaskDefinition", "LINKING_KEY")}
    assert {name for name, role in roles.items() if arn in str(role)} == {"RunExecutionRole"}
    assert "LINKING_KEY" not in str(_part("services", "Resources"))


@pytest.mark.parametrize("kind", ["database", "database_serverless"])
def test_what_the_database_hands_out_is_what_the_services_ask_for(kind: str) -> None:
    """CloudFormation refuses a parameter that a template does not have."""
    outputs = set(_part(kind, "Outputs"))
    # Of no service's concern: which kind there is, so that it is not changed.
    assert outputs - {"DatabaseKind"} == {name for name in _part("services", "Parameters") if "Database" in name}


def _part(template: str, part: str) -> dict[str, Any]:
    (path,) = (path for path in TEMPLATES if path.stem == template)
    found: dict[str, Any] = yaml.load(path.read_text(), _Loader)[part]  # noqa: S506 - a safe loader
    return found


def test_what_a_scanner_says_of_a_template_has_its_section_of_answers() -> None:
    headings = re.findall(r"^## .*\((.+)\)$", (ROOT / "docs" / "checkov.md").read_text(), flags=re.MULTILINE)
    answered = [pattern for heading in headings for pattern in re.findall(r"`([^`]+)`", heading)]
    assert [path.name for path in TEMPLATES if not any(path.match(pattern) for pattern in answered)] == []
