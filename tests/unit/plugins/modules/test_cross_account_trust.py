# SPDX-License-Identifier: GPL-3.0-or-later

"""The module's face: what it documents it takes, and bad input is refused before AWS is asked."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args
from ansible_collections.localgov.platform.plugins.module_utils import _policy_stores as stores
from ansible_collections.localgov.platform.plugins.modules import cross_account_trust as module

DOCUMENTED = yaml.safe_load(module.DOCUMENTATION)
GOOD = {
    "resource": "shared",
    "resource_type": "s3_bucket",
    "access": "read",
    "organisation_id": "o-a1b2c3d4e5",
    "organisational_unit_paths": ["o-a1b2c3d4e5/r-ab12/ou-ab12-11111111/*"],
    "role_patterns": ["localgov-run-task"],
    # Nothing listens there: whatever gets as far as AWS fails otherwise than expected here.
    "endpoint_url": "http://127.0.0.1:9",
    "region": "eu-west-2",
    "access_key": "made-up-id",
    "secret_key": "made-up-secret",
}


def test_what_is_documented_is_what_it_takes() -> None:
    taken = module._argument_spec()
    assert set(DOCUMENTED["options"]) == set(taken)
    for name, option in taken.items():
        documented = {key: DOCUMENTED["options"][name].get(key) for key in ("type", "choices", "default", "elements")}
        assert documented == {key: option.get(key) for key in documented}, name
        assert bool(DOCUMENTED["options"][name].get("required")) == bool(option.get("required")), name


def test_its_examples_are_tasks_with_options_that_there_are() -> None:
    for task in yaml.safe_load(module.EXAMPLES):
        assert set(task["localgov.platform.cross_account_trust"]) <= set(DOCUMENTED["options"])


def test_each_permission_that_an_error_asks_for_is_documented() -> None:
    asked_for = set(re.findall(r"(?<=[\" ])[a-z0-9]+:[A-Z]\w+(?=[\" ])", Path(str(stores.__file__)).read_text()))
    (documented,) = [note for note in DOCUMENTED["notes"] if note.startswith("Permissions")]
    assert {"kms:TagResource", "s3:GetBucketLocation", "iam:GetRolePolicy"} <= asked_for
    assert asked_for - set(re.findall(r"C\((\w+:\w+)\)", documented)) == set()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"organisation_id": None}, "this lacks the organisation's (organisation_id)"),
        ({"role_patterns": None}, "this lacks the role's (role_patterns or role_arns)"),
        ({"sid": "not a Sid"}, "letters and digits"),
        ({"expires": "soon"}, "is neither a date"),
        ({"actions": ["s3:GetObject"]}, "mutually exclusive: access|actions"),
        ({"resource_type": "lambda"}, "value of resource_type must be one of"),
        ({"state": "absent", "sid": ""}, "letters and digits"),
    ],
)
def test_bad_input_is_refused_before_aws_is_asked(
    capsys: pytest.CaptureFixture[str], change: dict[str, Any], message: str
) -> None:
    arguments = {name: value for name, value in {**GOOD, **change}.items() if value is not None}
    with patch_module_args(arguments), pytest.raises(SystemExit):
        module.main()
    failed = json.loads(capsys.readouterr().out)
    assert failed["failed"] is True
    assert message in failed["msg"]
    assert "exception" not in failed
