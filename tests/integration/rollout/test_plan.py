# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan of accounts some of which fail. Of those that do not: tests/e2e/operators/test_deployment.py."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.integration.rollout.conftest import DIGESTS, Operator
from tests.integration.rollout.test_rollout import NewOperator
from tests.sandbox.conftest import CHECKOUT, Sandbox

PLAN = CHECKOUT / "playbooks" / "plan.yml"
# Ten hours on ten days of any two weeks.
WEEKDAYS = {
    "time_zone": "Europe/London",
    "days": {day: ["08:00", "18:00"] for day in ("monday", "tuesday", "wednesday", "thursday", "friday")},
    "services": ["frontend", "daemon"],
}


@contextmanager
def without_cloudformation(sandbox: Sandbox, *accounts: str) -> Iterator[None]:
    """Their deploy roles are denied every call."""
    document = {"Version": "2012-10-17", "Statement": {"Effect": "Deny", "Action": "cloudformation:*", "Resource": "*"}}
    policy = {"RoleName": "localgov-deploy", "PolicyName": "no-stacks"}
    clients = [sandbox.client("iam", sandbox.root(account)) for account in accounts]
    for iam in clients:
        iam.put_role_policy(**policy, PolicyDocument=json.dumps(document))
    try:
        yield
    finally:
        for iam in clients:
            iam.delete_role_policy(**policy)


def plan_of(operator: Operator, accounts: str, **variables: Any) -> tuple[int, dict[str, Any]]:  # noqa: ANN401
    """The exit code and what is written for programs."""
    given = {"platform_image_digests": DIGESTS, "report_folder": str(operator.folder), **variables}
    done = operator.runs(PLAN, "--check", "--limit", accounts, "-e", json.dumps(given))
    return done.returncode, json.loads((operator.folder / "plan.json").read_text(encoding="utf-8"))


def test_accounts_that_fail_make_a_plan_incomplete_and_keep_nothing_of_the_others_from_it(
    sandbox: Sandbox, operator: NewOperator
) -> None:
    mine = operator()
    with without_cloudformation(sandbox, "camden", "croydon"):
        code, plan = plan_of(mine, "camden,croydon,sutton", platform_hours=WEEKDAYS)
    assert (code, plan["status"], plan["missing"]) == (2, "incomplete", ["camden", "croydon"])
    found = {account["account"]: account for account in plan["accounts"]}
    created = {change["name"] for change in found["sutton"]["changes"] if change["action"] == "create"}
    assert {"localgov-services", f"localgov-{sandbox.account('sutton')}-rollout"} <= created
    # When it would be on, and what it would cost, needs no stack.
    (outlook,) = plan["outlook"]["accounts"]
    assert (outlook["account"], outlook["unknown"]) == ("sutton", "")
    assert [len(outlook["hours"]["days"]), outlook["hours"]["on"], outlook["hours"]["of"] // 24] == [14, 100, 14]
    costs = outlook["costs"]
    assert costs["monthly"] == pytest.approx(sum(line["monthly"] for line in costs["lines"]))
    assert {"endpoints", "nat", "on demand", "Spot", "its own", "always on"} == {
        choice["choice"] for choice in costs["choices"]
    }
    page = (mine.folder / "plan.html").read_text(encoding="utf-8")
    assert f"About {costs['monthly']:,.2f} USD for all of them" in page
    assert page.count("08:00 to 18:00") == 10


def test_what_an_earlier_plan_said_is_gone_where_a_later_one_ends_before_its_report(
    sandbox: Sandbox, operator: NewOperator
) -> None:
    mine = operator()
    for name in ("plan.json", "plan.html"):
        (mine.folder / name).write_text('{"status": "none"}')
    with without_cloudformation(sandbox, "sutton"):
        code, plan = plan_of(mine, "sutton")
    assert code != 0
    assert plan == {"status": "incomplete", "missing": ["sutton"]}
    assert not (mine.folder / "plan.html").exists()
