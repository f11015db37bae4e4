# SPDX-License-Identifier: GPL-3.0-or-later
"""An estate of accounts for people: what is declared of each, what is there, and where the two differ."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, TypedDict

from ansible_collections.localgov.platform.plugins.plugin_utils import (
    _connection_matrix,
    _costs,
    _estate_drawing,
    _working_hours,
)

# What every account that is set up has.
_STACKS = ("database", "network", "roles", "services", "topics", "watch")
_DIGEST_SHOWN = 12  # letters of a digest that tell it from others
_WELL = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE")
_WORKING = "_IN_PROGRESS"
# Where AWS's errors name a person or what a person called a session: (what stays, what goes).
_PEOPLE = re.compile(r"(:assumed-role/[^/\s]+/|:user/|:federated-user/)[^\s,;'\"]+")


class Account(TypedDict):
    """`declared` is a `_costs.Account` with `share` and `digests` (image to digest, or empty).

    `state` is what M(localgov.platform.account_state_info) tells; where the account could not be reached it is empty,
    and `failure` says why. `prices` and `versions` (what else is known of what runs) may be empty.
    """

    name: str
    id: str
    kind: str
    declared: dict[str, Any]
    state: dict[str, Any]
    failure: str
    prices: dict[str, Any]
    versions: dict[str, Any]


class Difference(TypedDict):
    """Of what; as it is declared, and as it is."""

    what: str
    declared: str
    deployed: str


def estate(accounts: Sequence[Account], prefix: str, now: datetime) -> dict[str, Any]:
    """`accounts` in order, each with what is told of it; `wrong`, `networks`, `trust`, `counts` and a `sentence`."""
    commonest = _commonest(accounts)
    networks = _networks(accounts)
    told = [{**_told(account, prefix, commonest, networks), "costs": _bill(account, now)} for account in accounts]
    counts = {
        "accounts": len(told),
        "differ": sum(one["status"] == "differs" for one in told),
        "unreachable": sum(one["status"] == "unreachable" for one in told),
        "alarmed": sum(bool(one["alarms"]) for one in told),
    }
    return {
        "accounts": told,
        "wrong": _wrong(told),
        "networks": networks,
        "trust": _trust(told),
        "counts": counts,
        "sentence": _sentence(counts),
        "monthly": _costs.totals(one["costs"] for one in told),
    }


def _sentence(counts: dict[str, int]) -> str:
    accounts = "1 account" if counts["accounts"] == 1 else f"{counts['accounts']} accounts"
    differ = "1 differs" if counts["differ"] == 1 else f"{counts['differ']} differ"
    alarms = f", {counts['alarmed']} with alarms" if counts["alarmed"] else ""
    return f"{accounts}, {differ}, {counts['unreachable']} unreachable{alarms}"


def _bill(account: Account, now: datetime) -> dict[str, Any]:
    """As `_costs.bill` has it, or the reason why there is none."""
    if not account["prices"]:
        return {"unknown": "There are no prices of this region."}
    try:
        return {**_costs.bill(account["declared"], account["prices"], now)}  # type: ignore[arg-type]
    except (_costs.CostError, _working_hours.CalendarError) as error:
        return {"unknown": str(error)}


def _told(account: Account, prefix: str, commonest: dict[str, str], networks: list[dict[str, Any]]) -> dict[str, Any]:
    state, unread = account["state"], account["state"].get("unread", [])
    parts = {one["part"] for one in unread}
    differences = list(_differences(account, prefix, commonest, parts)) if state else []
    return {
        **{key: account[key] for key in ("name", "id", "kind", "versions")},
        "failure": without_people(account["failure"]),
        "status": "unreachable" if not state else "differs" if differences or unread else "as declared",
        "differences": differences,
        "services": list(_services(account, commonest)) if state else [],
        "share": _share(account),
        "alarms": state.get("alarms", []),
        "runs": state.get("runs", []),
        "stacks": state.get("stacks", []),
        "unread": [{**one, "reason": without_people(one["reason"])} for one in unread],
        "network": next(one["id"] for one in networks if account["name"] in one["accounts"]),
    }


def without_people(text: str) -> str:
    """AWS's words without the names of users and sessions."""
    return _PEOPLE.sub(r"\1...", text)


def _wrong(told: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What is alike in several accounts is one entry: `accounts`, `what`, `declared`, `deployed`."""
    alike: dict[tuple[str, str, str], list[str]] = {}
    for one in told:
        for entry in _of_one(one):
            alike.setdefault((entry["what"], entry["declared"], entry["deployed"]), []).append(one["name"])
    return [
        {"what": what, "declared": declared, "deployed": deployed, "accounts": names}
        for (what, declared, deployed), names in alike.items()
    ]


def _of_one(one: dict[str, Any]) -> Iterator[Difference]:
    if one["status"] == "unreachable":
        yield {"what": "the account", "declared": "reachable", "deployed": f"unreachable: {one['failure']}"}
    yield from one["differences"]
    for part in one["unread"]:
        yield {"what": part["part"], "declared": "readable", "deployed": part["reason"]}
    for alarm in one["alarms"]:
        yield {"what": f"alarm {alarm['name']}", "declared": "quiet", "deployed": alarm["description"] or "gone off"}


# --- Where the two differ ------------------------------------------------------------------------------------------


def _differences(account: Account, prefix: str, commonest: dict[str, str], unread: set[str]) -> Iterator[Difference]:
    state = account["state"]
    if "stacks" not in unread and not state["stacks"]:
        yield {"what": "the account", "declared": "set up", "deployed": "nothing is deployed"}
        return
    if "stacks" not in unread:
        yield from _stacks(state["stacks"], prefix)
    if not unread & {"services", "tasks"}:
        yield from _of_services(account, commonest)
    if "share" not in unread and "decision" not in unread:
        yield from _of_share(account)


def _stacks(found: Sequence[dict[str, str]], prefix: str) -> Iterator[Difference]:
    names = {stack["name"] for stack in found}
    for name in (f"{prefix}-{stack}" for stack in _STACKS):
        if name not in names:
            yield {"what": f"stack {name}", "declared": "there", "deployed": "missing"}
    for stack in found:
        if stack["status"] not in _WELL:
            words = "being worked on" if stack["status"].endswith(_WORKING) else "failed"
            yield {
                "what": f"stack {stack['name']}",
                "declared": "deployed",
                "deployed": f"{words}: {stack['status']}",
            }
        elif stack["drift"] == "DRIFTED":
            yield {
                "what": f"stack {stack['name']}",
                "declared": "as its template",
                "deployed": "changed by other means",
            }


def _of_services(account: Account, commonest: dict[str, str]) -> Iterator[Difference]:
    declared = {name.replace("_", "-"): service for name, service in account["declared"]["services"].items()}
    for row in _services(account, commonest):
        what = f"service {row['name']}" if row["is_service"] else f"task {row['name']}"
        if row["name"] not in declared:
            yield {"what": what, "declared": "not declared", "deployed": "runs"}
        elif not row["deployed"]:
            yield {"what": what, "declared": "declared", "deployed": "missing"}
        else:
            yield from _of_service(what, row)


def _of_service(what: str, row: dict[str, Any]) -> Iterator[Difference]:
    """Of one that is declared and there."""
    if row["is_service"]:
        if not row["is_switched"] and row["desired"] != row["declared"]:
            yield {"what": f"{what}: count", "declared": str(row["declared"]), "deployed": str(row["desired"])}
        if row["running"] < row["desired"]:
            yield {"what": f"{what}: tasks", "declared": str(row["desired"]), "deployed": f"{row['running']} run"}
        if row["rollout"] == "FAILED":
            yield {"what": f"{what}: deployment", "declared": "done", "deployed": "failed"}
    if row["wanted"] and row["digest"] != row["wanted"]:
        yield {"what": f"{what}: image", "declared": shown(row["wanted"]), "deployed": shown(row["digest"])}


def _of_share(account: Account) -> Iterator[Difference]:
    share = account["state"]["share"]
    if not share:
        return
    wanted = "revoked" if "revoked" in (account["declared"]["share"], share["decided"]) else "granted"
    if share["open"] != (wanted == "granted"):
        deployed = "the bucket is open" if share["open"] else "the bucket is closed"
        yield {"what": "what it shares", "declared": wanted, "deployed": deployed}


def shown(digest: str) -> str:
    """The first letters of a digest."""
    return digest.removeprefix("sha256:")[:_DIGEST_SHOWN] or "none"


# --- What is told --------------------------------------------------------------------------------------------------


def _services(account: Account, commonest: dict[str, str]) -> Iterator[dict[str, Any]]:
    """What is declared, and after it what is there besides; tasks of others are not told."""
    state, declared = account["state"], account["declared"]
    there = {one["name"]: one for one in [*state["tasks"], *state["services"]]}
    hours = declared.get("hours", {}).get("services", [])
    for name, service in declared["services"].items():
        dashed = name.replace("_", "-")
        wanted = declared.get("digests", {}).get(service["image"]) or commonest.get(service["image"], "")
        row = _row(dashed, there.pop(dashed, None), "desired_count" in service, wanted)
        is_switched = bool(service.get("on_demand")) or name in hours
        yield {**row, "image": service["image"], "declared": service.get("desired_count"), "is_switched": is_switched}
    for name in (one["name"] for one in state["services"] if one["name"] in there):
        yield {**_row(name, there[name], True, ""), "image": "", "declared": None, "is_switched": False}


def _row(name: str, found: dict[str, Any] | None, is_service: bool, wanted: str) -> dict[str, Any]:
    one = found or {}
    return {
        "name": name,
        "deployed": found is not None,
        "is_service": is_service,
        "desired": one.get("desired", 0),
        "running": one.get("running", 0),
        "rollout": one.get("rollout", ""),
        "digest": one.get("images", {}).get(name, ""),
        "wanted": wanted,
    }


def _commonest(accounts: Iterable[Account]) -> dict[str, str]:
    """Image to the digest that most accounts run: what is wanted where nobody says so, if more than one runs it."""
    found: dict[str, Counter[str]] = {}
    for account in accounts:
        there = {
            one["name"]: one for one in [*account["state"].get("tasks", []), *account["state"].get("services", [])]
        }
        for name, service in account["declared"]["services"].items():
            dashed = name.replace("_", "-")
            if digest := there.get(dashed, {}).get("images", {}).get(dashed):
                found.setdefault(service["image"], Counter())[digest] += 1
    return {image: digests.most_common(1)[0][0] for image, digests in found.items()}


def _share(account: Account) -> dict[str, str]:
    """`state` is `open`, `closed`, `unknown` or empty (nothing to share), `words` say why."""
    share = account["state"].get("share", {})
    if account["kind"] != "authority":
        return {"state": "", "words": ""}
    if not share or share["open"] is None:
        return {"state": "unknown", "words": "not known"}
    # A decision of which no time was noted says so in words.
    day = re.match(r"\d{4}-\d{2}-\d{2}", share["since"])
    since = f" since {day[0]}" if day else ""
    if share["open"]:
        return {"state": "open", "words": "shares"}
    if share["decided"] == "revoked":
        return {"state": "closed", "words": f"revoked by the authority{since}"}
    return {
        "state": "closed",
        "words": "revoked by the inventory" if account["declared"]["share"] == "revoked" else "closed",
    }


# --- Drawn ---------------------------------------------------------------------------------------------------------


def _networks(accounts: Sequence[Account]) -> list[dict[str, Any]]:
    """Accounts whose networks are alike have one drawing."""
    found: dict[str, dict[str, Any]] = {}
    for account in accounts:
        declared = account["declared"]
        matrix = _connection_matrix.connection_matrix(
            declared["services"], declared["egress"], declared.get("balancers") or {}
        )
        off = [name for name, service in declared["services"].items() if service.get("desired_count") == 0]
        key = f"{sorted(matrix['parties'].items())}{matrix['connections']}{off}"
        if key not in found:
            identifier = f"network-{len(found) + 1}"
            found[key] = {
                "id": identifier,
                "accounts": [],
                "connections": matrix["connections"],
                "svg": _estate_drawing.network(identifier, matrix, declared["services"]),
            }
        found[key]["accounts"].append(account["name"])
    return list(found.values())


def _trust(told: Sequence[dict[str, Any]]) -> str:
    """Empty where no authority is among the accounts."""
    shares = {one["name"]: one["share"]["state"] for one in told if one["kind"] == "authority"}
    organisation = next((one["name"] for one in told if one["kind"] == "organisation"), "organisation")
    return _estate_drawing.trust("trust", organisation, shares) if shares else ""
