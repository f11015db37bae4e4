# SPDX-License-Identifier: GPL-3.0-or-later
"""What signing in needs of Cognito and ministack lacks.

* ``AWS::Cognito::UserPoolIdentityProvider``, which its CloudFormation refuses though its Cognito has it.
* Return addresses on tasks: ``0.0.0.0``, which stands for a task's own address in its environment, does so too where an
  app client names the addresses that it sends people back to.
* Temporary passwords that a pool takes which asks for more than twelve characters.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from sandbox.emulator.internals import find
from sandbox.settings import Settings

_PROVISIONERS = "ministack.services.cloudformation.provisioners"
_TYPE = "AWS::Cognito::UserPoolIdentityProvider"
_COGNITO = "ministack.services.cognito"

NEEDS = (
    f"{_PROVISIONERS}._RESOURCE_HANDLERS",
    f"{_PROVISIONERS}._REPLACING_PROPERTIES",
    f"{_COGNITO}._create_identity_provider",
    f"{_COGNITO}._delete_identity_provider",
    f"{_COGNITO}._find_pool_by_client_id",
    f"{_COGNITO}._generate_temp_password",
    f"{_COGNITO}._update_identity_provider",
    f"{_COGNITO}._user_pools",
)

Properties = dict[str, Any]
Created = tuple[str, dict[str, str]]  # physical id, attributes

_CHANGED = ("ProviderDetails", "AttributeMapping", "IdpIdentifiers")


_ANY_TASK = "0.0.0.0"  # noqa: S104 - nothing listens there


class _ReturnAddresses(list[str]):
    """Those of an app client, with each task's own address in the place of ``0.0.0.0``."""

    def __init__(self, addresses: list[str], network: str) -> None:
        super().__init__(addresses)
        self._network = network

    def __contains__(self, address: object) -> bool:
        if super().__contains__(address):
            return True
        parts = urlsplit(str(address))
        if not re.fullmatch(rf"{re.escape(self._network)}\.\d+\.\d+", parts.hostname or ""):
            return False
        anywhere = parts._replace(netloc=parts.netloc.replace(str(parts.hostname), _ANY_TASK)).geturl()
        return super().__contains__(anywhere)


def install(settings: Settings) -> None:
    cognito = find(_COGNITO)
    cognito._find_pool_by_client_id = _knowing_tasks(cognito._find_pool_by_client_id, settings.task_network)
    cognito._generate_temp_password = _longer(cognito._generate_temp_password)
    find(f"{_PROVISIONERS}._RESOURCE_HANDLERS")[_TYPE] = {"create": _create, "update": _update, "delete": _delete}
    find(f"{_PROVISIONERS}._REPLACING_PROPERTIES")[_TYPE] = ("UserPoolId", "ProviderName", "ProviderType")


def _knowing_tasks(shipped: Any, network: str) -> Any:  # noqa: ANN401 - ministack's untyped function
    @functools.wraps(shipped)
    def find_pool(client_id: str) -> Any:  # noqa: ANN401
        pool_id, pool, client = shipped(client_id)
        if client is None:
            return pool_id, pool, client
        known = {name: _ReturnAddresses(client.get(name) or [], network) for name in ("CallbackURLs", "LogoutURLs")}
        return pool_id, pool, {**client, **known}

    return find_pool


def _longer(shipped: Callable[[], str]) -> Callable[[], str]:
    @functools.wraps(shipped)
    def generate() -> str:
        return "".join(shipped() for _ in range(3))

    return generate


def _ask(operation: str, properties: Properties, *names: str) -> None:
    """Call an operation of Cognito as CloudFormation does."""
    given = {name: properties[name] for name in ("UserPoolId", "ProviderName", *names) if name in properties}
    status, _headers, body = find(f"{_COGNITO}.{operation}")(given)
    if status >= 400:
        raise ValueError(f"{_TYPE}: {body.decode() if isinstance(body, bytes) else body}")


def _create(logical_id: str, properties: Properties, stack: str) -> Created:
    del logical_id, stack
    _ask("_create_identity_provider", properties, "ProviderType", *_CHANGED)
    return str(properties["ProviderName"]), {}


def _update(physical_id: str, before: Properties, properties: Properties, stack: str) -> Created:
    del before, stack
    _ask("_update_identity_provider", properties, *_CHANGED)
    return physical_id, {}


def _delete(physical_id: str, properties: Properties) -> None:
    # The pool may have gone first, and with it all that was in it.
    if properties.get("UserPoolId") in find(f"{_COGNITO}._user_pools"):
        _ask("_delete_identity_provider", {**properties, "ProviderName": physical_id})
