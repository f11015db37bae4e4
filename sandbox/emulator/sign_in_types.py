# SPDX-License-Identifier: GPL-3.0-or-later
"""``AWS::Cognito::UserPoolIdentityProvider``, which ministack's CloudFormation refuses though its Cognito has it."""

from __future__ import annotations

from typing import Any

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
    f"{_COGNITO}._update_identity_provider",
    f"{_COGNITO}._user_pools",
)

Properties = dict[str, Any]
Created = tuple[str, dict[str, str]]  # physical id, attributes

_CHANGED = ("ProviderDetails", "AttributeMapping", "IdpIdentifiers")


def install(settings: Settings) -> None:
    del settings
    find(f"{_PROVISIONERS}._RESOURCE_HANDLERS")[_TYPE] = {"create": _create, "update": _update, "delete": _delete}
    find(f"{_PROVISIONERS}._REPLACING_PROPERTIES")[_TYPE] = ("UserPoolId", "ProviderName", "ProviderType")


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
