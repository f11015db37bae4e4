# SPDX-License-Identifier: GPL-3.0-or-later
"""``ManageMasterUserPassword`` of a database instance: RDS makes the password and keeps it in Secrets Manager.

As shipped the property is ignored and the password is ``password``.
"""

from __future__ import annotations

import functools
import json
from typing import Any
from xml.sax.saxutils import escape

from sandbox.emulator.internals import find
from sandbox.settings import Settings

_PROVISIONERS = "ministack.services.cloudformation.provisioners"
_TYPE = "AWS::RDS::DBInstance"

NEEDS = (
    f"{_PROVISIONERS}._RESOURCE_HANDLERS",
    "ministack.core.responses.get_account_id",
    "ministack.core.responses.get_region",
    "ministack.services.rds._generate_master_user_password",
    "ministack.services.rds._instance_xml",
    "ministack.services.rds._instances",
    "ministack.services.secretsmanager.create_secret_in_process",
    "ministack.services.secretsmanager.delete_secret_in_process",
)

# What gp3 comes with, which RDS always tells.
_LEAST_IOPS, _LEAST_THROUGHPUT = 3000, 125

Properties = dict[str, Any]
Created = tuple[str, dict[str, str]]


def install(settings: Settings) -> None:
    handlers = find(f"{_PROVISIONERS}._RESOURCE_HANDLERS")
    handlers[_TYPE] = _with_managed_password(handlers[_TYPE], has_servers=settings.runtime != "off")
    _describe_secret()


def _with_managed_password(shipped: dict[str, Any], *, has_servers: bool) -> dict[str, Any]:
    def create(logical_id: str, properties: Properties, stack: str) -> Created:
        if not _is_managed(properties):
            return _created(shipped["create"](logical_id, properties, stack))
        if properties.get("MasterUserPassword"):
            raise ValueError(f"{_TYPE}: MasterUserPassword and ManageMasterUserPassword exclude each other.")
        password = find("ministack.services.rds._generate_master_user_password")()
        given = {**properties, "MasterUserPassword": password}
        physical_id, attributes = shipped["create"](logical_id, given, stack)
        instance = find("ministack.services.rds._instances")[physical_id]
        instance["MasterUserSecret"] = _keep(instance, password, properties)
        if not has_servers:  # otherwise the runtime starts the server with it, and keeps it out of the saved state
            instance.pop("_MasterUserPassword", None)
        return physical_id, _with_secret(attributes, instance)

    def update(physical_id: str, before: Properties, properties: Properties, stack: str, *rest: Any) -> Created:  # noqa: ANN401
        if _is_managed(before) != _is_managed(properties):
            raise ValueError(f"{_TYPE}: the sandbox cannot change ManageMasterUserPassword of {physical_id}.")
        updated, attributes = shipped["update"](physical_id, before, properties, stack, *rest)
        return updated, _with_secret(attributes, find("ministack.services.rds._instances")[updated])

    def delete(physical_id: str, properties: Properties) -> None:
        instance = find("ministack.services.rds._instances").get(physical_id) or {}
        shipped["delete"](physical_id, properties)
        secret = (instance.get("MasterUserSecret") or {}).get("SecretArn")
        if secret:
            find("ministack.services.secretsmanager.delete_secret_in_process")(secret)

    return {**shipped, "create": create, "update": update, "delete": delete}


def _is_managed(properties: Properties) -> bool:
    return str(properties.get("ManageMasterUserPassword", False)).lower() == "true"


def _created(result: Any) -> Created:  # noqa: ANN401 - ministack's untyped answer
    physical_id, attributes = result
    return physical_id, attributes


def _keep(instance: dict[str, Any], password: str, properties: Properties) -> dict[str, str]:
    """Store the password as RDS does; the ``MasterUserSecret`` of the instance."""
    responses = find("ministack.core.responses")
    account, region = responses.get_account_id(), responses.get_region()
    secret = find("ministack.services.secretsmanager.create_secret_in_process")(
        f"rds!{instance['DbiResourceId'].lower()}",
        json.dumps({"username": instance["MasterUsername"], "password": password}),
        description=f"Secret managed by RDS for DB instance {instance['DBInstanceIdentifier']}",
    )
    kept = (properties.get("MasterUserSecret") or {}).get("KmsKeyId")
    return {
        "SecretArn": str(secret),
        "SecretStatus": "active",
        "KmsKeyId": kept or f"arn:aws:kms:{region}:{account}:alias/aws/secretsmanager",
    }


def _with_secret(attributes: dict[str, str], instance: dict[str, Any]) -> dict[str, str]:
    secret = instance.get("MasterUserSecret")
    return {**attributes, "MasterUserSecret.SecretArn": secret["SecretArn"]} if secret else attributes


def _describe_secret() -> None:
    rds = find("ministack.services.rds")
    shipped = rds._instance_xml

    @functools.wraps(shipped)
    def instance_xml(instance: dict[str, Any]) -> str:
        if instance.get("StorageType") == "gp3" and instance.get("Iops") is None:
            instance = {**instance, "Iops": _LEAST_IOPS, "StorageThroughput": _LEAST_THROUGHPUT}
        secret = instance.get("MasterUserSecret")
        if not secret:
            return str(shipped(instance))
        fields = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in secret.items())
        return f"{shipped(instance)}<MasterUserSecret>{fields}</MasterUserSecret>"

    rds._instance_xml = instance_xml
