# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import sys
from pathlib import Path

from ansible_collections.localgov.platform.plugins.plugin_utils._aws_session import AwsSession
from ansible_collections.localgov.platform.plugins.plugin_utils._module_environment import module_environment
from ansible_collections.localgov.platform.plugins.plugin_utils._session_request import SessionRequest

SESSION = AwsSession("111122223333", "arn", "ASIA", "the-secret", "the-token", source_region="eu-west-1")
REQUEST = SessionRequest("111122223333", "alice", role="deploy")


def test_the_session_replaces_whatever_identity_the_caller_has() -> None:
    caller = {
        "AWS_ACCESS_KEY_ID": "AKIA",
        "AWS_PROFILE": "mine",
        "AWS_A_VARIABLE_OF_THE_FUTURE": "mine",
        "EC2_SECRET_KEY": "mine",
        "LANG": "C.UTF-8",
    }
    environment = module_environment(caller, SESSION, REQUEST)
    assert "mine" not in environment.values()
    assert environment["AWS_ACCESS_KEY_ID"] == "ASIA"
    assert environment["AWS_SECRET_ACCESS_KEY"] == "the-secret"
    assert environment["AWS_SESSION_TOKEN"] == "the-token"
    assert environment["LANG"] == "C.UTF-8"


def test_an_identity_without_token_has_none_of_the_callers() -> None:
    own = AwsSession("111122223333", "arn", "AKIA", "the-secret")
    assert "AWS_SESSION_TOKEN" not in module_environment({"AWS_SESSION_TOKEN": "old"}, own, REQUEST)


def test_the_callers_own_way_to_aws_stays_unless_the_inventory_names_another() -> None:
    caller = {"AWS_ENDPOINT_URL_S3": "http://mine", "AWS_CA_BUNDLE": "mine.pem", "AWS_RETRY_MODE": "adaptive"}
    assert caller.items() <= module_environment(caller, SESSION, REQUEST).items()
    emulated = SessionRequest("111122223333", "alice", endpoint_url="https://there", ca_bundle="there.pem")
    environment = module_environment(caller, SESSION, emulated)
    assert "AWS_ENDPOINT_URL_S3" not in environment
    assert (environment["AWS_ENDPOINT_URL"], environment["AWS_CA_BUNDLE"]) == ("https://there", "there.pem")


def test_the_region_is_the_inventorys_or_else_the_sources() -> None:
    here = SessionRequest("111122223333", "alice", region="eu-west-2")
    assert module_environment({}, SESSION, here)["AWS_REGION"] == "eu-west-2"
    assert module_environment({}, SESSION, REQUEST)["AWS_DEFAULT_REGION"] == "eu-west-1"


def test_the_controllers_programs_are_found_but_shadow_none() -> None:
    tools = str(Path(sys.executable).parent)
    assert module_environment({"PATH": "/usr/bin"}, SESSION, REQUEST)["PATH"] == f"/usr/bin:{tools}"
    assert module_environment({"PATH": f"{tools}:/usr/bin"}, SESSION, REQUEST)["PATH"] == f"{tools}:/usr/bin"


def test_calls_are_tried_again_more_often_than_by_default_unless_the_caller_says_how_often() -> None:
    environment = module_environment({}, SESSION, REQUEST)
    assert (environment["AWS_RETRY_MODE"], environment["AWS_MAX_ATTEMPTS"]) == ("standard", "9")
    assert module_environment({"AWS_MAX_ATTEMPTS": "2"}, SESSION, REQUEST)["AWS_MAX_ATTEMPTS"] == "2"
