# SPDX-License-Identifier: GPL-3.0-or-later
"""What ECS does before it starts a task, with the execution role: pull, read secrets, open log streams.

The image is fetched from the registry as the execution role, at every start and across accounts too, and the task runs
what was fetched. A refusal stops the task.
"""

from __future__ import annotations

import json
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from sandbox.runtime import file_systems, images, pulls, roles
from sandbox.runtime.tasks import Task
from sandbox.settings import Settings


class StartError(Exception):
    """Why ECS does not start a task, in the words of its stopped reason."""


class ExecutionRole:
    """The execution role of one task, with one client for each service that is asked."""

    def __init__(self, settings: Settings, task: Task) -> None:
        self._settings = settings
        self._task = task
        self._session: roles.Session | None = None
        self._clients: dict[tuple[str, str], Any] = {}

    def client(self, service: str, region: str | None = None) -> Any:  # noqa: ANN401  a client of boto3
        role = self._task.execution_role
        if role is None:
            raise StartError(
                "Fargate requires task definition to have execution role ARN to support ECR images, secrets and the "
                "log driver awslogs."
            )
        if self._session is None:
            self._session = _assume(role, self._task.arn)
        key = (service, region or self._task.region)
        if key not in self._clients:
            self._clients[key] = roles.client(self._settings, self._session, *key)
        return self._clients[key]


def prepare(settings: Settings, tasks: list[Task]) -> dict[str, dict[str, str]]:
    """Check everything the task's containers need. The values of their secrets, by container and variable.

    Raises StartError with the reason that DescribeTasks will show.
    """
    first = tasks[0]
    if first.task_role:
        _check_trust(first.task_role, first.arn)
    role = ExecutionRole(settings, first)
    # On EC2 the instance's own role writes logs. There are no instances here, so nothing is asked then.
    asks = first.execution_role is not None or first.record.get("launchType") == "FARGATE"
    for task in tasks:
        _pull(settings, role, task)
        if asks:
            _open_log_stream(role, task)
        _mount(task)
    return {task.container["name"]: _secrets(role, task) for task in tasks}


def _mount(task: Task) -> None:
    try:
        file_systems.check(task.account, task.region, task.task_role, task.definition, task.container)
    except file_systems.MountError as reason:
        raise StartError(f"ResourceInitializationError: {reason}") from reason


def _check_trust(role_arn: str, task_arn: str) -> None:
    try:
        roles.check_trust(role_arn, task_arn)
    except roles.RoleError as reason:
        raise StartError(str(reason)) from reason


def _assume(role_arn: str, task_arn: str) -> roles.Session:
    try:
        return roles.assume(role_arn, task_arn)
    except roles.RoleError as reason:
        raise StartError(f"ResourceInitializationError: {reason}") from reason


def _pull(settings: Settings, role: ExecutionRole, task: Task) -> None:
    """Fetch the image as the execution role, and see that it can be run here."""
    text = task.container["image"]
    reference = images.Reference.parse(text)
    try:
        if reference.account is not None:
            images.remember(settings, text, _fetch(settings, role, task, reference))
        images.find(settings, text)
    except (images.ImageError, pulls.PullError) as reason:
        raise StartError(f"CannotPullContainerError: {_named(text, str(reason))}") from reason


def _fetch(settings: Settings, role: ExecutionRole, task: Task, reference: images.Reference) -> str:
    """The digest of the image, which is unpacked now."""
    wanted = {"imageDigest": reference.digest} if reference.digest else {"imageTag": reference.tag or "latest"}
    architecture = (task.definition.get("runtimePlatform") or {}).get("cpuArchitecture") or "X86_64"
    try:
        client = role.client("ecr", reference.region)
        client.get_authorization_token()
        repository = pulls.Repository(client, str(reference.account), reference.repository)
        return pulls.pull(settings, repository, wanted, architecture)
    except (ClientError, BotoCoreError) as reason:
        raise pulls.PullError(f"{str(reason).rstrip('.')}{_missing_locks(task, reference, reason)}") from reason


def _missing_locks(task: Task, reference: images.Reference, reason: Exception) -> str:
    """What the repository's policy asks for and the execution role does not have. AWS does not tell."""
    from sandbox.emulator import repositories

    operation = getattr(reason, "operation_name", "")
    refused = isinstance(reason, ClientError) and "AccessDenied" in reason.response["Error"]["Code"]
    if not refused or not task.execution_role or operation == "GetAuthorizationToken":
        return ""
    _, _, _, _, account, resource = task.execution_role.split(":", 5)
    session = f"arn:aws:sts::{account}:assumed-role/{resource.rsplit('/', 1)[-1]}/{task.identifier}"
    repository = f"arn:aws:ecr:{reference.region}:{reference.account}:repository/{reference.repository}"
    missing = repositories.missing_locks(repository, f"ecr:{operation}", session)
    return f". Missing: {'; '.join(missing)}" if missing else ". The role's own policies do not allow it"


def _named(image: str, reason: str) -> str:
    return reason if reason.startswith(image) else f"{image}: {reason}"


def _secrets(role: ExecutionRole, task: Task) -> dict[str, str]:
    return {
        entry["name"]: _secret(role, task, entry["name"], entry["valueFrom"])
        for entry in task.container.get("secrets") or []
    }


def _secret(role: ExecutionRole, task: Task, variable: str, source: str) -> str:
    try:
        if ":secretsmanager:" in source:
            return _from_secrets_manager(role, source)
        return _from_parameter_store(role, source)
    except (ClientError, BotoCoreError, LookupError, ValueError) as reason:
        raise StartError(
            "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval "
            f"failed: unable to retrieve {source} for the environment variable {variable} of "
            f"{task.container['name']} as {task.execution_role}: {_without_value(reason)}"
        ) from None


def _from_secrets_manager(role: ExecutionRole, source: str) -> str:
    """``arn:aws:secretsmanager:<region>:<account>:secret:<name>[:<key>:<version stage>:<version id>]``"""
    parts = source.split(":") + [""] * 3
    key, stage, version = parts[7:10]
    chosen = {name: value for name, value in (("VersionStage", stage), ("VersionId", version)) if value}
    answer = role.client("secretsmanager", parts[3]).get_secret_value(SecretId=":".join(parts[:7]), **chosen)
    if not key:
        return str(answer["SecretString"])
    content = json.loads(answer["SecretString"])
    if key not in content:
        raise LookupError(f"the secret has no key {key}")
    return str(content[key])


def _from_parameter_store(role: ExecutionRole, source: str) -> str:
    region = source.split(":")[3] if source.startswith("arn:") else None
    answer = role.client("ssm", region).get_parameters(Names=[source], WithDecryption=True)
    if not answer["Parameters"]:
        raise LookupError("there is no such parameter")
    return str(answer["Parameters"][0]["Value"])


def _without_value(reason: Exception) -> str:
    """A JSON error quotes what it could not read, which may be the secret."""
    return "the secret is no JSON" if isinstance(reason, json.JSONDecodeError) else str(reason)


def _open_log_stream(role: ExecutionRole, task: Task) -> None:
    configuration = task.container.get("logConfiguration") or {}
    options = configuration.get("options") or {}
    prefix = options.get("awslogs-stream-prefix")
    if configuration.get("logDriver") != "awslogs" or not prefix:
        return
    group = options.get("awslogs-group", "")
    stream = f"{prefix}/{task.container['name']}/{task.identifier}"
    try:
        logs = role.client("logs", options.get("awslogs-region"))
        if str(options.get("awslogs-create-group", "")).lower() == "true":
            _create_group(logs, group)
        logs.create_log_stream(logGroupName=group, logStreamName=stream)
    except (ClientError, BotoCoreError) as reason:
        raise StartError(
            f"ResourceInitializationError: failed to validate logger args: create stream {stream} in log group "
            f"{group} as {task.execution_role}: {reason}"
        ) from reason


def _create_group(logs: Any, group: str) -> None:  # noqa: ANN401  a client of boto3
    try:
        logs.create_log_group(logGroupName=group)
    except logs.exceptions.ResourceAlreadyExistsException:
        return
