# SPDX-License-Identifier: GPL-3.0-or-later
"""The environment of an account's modules: the operator's, with the account's session as the only identity."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ansible_collections.localgov.platform.plugins.plugin_utils._aws_session import AwsSession
    from ansible_collections.localgov.platform.plugins.plugin_utils._session_request import SessionRequest

# What AWS's tools read besides AWS_*, and this plugin's own options (one of them is the external id).
_FOREIGN = ("AWS_", "LOCALGOV_AWS_ACCOUNT_", "EC2_", "BOTO_CONFIG", "S3_URL")
# How to call, never as whom nor where. All else that begins so is taken away, as new variables keep appearing.
_KEPT = frozenset(
    {
        "AWS_CA_BUNDLE",
        "AWS_CLI_AUTO_PROMPT",
        "AWS_DEFAULT_OUTPUT",
        "AWS_DEFAULTS_MODE",
        "AWS_MAX_ATTEMPTS",
        "AWS_PAGER",
        "AWS_REQUEST_CHECKSUM_CALCULATION",
        "AWS_RESPONSE_CHECKSUM_VALIDATION",
        "AWS_RETRY_MODE",
        "AWS_SDK_UA_APP_ID",
        "AWS_USE_DUALSTACK_ENDPOINT",
        "AWS_USE_FIPS_ENDPOINT",
    }
)
_ENDPOINT = "AWS_ENDPOINT_URL"
# Unless the caller says otherwise. By default botocore tries five times, and a rollout makes so many calls that on a
# bad day one of them fails five times in a row.
_PATIENCE = {"AWS_RETRY_MODE": "standard", "AWS_MAX_ATTEMPTS": "9"}


def module_environment(caller: Mapping[str, str], session: AwsSession, request: SessionRequest) -> dict[str, str]:
    """The environment for modules of that session, made from the caller's."""
    environment = _PATIENCE | {name: value for name, value in caller.items() if _is_inherited(name, request)}
    environment.update(
        AWS_ACCESS_KEY_ID=session.access_key_id,
        AWS_SECRET_ACCESS_KEY=session.secret_access_key,
        # No other identity can be found: neither in files nor at the instance's metadata service.
        AWS_CONFIG_FILE=os.devnull,
        AWS_SHARED_CREDENTIALS_FILE=os.devnull,
        AWS_EC2_METADATA_DISABLED="true",
        PATH=_path_with_controller_tools(caller.get("PATH", os.defpath)),
    )
    if session.session_token:
        environment["AWS_SESSION_TOKEN"] = session.session_token
    if region := request.region or session.source_region:
        # botocore reads the one, other tools the other.
        environment.update(AWS_REGION=region, AWS_DEFAULT_REGION=region)
    if request.endpoint_url:
        environment[_ENDPOINT] = request.endpoint_url
    if request.ca_bundle:
        environment["AWS_CA_BUNDLE"] = request.ca_bundle
    return environment


def _is_inherited(name: str, request: SessionRequest) -> bool:
    if name.startswith(_ENDPOINT):
        # The endpoint of one service would win over the one that the inventory names for all.
        return not request.endpoint_url
    return name in _KEPT or not name.startswith(_FOREIGN)


def _path_with_controller_tools(path: str) -> str:
    """The search path with the controller's own programs last: `aws` may be installed beside Ansible only."""
    tools = str(Path(sys.executable).parent)
    directories = path.split(os.pathsep)
    return path if tools in directories else os.pathsep.join([*directories, tools])
