# SPDX-License-Identifier: GPL-3.0-or-later
"""Somebody of a user pool by their e-mail address, found without a look at everybody.

As shipped each call that names somebody who signs in by an address goes through the whole pool twice, so that to add
ten thousand people somebody is looked at two hundred million times.
"""

from __future__ import annotations

import functools
import threading
from typing import Any

from sandbox.emulator.internals import find
from sandbox.settings import Settings

_COGNITO = "ministack.services.cognito"

NEEDS = (f"{_COGNITO}._attr_list_to_dict", f"{_COGNITO}._resolve_user")

Attributes = list[dict[str, str]]  # replaced as a whole when one of them changes, never changed in place


class Addresses:
    """Who has which address, of one pool's people in the order in which they came."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # requests are served in threads
        self._seen: list[Attributes] = []
        self._names: dict[str, str] = {}  # by address, of whom it was first

    def name_of(self, address: str, users: dict[str, dict[str, Any]]) -> str | None:
        with self._lock:
            users = users.copy()  # somebody may come or go meanwhile
            attributes = [user["Attributes"] for user in users.values()]
            if attributes[: len(self._seen)] != self._seen:  # somebody has gone, or has changed
                self._seen, self._names = [], {}
            read = find(f"{_COGNITO}._attr_list_to_dict")
            for name in list(users)[len(self._seen) :]:
                self._names.setdefault(read(users[name]["Attributes"]).get("email", ""), name)
            self._seen = attributes
            return self._names.get(address)


def install(settings: Settings) -> None:
    del settings
    cognito = find(_COGNITO)
    cognito._resolve_user = _by_address(cognito._resolve_user)


def _by_address(shipped: Any) -> Any:  # noqa: ANN401 - ministack's untyped function
    known: dict[str, Addresses] = {}

    @functools.wraps(shipped)
    def resolve_user(pool: dict[str, Any], username: str | None) -> Any:  # noqa: ANN401
        users = pool["_users"]
        is_address = username and "@" in username and pool.get("UsernameAttributes") == ["email"]
        if not is_address or username in users:
            return shipped(pool, username)
        name = known.setdefault(pool["Id"], Addresses()).name_of(str(username), users)
        # Nobody else of such a pool can be meant; it answers for whoever is not there as well.
        return shipped({**pool, "_users": {name: users[name]} if name else {}}, username)

    return resolve_user
