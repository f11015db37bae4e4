# SPDX-License-Identifier: GPL-3.0-or-later
"""The accounts of an organisation as an inventory, asked of the sandbox as a person asks it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.integration.inventory.conftest import MANAGEMENT, Inventory
from tests.sandbox.conftest import CHECKOUT

POLICY = json.loads((CHECKOUT / "docs" / "inventory-policy.json").read_text(encoding="utf-8"))
(ACTIONS,) = [statement["Action"] for statement in POLICY["Statement"]]


def test_units_are_groups_a_unit_in_a_unit_is_a_child_and_a_suspended_account_is_left_out(inventory: Inventory) -> None:
    inventory.write(organizational_units=[inventory.unit])
    listed = inventory.listed()
    assert sorted(listed["_meta"]["hostvars"]) == ["camden", "hub", "sutton"]
    assert sorted(listed["local_authorities"]["hosts"]) == ["camden", "hub"]
    assert listed["local_authorities"]["children"] == ["local_authorities_south_london"]
    assert listed["local_authorities_south_london"]["hosts"] == ["sutton"]


def test_the_whole_organisation_has_accounts_outside_its_units_too(inventory: Inventory) -> None:
    inventory.write(exclude=[inventory.unit])
    listed = inventory.listed()
    found = {host["ansible_aws_account_id"] for host in listed["_meta"]["hostvars"].values()}
    assert found == {MANAGEMENT["aws_access_key_id"], inventory.sandbox.account("outsider")}
    assert "local_authorities" not in listed


def test_a_host_says_what_is_known_of_its_account(inventory: Inventory) -> None:
    inventory.write(states=["ACTIVE", "SUSPENDED"])
    variables = inventory.listed()["_meta"]["hostvars"]
    camden = variables["camden"]
    assert camden["ansible_aws_account_id"] == inventory.sandbox.account("camden") == "012345670123"
    assert camden["organization_account"]["tags"] == {"wave": "first"}
    paths = inventory.sandbox.description["organisational_unit_path"].removesuffix("*")
    assert camden["organization_account"]["unit"]["path"] == paths
    assert variables["sutton"]["organization_account"]["unit"]["path"].startswith(paths)
    assert variables["croydon"]["organization_account"]["state"] == "SUSPENDED"


def test_groups_and_variables_are_constructed_of_it(inventory: Inventory) -> None:
    inventory.write(
        compose={"short": "organization_account.name[:3]"},
        keyed_groups=[{"key": "organization_account.tags.wave | default('last')", "prefix": "wave"}],
        groups={"young": "organization_account.joined_method == 'CREATED'"},
    )
    listed = inventory.listed()
    assert listed["wave_first"]["hosts"] == ["camden"]
    assert "sutton" in listed["wave_last"]["hosts"]
    assert "camden" in listed["young"]["hosts"]
    assert listed["_meta"]["hostvars"]["camden"]["short"] == "cam"


def test_what_cannot_be_constructed_is_an_error_only_where_that_is_asked_for(inventory: Inventory) -> None:
    inventory.write(compose={"cidr": "organization_account.tags.cidr"})
    assert "cidr" not in inventory.listed()["_meta"]["hostvars"]["camden"]
    inventory.write(compose={"cidr": "organization_account.tags.cidr"}, strict=True)
    assert "cidr" in inventory.error()


def test_static_and_dynamic_inventories_are_one_and_modules_run_in_its_accounts(inventory: Inventory) -> None:
    described = inventory.sandbox.description
    inventory.write(organizational_units=[inventory.unit])
    inventory.static("static.yml", {"local_authorities": {"hosts": {"camden": {"platform_cidr": "10.0.16.0/20"}}}})
    operator = {
        "ansible_aws_account_profile": described["profile"],
        "ansible_aws_account_shared_credentials_file": described["shared_credentials_file"],
        "ansible_aws_account_region": described["region"],
    }
    inventory.static("group_vars/all.yml", operator)
    assert inventory.listed()["_meta"]["hostvars"]["camden"]["platform_cidr"] == "10.0.16.0/20"
    done = inventory.run("ansible", "camden,sutton", "-m", "amazon.aws.aws_caller_info")
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("camden", "sutton"):
        assert f"arn:aws:sts::{inventory.sandbox.account(name)}:assumed-role/localgov-deploy/" in done.stdout


def test_what_was_found_is_kept_and_asked_again_only_on_request(inventory: Inventory) -> None:
    where = str(inventory.folder / ".kept")
    kept = {"cache": True, "cache_plugin": "ansible.builtin.jsonfile", "cache_connection": where}
    inventory.write(organizational_units=[inventory.unit], **kept)
    before = inventory.listed()
    silent = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    again = inventory.run("ansible-inventory", "--list", **silent)
    assert again.returncode == 0, again.stderr
    assert sorted(before["_meta"]["hostvars"]) == ["camden", "hub", "sutton"]
    assert '"camden"' in again.stdout
    flushed = inventory.run("ansible-inventory", "--list", "--flush-cache", **silent)
    assert "AWS Organizations cannot be asked" in " ".join(flushed.stderr.split())


def test_a_member_that_may_not_ask_is_told_who_may(inventory: Inventory) -> None:
    inventory.write()
    member = inventory.sandbox.root("camden")
    error = inventory.error(**{name.upper(): value for name, value in member.items()})
    assert "refused ListRoots" in error
    assert "Ask as the management account or a delegated administrator" in error


def test_a_unit_that_is_no_id_is_refused_with_the_form_of_one(inventory: Inventory) -> None:
    inventory.write(organizational_units=["Local authorities"])
    assert "has 'Local authorities': write a unit's id, such as ou-ab12-11111111" in inventory.error()


def reader(inventory: Inventory, policy: dict[str, Any]) -> str:
    """The ARN of a role of the management account that may do what a policy says and nothing else."""
    iam, account = inventory.sandbox.client("iam", MANAGEMENT), MANAGEMENT["aws_access_key_id"]
    trust = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account}:root"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    roles = {role["RoleName"] for role in iam.list_roles()["Roles"]}
    if "organization-reader" not in roles:
        iam.create_role(RoleName="organization-reader", AssumeRolePolicyDocument=document)
    iam.put_role_policy(RoleName="organization-reader", PolicyName="Read", PolicyDocument=json.dumps(policy))
    return f"arn:aws:iam::{account}:role/organization-reader"


def test_a_role_with_the_documented_policy_is_enough_for_every_option(inventory: Inventory) -> None:
    inventory.write(
        assume_role_arn=reader(inventory, POLICY),
        organizational_units=[inventory.unit],
        hostnames=["tag:wave", "name"],
        unit_prefix="unit_",
        role="organisation-deploys",
    )
    listed = inventory.listed()
    hosts = listed["_meta"]["hostvars"]
    assert sorted(hosts) == ["first", "hub", "sutton"], "camden is called after its tag"
    assert hosts["first"]["ansible_aws_account_role"] == "organisation-deploys"
    assert listed["unit_local_authorities"]["children"] == ["unit_local_authorities_south_london"]


def test_units_become_groups_unless_that_is_switched_off(inventory: Inventory) -> None:
    inventory.write(organizational_units=[inventory.unit], unit_groups=False)
    assert "local_authorities" not in inventory.listed()


@pytest.mark.parametrize("action", ACTIONS)
def test_nothing_of_the_documented_policy_is_there_without_need(inventory: Inventory, action: str) -> None:
    statement = {**POLICY["Statement"][0], "Action": [other for other in ACTIONS if other != action]}
    arn = reader(inventory, {**POLICY, "Statement": [statement]})
    # The roots are asked for where no unit is named.
    units = {} if action == "organizations:ListRoots" else {"organizational_units": [inventory.unit]}
    inventory.write(assume_role_arn=arn, **units)
    try:
        assert f"refused {action.partition(':')[2]}" in inventory.error()
    finally:
        reader(inventory, POLICY)
