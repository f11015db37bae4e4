# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: ANN401  boto3's clients and Ansible's variables have no static types
"""While services are deployed, their roles have the rights of before beside those of now; afterwards these alone."""

from __future__ import annotations

from typing import Any

from tests.integration.access.conftest import Estate, Playbook

HOST = "sutton"  # its deployer has all its rights here
SECRET = "arn:aws:secretsmanager:eu-west-2:300000000003:secret"
OLD, NEW, CACHE = f"{SECRET}:old", f"{SECRET}:new", f"{SECRET}:cache"
STORES = {"DatabaseSecretArn": f"{SECRET}:database", "DatabaseAdminSecretArn": f"{SECRET}:administrator"}


def step(tasks: str, prefix: str, services: dict[str, str], **more: Any) -> dict[str, Any]:
    """One step of the role, for an account with these services, each of which reads a secret."""
    declared = {
        name: {"image": "api", "tier": "private", "secrets": {"TOKEN": secret}} for name, secret in services.items()
    }
    variables = {
        "la_services_name_prefix": prefix,
        "la_services_services": declared,
        "la_services_locations": {},
        "la_services_registry_id": "200000000001",
        "la_services_sign_in": "none",
        "__la_services_stores": STORES,
        **more,
    }
    role = {"name": "localgov.platform.la_services", "tasks_from": tasks}
    return {"ansible.builtin.include_role": role, "vars": variables}


def stacks(cloudformation: Any, prefix: str) -> dict[str, Any]:
    """As a playbook hands them to the role."""
    name = f"{prefix}-roles"
    (found,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
    told = {
        "stack_description": {"stack_status": found["StackStatus"]},
        "stack_template": cloudformation.get_template(StackName=name)["TemplateBody"],
        "stack_parameters": {one["ParameterKey"]: one["ParameterValue"] for one in found["Parameters"]},
    }
    return {"la_services_stacks": {name: told}}


def readable(iam: Any, prefix: str) -> dict[str, dict[str, Any]]:
    """The secrets that each execution role may read, by the policies that allow it."""
    listed = [role["RoleName"] for page in iam.get_paginator("list_roles").paginate() for role in page["Roles"]]
    roles = [name for name in listed if name.startswith(prefix) and name.endswith("-execution")]
    return {
        role.removeprefix(f"{prefix}-"): {
            policy: statement["Resource"]
            for policy in iam.list_role_policies(RoleName=role)["PolicyNames"]
            for statement in iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]["Statement"]
            if statement["Sid"] == "ReadDeclaredSecrets"
        }
        for role in roles
    }


def test_nothing_is_taken_away_before_the_services_are_deployed(
    estate: Estate, playbook: Playbook, unique: str
) -> None:
    iam, prefix = estate.client("iam", HOST), f"localgov-{unique[-6:]}"
    cloudformation = estate.client("cloudformation", HOST)
    cached = {
        "la_services_stacks": {},
        "la_services_cache": {"replicas": 0},
        "__la_services_stores": {**STORES, "CacheSecretArn": CACHE},
    }
    playbook.run(step("roles", prefix, {"api": OLD, "reports": "cache:token"}, **cached), host=HOST)
    reports = {"start": [CACHE]}
    assert readable(iam, prefix) == {"api-execution": {"start": [OLD]}, "reports-execution": reports}

    # The service that goes keeps its role, and the parameter that its rights refer to.
    playbook.run(step("roles", prefix, {"api": NEW}, **stacks(cloudformation, prefix)), host=HOST)
    both = {"api-execution": {"start": [NEW], "before": [OLD]}, "reports-execution": reports}
    assert readable(iam, prefix) == both

    rendered = "{{ lookup('ansible.builtin.template', 'roles.yml.j2') }}"
    wanted = {"__la_services_roles_wanted": rendered, "__la_services_roles_template": rendered}
    playbook.run(step("roles_stack", prefix, {"api": NEW}, **wanted, **stacks(cloudformation, prefix)), host=HOST)
    assert readable(iam, prefix) == {"api-execution": {"start": [NEW]}}
    cloudformation.delete_stack(StackName=f"{prefix}-roles")
