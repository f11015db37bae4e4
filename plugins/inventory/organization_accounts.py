# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The accounts of an AWS organisation as Ansible hosts."""

from __future__ import annotations

DOCUMENTATION = r"""
name: organization_accounts
short_description: Accounts of an AWS organisation as hosts
version_added: 0.1.0
author: localgov.platform contributors (!UNKNOWN)
description:
  - Makes each account of an organisation, or of some of its units, a host. Units become groups, a unit within another
    becomes its child.
  - A host is ready for P(localgov.platform.aws_account#connection), which is what I(ansible_connection) is set to.
  - The file's name ends in C(organization_accounts.yml) or C(organization_accounts.yaml). It can lie in one folder with
    static inventories, which add variables to its hosts by their names.
  - An account that is suspended, closed, or not yet activated is left out, see O(states).
extends_documentation_fragment:
  - constructed
  - inventory_cache
  - amazon.aws.boto3
  - amazon.aws.common.plugins
  - amazon.aws.region.plugins
  - amazon.aws.assume_role.plugins
options:
  plugin:
    description: The name of this plugin.
    type: str
    required: true
    choices: [localgov.platform.organization_accounts]
  organizational_units:
    description:
      - The ids of the units whose accounts are wanted, with all units below them. A root's id is one as well.
      - By default the whole organisation. The unit in which the search begins is a group by its own name.
    type: list
    elements: str
    default: []
  exclude:
    description:
      - Ids of accounts and of units that are left out; a unit with all below it.
    type: list
    elements: str
    default: []
  states:
    description:
      - The states of accounts that become hosts.
    type: list
    elements: str
    choices: [PENDING_ACTIVATION, ACTIVE, SUSPENDED, PENDING_CLOSURE, CLOSED]
    default: [ACTIVE]
  hostnames:
    description:
      - Where a host's name comes from, the first that an account has. V(name), V(id), or V(tag:) with a tag's key.
      - It becomes lower-case letters, digits and hyphens. Two accounts with one name are an error, since a number put
        behind one of them could change from one day to the next.
    type: list
    elements: str
    default: [name]
  fetch_tags:
    description:
      - Whether the accounts' tags are asked for, which costs one call each.
    type: bool
    default: true
  unit_groups:
    description:
      - Whether units become groups, named by the way to them. The unit C(North) in the unit C(Local authorities) is the
        group C(local_authorities_north).
      - The root itself is none.
    type: bool
    default: true
  unit_prefix:
    description:
      - What stands before the names of such groups.
    type: str
    default: ''
  role:
    description:
      - The role that P(localgov.platform.aws_account#connection) assumes in each account, as
        I(ansible_aws_account_role).
      - Empty leaves it to the inventory's other sources.
    type: str
    default: localgov-deploy
notes:
  - The identity needs C(organizations:DescribeOrganization), C(organizations:ListRoots),
    C(organizations:DescribeOrganizationalUnit), C(organizations:ListParents),
    C(organizations:ListOrganizationalUnitsForParent), C(organizations:ListAccountsForParent) and, for O(fetch_tags),
    C(organizations:ListTagsForResource). It is one of the management account or of a delegated administrator;
    O(assume_role_arn) leads there.
  - Each host has the variable I(organization_account), a mapping with V(id), V(name), V(state), V(joined_at),
    V(joined_method), V(tags) and V(unit) (V(id), V(names), and V(path) as in C(aws:PrincipalOrgPaths)), which
    O(compose), O(groups) and O(keyed_groups) can use.
"""

EXAMPLES = r"""
# All accounts below one unit. Their roles, regions and networks come from group_vars and host_vars beside this file.
plugin: localgov.platform.organization_accounts
organizational_units: [ou-ab12-11111111]

---
# From the management account, by a read-only role, kept for an hour; hosts are named by a tag where there is one.
plugin: localgov.platform.organization_accounts
assume_role_arn: arn:aws:iam::111111111111:role/organization-reader
exclude: [ou-ab12-99999999]
hostnames: ["tag:short-name", name]
compose:
  platform_cidr: organization_account.tags['platform-cidr']
keyed_groups:
  - key: organization_account.tags['wave']
    prefix: wave
cache: true
cache_plugin: ansible.builtin.jsonfile
cache_connection: ~/.cache/localgov-accounts
cache_timeout: 3600
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NoReturn, TypedDict, cast

from ansible.errors import AnsibleParserError
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.amazon.aws.plugins.plugin_utils.inventory import AWSInventoryBase
from ansible_collections.localgov.platform.plugins.plugin_utils import _organization_tree as tree

if TYPE_CHECKING:
    from ansible.inventory.data import InventoryData
    from ansible.parsing.dataloader import DataLoader

# Organizations has one control plane per partition; its endpoint needs a region to be signed for.
_HOME_REGION = "us-east-1"


class _Found(TypedDict):
    """What the cache keeps."""

    units: list[tree.Unit]
    accounts: list[tree.Account]


class InventoryModule(AWSInventoryBase):  # type: ignore[misc]  # amazon.aws has no types
    """Accounts as hosts, units as groups."""

    NAME = "localgov.platform.organization_accounts"
    INVENTORY_FILE_SUFFIXES = ("organization_accounts.yml", "organization_accounts.yaml")

    def parse(self, inventory: InventoryData, loader: DataLoader, path: str, cache: bool = True) -> None:
        """Raises AnsibleParserError where AWS refuses, or names cannot be told apart."""
        super().parse(inventory, loader, path, cache=cache)
        cached, found = self.get_cached_result(path, cache)
        if not cached:
            found = self._search()
        try:
            self._populate(cast(_Found, found))
        except tree.OrganizationTreeError as error:
            raise AnsibleParserError(f"{path}: {error}") from None
        # Only what could be used is kept.
        self.update_cached_result(path, cache, found)

    def client(self, *arguments: Any, **parameters: Any) -> Any:  # noqa: ANN401
        """Of Organizations, and of STS where a role is assumed: neither needs the person to name a region."""
        return super().client(*arguments, **{"region": self.region or _HOME_REGION, **parameters})

    def _do_fail(self, message: str) -> NoReturn:
        raise AnsibleParserError(message)

    # --- What AWS says ---

    def _search(self) -> _Found:
        import botocore.exceptions

        client = self.client("organizations", AWSRetry.jittered_backoff(retries=10, delay=1))
        try:
            tops = list(self._tops(client))
            units = [unit for top in tops for unit in self._with_units_below(client, top)]
            return {"units": units, "accounts": [found for unit in units for found in self._accounts(client, unit)]}
        except botocore.exceptions.ClientError as error:
            raise AnsibleParserError(_refusal(error)) from None
        except botocore.exceptions.BotoCoreError as error:
            raise AnsibleParserError(f"AWS Organizations cannot be asked: {error}") from None

    def _tops(self, client: Any) -> Iterator[tree.Unit]:  # noqa: ANN401  # botocore makes its clients at run time
        organisation = client.describe_organization(aws_retry=True)["Organization"]["Id"]
        wanted = self.get_option("organizational_units")
        if bad := [entry for entry in wanted if not tree.UNIT.fullmatch(entry)]:
            raise AnsibleParserError(
                f"organizational_units has '{bad[0]}': write a unit's id, such as ou-ab12-11111111."
            )
        if not wanted:
            for root in _pages(client, "list_roots", "Roots"):
                yield {"id": root["Id"], "names": [], "path": f"{organisation}/{root['Id']}/"}
        for identifier in wanted:
            yield self._top(client, identifier, organisation)

    def _top(self, client: Any, identifier: str, organisation: str) -> tree.Unit:  # noqa: ANN401
        if identifier.startswith("r-"):
            return {"id": identifier, "names": [], "path": f"{organisation}/{identifier}/"}
        answer = client.describe_organizational_unit(OrganizationalUnitId=identifier, aws_retry=True)
        way, child = [identifier], identifier
        while not child.startswith("r-"):
            child = client.list_parents(ChildId=child, aws_retry=True)["Parents"][0]["Id"]
            way.insert(0, child)
        names = [answer["OrganizationalUnit"]["Name"]]
        return {"id": identifier, "names": names, "path": "/".join([organisation, *way]) + "/"}

    def _with_units_below(self, client: Any, unit: tree.Unit) -> Iterator[tree.Unit]:  # noqa: ANN401
        if unit["id"] in self.get_option("exclude"):
            return
        yield unit
        for below in _pages(client, "list_organizational_units_for_parent", "OrganizationalUnits", ParentId=unit["id"]):
            names = [*unit["names"], below["Name"]]
            child: tree.Unit = {"id": below["Id"], "names": names, "path": f"{unit['path']}{below['Id']}/"}
            yield from self._with_units_below(client, child)

    def _accounts(self, client: Any, unit: tree.Unit) -> Iterator[tree.Account]:  # noqa: ANN401
        for account in _pages(client, "list_accounts_for_parent", "Accounts", ParentId=unit["id"]):
            if account["Id"] in self.get_option("exclude"):
                continue
            tags: dict[str, str] = {}
            if self.get_option("fetch_tags"):
                listed = _pages(client, "list_tags_for_resource", "Tags", ResourceId=account["Id"])
                tags = {tag["Key"]: tag["Value"] for tag in listed}
            yield tree.account_of(account, unit, tags)

    # --- What Ansible is told ---

    def _populate(self, found: _Found) -> None:
        # What was kept may be from before something was left out.
        exclude = self.get_option("exclude")
        units = list({unit["id"]: unit for unit in tree.units_without(found["units"], exclude)}.values())
        groups = self._add_groups(units) if self.get_option("unit_groups") else {}
        accounts = {account["id"]: account for account in tree.accounts_without(found["accounts"], exclude)}.values()
        for name, account in tree.hosts_of(accounts, self.get_option("states"), self.get_option("hostnames")):
            self.inventory.add_host(name, group=groups.get(account["unit"]["id"], "all"))
            self._set_variables(name, account)

    def _add_groups(self, units: list[tree.Unit]) -> dict[str, str]:
        groups = tree.groups_of((unit for unit in units if unit["names"]), self.get_option("unit_prefix"))
        for group in groups.values():
            self.inventory.add_group(group)
        for parent, child in tree.links(units):
            if parent in groups:
                self.inventory.add_child(groups[parent], groups[child])
        return groups

    def _set_variables(self, name: str, account: tree.Account) -> None:
        variables: dict[str, Any] = {
            "ansible_connection": "localgov.platform.aws_account",
            "ansible_aws_account_id": account["id"],
            "organization_account": account,
        }
        if role := self.get_option("role"):
            variables["ansible_aws_account_role"] = role
        for variable, value in variables.items():
            self.inventory.set_variable(name, variable, value)
        strict = self.get_option("strict")
        self._set_composite_vars(self.get_option("compose"), variables, name, strict=strict)
        self._add_host_to_composed_groups(self.get_option("groups"), variables, name, strict=strict)
        self._add_host_to_keyed_groups(self.get_option("keyed_groups"), variables, name, strict=strict)


def _refusal(error: Any) -> str:  # noqa: ANN401
    answer = error.response["Error"]
    return (
        f"AWS Organizations refused {error.operation_name} ({answer['Code']}: {answer['Message']}). Ask as the "
        "management account or a delegated administrator (assume_role_arn leads there), with the permissions that "
        "`ansible-doc -t inventory localgov.platform.organization_accounts` lists."
    )


def _pages(client: Any, operation: str, key: str, **parameters: str) -> Iterable[dict[str, Any]]:  # noqa: ANN401
    token: dict[str, str] = {}
    while True:
        page = getattr(client, operation)(**parameters, **token, aws_retry=True)
        yield from page[key]
        if not page.get("NextToken"):
            return
        token = {"NextToken": page["NextToken"]}
