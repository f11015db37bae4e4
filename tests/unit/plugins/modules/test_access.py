# SPDX-License-Identifier: GPL-3.0-or-later

"""The faces of both modules: what they document they take, and bad input is refused before AWS is asked."""

from __future__ import annotations

import json
from types import ModuleType
from typing import Any

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args
from ansible_collections.localgov.platform.plugins.modules import access_probe, cross_account_access_info

MODULES = {"access_probe": access_probe, "cross_account_access_info": cross_account_access_info}
CONNECTION = {
    # Nothing listens there: whatever gets as far as AWS fails otherwise than expected here.
    "endpoint_url": "http://127.0.0.1:9",
    "region": "eu-west-2",
    "access_key": "made-up-id",
    "secret_key": "made-up-secret",
}


def assert_documented(documented: dict[str, Any], taken: dict[str, Any]) -> None:
    assert set(documented) == set(taken)
    for name, option in taken.items():
        keys = ("type", "choices", "default", "elements")
        assert {key: documented[name].get(key) for key in keys} == {key: option.get(key) for key in keys}, name
        assert bool(documented[name].get("required")) == bool(option.get("required")), name
        assert_documented(documented[name].get("suboptions", {}), option.get("options", {}))


@pytest.mark.parametrize("name", MODULES)
def test_what_is_documented_is_what_it_takes(name: str) -> None:
    documented = yaml.safe_load(MODULES[name].DOCUMENTATION)
    assert documented["module"] == name
    assert_documented(documented["options"], MODULES[name]._argument_spec())


@pytest.mark.parametrize("name", MODULES)
def test_its_examples_are_tasks_with_options_that_there_are(name: str) -> None:
    options = yaml.safe_load(MODULES[name].DOCUMENTATION)["options"]
    tasks = [task for task in yaml.safe_load(MODULES[name].EXAMPLES) if f"localgov.platform.{name}" in task]
    assert tasks
    for task in tasks:
        assert set(task[f"localgov.platform.{name}"]) <= set(options)


@pytest.mark.parametrize(
    ("module", "arguments", "message"),
    [
        (
            cross_account_access_info,
            {"principals": [{"trials": [{"resource": "arn:aws:s3:::shared", "action": "copy"}]}]},
            "'copy' is not an action of a trial",
        ),
        (
            cross_account_access_info,
            {"principals": [{"trials": [{"resource": "shared", "action": "get"}]}]},
            "'shared' is not the ARN of a bucket",
        ),
        (cross_account_access_info, {}, "missing required arguments: principals"),
        (cross_account_access_info, {"principals": [{"role": "one"}]}, "missing required arguments: trials"),
        (
            cross_account_access_info,
            {"principals": [], "task": {"cluster": "one"}},
            "missing required arguments: security_groups, subnets, task_definition",
        ),
        (access_probe, {"state": "purged"}, "value of state must be one of"),
        (access_probe, {"buckets": [{}]}, "missing required arguments: name"),
        (access_probe, {"roles": [{}]}, "missing required arguments: name"),
    ],
)
def test_bad_input_is_refused_before_aws_is_asked(
    capsys: pytest.CaptureFixture[str], module: ModuleType, arguments: dict[str, Any], message: str
) -> None:
    with patch_module_args({**CONNECTION, **arguments}), pytest.raises(SystemExit):
        module.main()
    failed = json.loads(capsys.readouterr().out)
    assert failed["failed"] is True
    assert message in failed["msg"]
    assert "exception" not in failed


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        (cross_account_access_info, {"principals": [{"trials": [{"resource": "arn:aws:s3:::one", "action": "get"}]}]}),
        (access_probe, {"buckets": [{"name": "one"}]}),
    ],
)
def test_an_unreachable_aws_is_said_without_a_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, module: ModuleType, arguments: dict[str, Any]
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")  # botocore's own pauses between attempts are not waited for
    with patch_module_args({**CONNECTION, **arguments}), pytest.raises(SystemExit):
        module.main()
    failed = json.loads(capsys.readouterr().out)
    assert failed["msg"].startswith("Cannot find out whose session this task has: Could not connect to the endpoint")
    assert "exception" not in failed
