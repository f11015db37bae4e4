# SPDX-License-Identifier: GPL-3.0-or-later
"""An AWS organisation as an inventory: which accounts are hosts, what they are called, which units are groups."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import UTC
from typing import Any, NamedTuple, TypedDict

UNIT = re.compile(r"ou-[0-9a-z]{4,32}-[a-z0-9]{8,32}|r-[0-9a-z]{4,32}")
_SHOWN = 60


class Unit(TypedDict):
    """`names` lead from below the place where the search began down to this unit; of that place itself it is its own.

    `path` is what `aws:PrincipalOrgPaths` holds for an account of the unit: `o-…/r-…/ou-…/`.
    """

    id: str
    names: list[str]
    path: str


class Account(TypedDict):
    """One account as it is kept in the cache and given to templates. `joined_at` is ISO 8601, in UTC."""

    id: str
    name: str
    state: str
    joined_method: str
    joined_at: str
    tags: dict[str, str]
    unit: Unit


class Host(NamedTuple):
    name: str
    account: Account


class OrganizationTreeError(Exception):
    """Accounts or units that cannot be told apart, or have no usable name. The message says which, and what to do."""


def host_name(words: str) -> str:
    """Lower-case letters, digits and hyphens of a name: `Camden (Children's)` is `camden-children-s`."""
    return "-".join(_words(words))


def group_name(names: Iterable[str]) -> str:
    """A unit's group, by the names that lead to it: `Local authorities`, `North` is `local_authorities_north`."""
    joined = "_".join("_".join(_words(name)) for name in names)
    return f"_{joined}" if joined[:1].isdigit() else joined


def _words(text: str) -> list[str]:
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.findall(r"[a-z0-9]+", plain)


def units_without(units: Iterable[Unit], exclude: Collection[str]) -> list[Unit]:
    """The units that are not in `exclude`, nor within one that is."""
    return [unit for unit in units if not _is_within(unit, exclude)]


def accounts_without(accounts: Iterable[Account], exclude: Collection[str]) -> list[Account]:
    """The accounts that are not in `exclude`, nor within a unit that is."""
    return [
        account for account in accounts if account["id"] not in exclude and not _is_within(account["unit"], exclude)
    ]


def _is_within(unit: Unit, exclude: Collection[str]) -> bool:
    return not {unit["id"], *unit["path"].split("/")}.isdisjoint(exclude)


def hosts_of(accounts: Iterable[Account], states: Collection[str], names_from: Iterable[str]) -> list[Host]:
    """The accounts in one of `states`, in the order of their host names.

    `names_from` are tried in turn: `name`, `id` or `tag:<key>`; what an account has nothing of is passed over.
    """
    sources = [_source(preference) for preference in names_from]
    hosts = [Host(_name(account, sources), account) for account in accounts if account["state"] in states]
    _refuse_doubles((host.name, f"{host.account['id']} '{_shown(host.account['name'])}'") for host in hosts)
    return sorted(hosts)


def _source(preference: str) -> Callable[[Account], str]:
    if preference == "name":
        return lambda account: account["name"]
    if preference == "id":
        return lambda account: account["id"]
    key = preference.removeprefix("tag:")
    if key == preference or not key:
        raise OrganizationTreeError(f"hostnames has '{_shown(preference)}': write name, id or tag:<key>.")
    return lambda account: account["tags"].get(key, "")


def _name(account: Account, sources: Iterable[Callable[[Account], str]]) -> str:
    for source in sources:
        if name := host_name(source(account)):
            return name
    raise OrganizationTreeError(
        f"Account {account['id']} '{_shown(account['name'])}' has no name that a host can have: letters and digits are "
        "needed. Rename it, give it a tag and say 'tag:<key>' in hostnames, or add 'id' to hostnames."
    )


def _refuse_doubles(named: Iterable[tuple[str, str]]) -> None:
    seen: dict[str, str] = {}
    for name, account in named:
        if name in seen:
            raise OrganizationTreeError(
                f"Accounts {seen[name]} and {account} would both be the host '{name}'. Rename one, or give one a tag "
                "and put 'tag:<key>' first in hostnames."
            )
        seen[name] = account


def groups_of(units: Iterable[Unit], prefix: str) -> dict[str, str]:
    """Each unit's id to its group. Units without a word in their names, and two with one group, are refused."""
    groups: dict[str, str] = {}
    owner: dict[str, Unit] = {}
    for unit in units:
        name = prefix + group_name(unit["names"])
        shown = f"{unit['id']} '{_shown('/'.join(unit['names']))}'"
        if not all(_words(part) for part in unit["names"]):
            raise OrganizationTreeError(
                f"Unit {shown} has no name that a group can have. Rename it, or set unit_groups to false."
            )
        if name in owner and owner[name]["id"] != unit["id"]:
            raise OrganizationTreeError(
                f"Units {owner[name]['id']} and {shown} would both be the group '{name}'. Rename one of them."
            )
        owner[name] = unit
        groups[unit["id"]] = name
    return groups


def links(units: Iterable[Unit]) -> Iterator[tuple[str, str]]:
    """The ids of each unit that was found within another that was found, as parent and child."""
    found = {unit["path"]: unit["id"] for unit in units}
    for path, identifier in found.items():
        parent = f"{path.rstrip('/').rpartition('/')[0]}/"
        if parent in found:
            yield found[parent], identifier


def account_of(answer: Mapping[str, Any], unit: Unit, tags: dict[str, str]) -> Account:
    """From what ListAccountsForParent says of an account. AWS replaces `Status` by `State`, which knows more."""
    return {
        "id": answer["Id"],
        "name": answer.get("Name", ""),
        "state": answer.get("State") or answer.get("Status", ""),
        "joined_method": answer.get("JoinedMethod", ""),
        "joined_at": _utc(answer.get("JoinedTimestamp")),
        "tags": tags,
        "unit": unit,
    }


def _utc(moment: Any) -> str:  # noqa: ANN401  # botocore's datetime, or nothing
    return "" if moment is None else str(moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))


def _shown(text: str) -> str:
    printable = "".join(character if character.isprintable() else "?" for character in text)
    return printable if len(printable) <= _SHOWN else printable[:_SHOWN] + "…"
