# SPDX-License-Identifier: GPL-3.0-or-later
"""Who read what, put in order for people: accounts by the names that an inventory gives them, requests as verbs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.localgov.platform.plugins.plugin_utils import _tables

Record = Mapping[str, Any]  # as the module access_log_info tells it
Row = dict[str, Any]

_VERBS = {
    "CopyObject": "copied",
    "DeleteObject": "deleted",
    "GetObject": "read",
    "HeadObject": "looked up",
    "ListObjects": "listed",
    "ListObjectVersions": "listed",
    "PutObject": "wrote",
    "SelectObjectContent": "queried",
    "UploadPartCopy": "copied part of",
}


def rows(records: Iterable[Record], accounts: Mapping[str, str]) -> list[Row]:
    """The records with ``who``, ``did``, ``file`` and ``moment`` for people. *accounts* are names by account id."""
    return [
        {
            **record,
            "who": who(record, accounts),
            "file": _tables.printable(record["key"]),
            "did": _VERBS.get(record["action"], record["action"]),
            "moment": record["time"].replace("T", " ").removesuffix("Z"),
        }
        for record in records
    ]


def who(record: Record, accounts: Mapping[str, str]) -> str:
    """Such as ``hub/localgov-run-task``; with the account's id where the inventory has no name for it."""
    account, principal = record["principal_account"], record["principal"]
    if principal == account:
        return str(principal)
    name = principal.rpartition(":")[2] if principal.endswith(":root") else principal.rpartition("/")[2]
    return f"{accounts.get(account, account)}/{name}"


def by_principal(listed: Iterable[Row]) -> list[Row]:
    """One row for each of ``who``: how often, how many files, and when first and last; the busiest first."""
    found: dict[str, list[Row]] = {}
    for row in listed:
        found.setdefault(row["who"], []).append(row)
    return sorted((_sum(name, own) for name, own in found.items()), key=lambda row: (-row["requests"], row["who"]))


def _sum(name: str, own: list[Row]) -> Row:
    allowed = [row for row in own if row["outcome"] == "allowed"]
    moments = [row["moment"] for row in own]
    return {
        "who": name,
        "principal": own[0]["principal"],
        "requests": len(own),
        "failed": len(own) - len(allowed),
        "files": len({(row["bucket"], row["key"]) for row in allowed}),
        "bytes": sum(row["bytes"] for row in allowed),
        "first": min(moments),
        "last": max(moments),
    }
