# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs as ECS tasks of one fixed task definition.

`EcsRunLauncher` takes the network of a task in `run_task_kwargs`, where `{env: NAME}` is not resolved. Here the same
is said in plain settings, each of which may come from the environment. Run tasks never load this module: Dagster
loads a launcher when it launches, and they do not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from dagster import Field, StringSource
from dagster._core.instance import DagsterInstance
from dagster._serdes import ConfigurableClassData
from dagster_aws.ecs import EcsRunLauncher

_OF_EVERY_TASK = ("cluster", "capacity_provider", "subnets", "security_group")


class FixedTaskRunLauncher(EcsRunLauncher[DagsterInstance]):
    """The container of the task definition is named `run`. No secret is looked up: its task definition names them."""

    @classmethod
    def config_type(cls) -> dict[str, Field]:
        settings = {
            "cluster": "Name of the ECS cluster.",
            "task_definition": "Family, family:revision or ARN of the task definition of runs.",
            "capacity_provider": "FARGATE, or FARGATE_SPOT for runs that may be interrupted and are then retried.",
            "subnets": "Comma-separated subnet ids.",
            "security_group": "Id of the security group of runs.",
        }
        return {name: Field(StringSource, description=description) for name, description in settings.items()}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]) -> Self:
        return cls(
            inst_data=inst_data,
            task_definition=config_value["task_definition"],
            container_name="run",
            secrets_tag=None,  # type: ignore[arg-type]  # dagster-aws declares str and documents null
            use_current_ecs_task_config=False,
            run_task_kwargs=run_task_kwargs(**{name: config_value[name] for name in _OF_EVERY_TASK}),
        )


def run_task_kwargs(cluster: str, capacity_provider: str, subnets: str, security_group: str) -> dict[str, Any]:
    return {
        "cluster": cluster,
        "capacityProviderStrategy": [{"capacityProvider": capacity_provider, "weight": 1}],
        "propagateTags": "TASK_DEFINITION",
        "networkConfiguration": {
            "awsvpcConfiguration": {
                "subnets": [subnet.strip() for subnet in subnets.split(",") if subnet.strip()],
                "securityGroups": [security_group],
                "assignPublicIp": "DISABLED",
            }
        },
    }
