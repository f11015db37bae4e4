# SPDX-License-Identifier: GPL-3.0-or-later
"""What a plan foresees, in order for people: rows for a terminal, accounts for a page, and counts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypedDict

from ansible_collections.localgov.platform.plugins.plugin_utils import _tables
from ansible_collections.localgov.platform.plugins.plugin_utils._planned_changes import Change, Resource, Unseen

_COLUMNS = {
    "accounts": "Account",
    "what": "What",
    "action": "Action",
    "resource": "Resource",
    "type": "Type",
    "replaced": "Replaced",
}
_ACCOUNT_ID = re.compile(r"(?<!\d)\d{12}(?!\d)")
_NAMES_IN_A_ROW = 3
_ROWS_ON_A_TERMINAL = 200

Row = dict[str, str]


class Drift(TypedDict):
    """A stack as M(localgov.platform.stack_drift_info) tells of it."""

    stack: str
    status: str
    reason: str
    checked: int
    resources: list[dict[str, Any]]


class AccountPlan(TypedDict):
    """What would change in one account, and what was looked at besides."""

    account: str
    changes: list[Change]
    unchanged: list[str]
    drifts: list[Drift]


def report(
    accounts: Sequence[str],
    changes: Iterable[Change],
    unseen: Iterable[Unseen],
    drifts: Mapping[str, Sequence[Drift]],
) -> dict[str, Any]:
    """`lines` for a terminal, `accounts`, `data` (what would be lost), `unclear`, `counts`, `unseen`."""
    plans = _by_account(accounts, list(changes), drifts)
    every = [change for plan in plans for change in plan["changes"]]
    data = [
        {"account": change["account"], "stack": change["name"], **resource}
        for change in every
        for resource in change["resources"]
        if resource["data"]
    ]
    drifted = [drift for plan in plans for drift in plan["drifts"] if drift["status"] == "DRIFTED"]
    return {
        "lines": _lines(plans),
        "accounts": plans,
        "data": data,
        "unclear": list(_unclear(plans)),
        "unseen": _tasks_unseen(unseen),
        "counts": {
            "accounts": len(plans),
            "accounts_to_change": sum(bool(plan["changes"]) for plan in plans),
            "changes": len(every),
            "stacks": sum(len(plan["unchanged"]) for plan in plans) + sum(one["kind"] == "stack" for one in every),
            "drifted": len(drifted),
        },
    }


def _by_account(
    accounts: Sequence[str], changes: list[Change], drifts: Mapping[str, Sequence[Drift]]
) -> list[AccountPlan]:
    names = dict.fromkeys([*accounts, *(change["account"] for change in changes)])
    plans: dict[str, AccountPlan] = {
        name: {"account": name, "changes": [], "unchanged": [], "drifts": list(drifts.get(name, []))} for name in names
    }
    for change in changes:
        plan = plans[change["account"]]
        if change["action"] == "none":
            plan["unchanged"].append(change["name"])
        else:
            plan["changes"].append(change)
    return list(plans.values())


def _unclear(plans: Iterable[AccountPlan]) -> Iterator[dict[str, str]]:
    """What could not be found out: `account`, `name`, `detail`."""
    for plan in plans:
        for change in plan["changes"]:
            if change["action"] == "unclear":
                yield {"account": plan["account"], "name": change["name"], "detail": change["detail"]}
        for drift in plan["drifts"]:
            if detail := not_compared(drift):
                yield {"account": plan["account"], "name": drift["stack"], "detail": detail}


def not_compared(drift: Drift) -> str:
    """Why it is not known, of all or of a part of the stack, whether it has drifted; empty where it is."""
    if drift["reason"] or drift["status"] not in ("IN_SYNC", "DRIFTED"):
        return f"Not compared with what there is: {drift['reason'] or drift['status']}"
    return ""


def _tasks_unseen(unseen: Iterable[Unseen]) -> list[dict[str, Any]]:
    """Each task with the accounts in which it was not rehearsed."""
    tasks: dict[str, dict[str, None]] = {}
    for entry in unseen:
        tasks.setdefault(entry["task"], {})[entry["account"]] = None
    return [{"task": task, "accounts": list(accounts)} for task, accounts in tasks.items()]


# --- For a terminal ---


def _lines(plans: Iterable[AccountPlan]) -> list[str]:
    """What is alike in several accounts is one row."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for plan in plans:
        for row in _rows(plan):
            alike.setdefault(tuple(row.values()), []).append(plan["account"])
    keys = list(_COLUMNS)[1:]
    rows = [{"accounts": names(accounts), **dict(zip(keys, values, strict=True))} for values, accounts in alike.items()]
    if not rows:
        return []
    columns = {key: heading for key, heading in _COLUMNS.items() if any(row[key] for row in rows)}
    lines = _tables.aligned(rows[:_ROWS_ON_A_TERMINAL], columns)
    if (more := len(rows) - _ROWS_ON_A_TERMINAL) > 0:
        lines.append(f"... and {more} more, which the page shows.")
    return lines


def names(accounts: Sequence[str]) -> str:
    """Some names, and how many more."""
    shown = list(dict.fromkeys(accounts))
    more = len(shown) - _NAMES_IN_A_ROW
    return ", ".join(shown[:_NAMES_IN_A_ROW]) + (f" and {more} more" if more > 0 else "")


def _rows(plan: AccountPlan) -> Iterator[Row]:
    for change in plan["changes"]:
        # Names that differ by the account's number alone are alike.
        what = _ACCOUNT_ID.sub("<account id>", f"{change['kind']} {change['name']}")
        if change["action"] == "change" and change["resources"]:
            for resource in change["resources"]:
                yield _row(what, resource["action"], resource["name"], resource["type"], replaced(resource))
        elif change["action"] == "create" and change["resources"]:
            yield _row(what, "create", f"{len(change['resources'])} resources")
        else:
            yield _row(what, change["action"], change["detail"])
    for drift in plan["drifts"]:
        for drifted in drift["resources"]:
            changed = ", ".join(difference["path"] for difference in drifted["differences"])
            what = f"{drifted['status'].lower()} {changed}".strip()
            yield _row(f"stack {drift['stack']}", "drifted", drifted["name"], drifted["type"], what)
        if detail := not_compared(drift):
            yield _row(f"stack {drift['stack']}", "unclear", detail)


def _row(what: str, action: str, resource: str, kind: str = "", replaced: str = "") -> Row:
    return {"what": what, "action": action, "resource": resource, "type": kind, "replaced": replaced}


def replaced(resource: Resource) -> str:
    """Whether AWS makes it anew, and what becomes of its data."""
    said = {"no": "", "perhaps": "perhaps", "yes": "yes"}[resource["replacement"]]
    if resource["data"]:
        said = f"{said or 'removed'}: IT LOSES ITS DATA"
    return f"{said} ({resource['policy']})" if said and resource["policy"] else said
