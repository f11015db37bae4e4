# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person may do here, from the groups that their authority put them into."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from localgov_frontend.datasets import DATASETS

GROUPS_CLAIM = "cognito:groups"
# What a federated identity provider says of groups, in an attribute of the user pool's own.
FEDERATED_GROUPS_CLAIM = "custom:groups"


class RolesError(Exception):
    """The mapping of groups to what they may do is wrong; the text says where."""


class May(StrEnum):
    """Each may what those before it may."""

    VIEW = "view"
    UPLOAD = "upload"
    WITHDRAW = "withdraw"


@dataclass(frozen=True)
class Role:
    """What a group may, of some data returns only, or of all."""

    may: May
    datasets: frozenset[str]


@dataclass(frozen=True)
class Access:
    """The data returns of which a person may see results, upload files, and withdraw submissions."""

    view: frozenset[str] = frozenset()
    upload: frozenset[str] = frozenset()
    withdraw: frozenset[str] = frozenset()

    @property
    def is_none(self) -> bool:
        return not self.view


EVERYTHING = Access(*[frozenset(DATASETS)] * len(May))


def read_roles(document: Any) -> dict[str, Role]:  # noqa: ANN401 - JSON that somebody wrote
    """`{"<group>": {"may": "view", "upload" or "withdraw", "datasets": [...]}}`; without `datasets`, all of them."""
    if not isinstance(document, dict) or not document:
        raise RolesError("name at least one group, as a JSON object of groups to what they may do.")
    return {str(group): _role(str(group), entry) for group, entry in document.items()}


def _role(group: str, entry: Any) -> Role:  # noqa: ANN401
    if not isinstance(entry, dict) or entry.get("may") not in set(May):
        raise RolesError(f"group {group!r} needs 'may', which is one of {', '.join(May)}.")
    datasets = entry.get("datasets", list(DATASETS))
    if not isinstance(datasets, list) or not set(map(str, datasets)) <= DATASETS.keys():
        raise RolesError(f"group {group!r} has other 'datasets' than {', '.join(DATASETS)}.")
    return Role(May(entry["may"]), frozenset(map(str, datasets)))


def access_of(groups: Iterable[str], roles: dict[str, Role]) -> Access:
    """All that any of the groups may. Groups without a role give nothing."""
    held = [roles[group] for group in groups if group in roles]

    def of(*enough: May) -> frozenset[str]:
        return frozenset().union(*(role.datasets for role in held if role.may in enough))

    return Access(view=of(*May), upload=of(May.UPLOAD, May.WITHDRAW), withdraw=of(May.WITHDRAW))


def groups_in(claims: dict[str, Any], provider: str | None) -> list[str]:
    """The groups that a verified ID token names.

    A federated person's attribute counts only when it came by the provider that is configured: a person of the user
    pool itself might have written their own.
    """
    groups = _names(claims.get(GROUPS_CLAIM))
    if provider and provider in _providers(claims):
        groups += _names(claims.get(FEDERATED_GROUPS_CLAIM))
    return sorted(set(groups))


def _names(value: Any) -> list[str]:  # noqa: ANN401
    """A list, or the text that Cognito makes of a SAML attribute with several values: `[one, two]`."""
    if isinstance(value, list):
        return [str(name) for name in value]
    if isinstance(value, str):
        return [name for name in re.split(r"\s*,\s*", value.strip().removeprefix("[").removesuffix("]")) if name]
    return []


def _providers(claims: dict[str, Any]) -> set[str]:
    identities = claims.get("identities")
    entries = identities if isinstance(identities, list) else []
    return {str(entry.get("providerName")) for entry in entries if isinstance(entry, dict)}
