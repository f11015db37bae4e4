# SPDX-License-Identifier: GPL-3.0-or-later
"""What a report makes of the results of tasks."""

from __future__ import annotations

from typing import Any

from ansible_collections.localgov.platform.plugins.plugin_utils._rollout_report import Rollout, reason

STACKS = "amazon.aws.cloudformation"


def stack(name: str, **result: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever a module says
    return {"invocation": {"module_args": {"stack_name": name, "state": "present"}}, **result}


def ran(rollout: Rollout, host: str, result: dict[str, Any], seconds: float = 1.0, action: str = STACKS) -> None:
    rollout.begin(host, "task", 10.0)
    rollout.end(host, "task", action, result, 10.0 + seconds)


def test_the_reason_of_a_stack_is_its_first_resource_that_failed_and_none_that_was_given_up() -> None:
    latest_first = [
        "AWS::ECS::Service Daemon CREATE_FAILED: Resource creation cancelled",
        "AWS::EC2::Subnet Private CREATE_FAILED: The CIDR '10.0.0.0/24' conflicts with another subnet",
    ]
    failed = stack("localgov-network", failed=True, output="Problem with CREATE. Rollback complete", log=latest_first)
    assert reason(STACKS, failed) == (
        "localgov-network: AWS::EC2::Subnet Private CREATE_FAILED: The CIDR '10.0.0.0/24' conflicts with another subnet"
    )


def test_a_stack_of_which_no_resource_failed_is_told_as_the_module_tells_it() -> None:
    failed = stack(
        "localgov-network", failed=True, msg="Unknown error.", output="Stack create failed. Delete complete.", log=[]
    )
    assert reason(STACKS, failed) == "localgov-network: Stack create failed. Delete complete."


def test_a_call_that_aws_refuses_is_told_in_its_words() -> None:
    refused = stack("localgov-network", failed=True, msg="Failed to create stack: An error occurred (AccessDenied)")
    assert reason(STACKS, refused) == "Failed to create stack: An error occurred (AccessDenied)"


def test_of_a_loop_the_first_item_that_failed_counts() -> None:
    results = {
        "msg": "One or more items failed",
        "results": [{"changed": True}, {"failed": True, "msg": "no such bucket"}],
    }
    assert reason("amazon.aws.s3_bucket", results) == "no such bucket"


def test_an_account_has_its_stacks_changes_and_own_seconds() -> None:
    rollout = Rollout()
    ran(rollout, "camden", stack("localgov-network", changed=True), 2.0)
    ran(rollout, "camden", stack("localgov-services", changed=False), 0.5)
    ran(rollout, "camden", {"changed": True}, 0.25, "amazon.aws.s3_bucket")
    rollout.close({}, [])
    (camden,) = rollout.report()["accounts"]
    assert (camden["outcome"], camden["changes"], camden["seconds"]) == ("done", 2, 2.8)
    assert camden["stacks"] == [
        {"name": "localgov-network", "outcome": "changed", "seconds": 2.0},
        {"name": "localgov-services", "outcome": "unchanged", "seconds": 0.5},
    ]


def test_a_failure_that_was_rescued_is_none() -> None:
    rollout = Rollout()
    rollout.fail("camden", "Deploy", STACKS, {"msg": "no"})
    rollout.close({}, [])
    (camden,) = rollout.report()["accounts"]
    assert (camden["outcome"], camden["failure"]) == ("done", None)


def test_the_last_failure_is_the_one_that_explains_the_first() -> None:
    rollout = Rollout()
    rollout.fail("camden", "Deploy", STACKS, {"msg": "Rollback complete"})
    rollout.fail("camden", "Explain", "ansible.builtin.fail", {"msg": "The frontend's health check failed"})
    rollout.close({}, ["camden"])
    (camden,) = rollout.report()["accounts"]
    assert camden["failure"] == {"task": "Explain", "reason": "The frontend's health check failed"}


def outcomes(rollout: Rollout) -> dict[str, str]:
    return {account["name"]: account["outcome"] for account in rollout.report()["accounts"]}


def test_a_failure_that_a_rescue_passes_on_in_its_words_is_told_as_the_one_it_was() -> None:
    rollout = Rollout()
    rollout.fail("camden", "Deploy", STACKS, stack("localgov-network", msg="no", output="Rollback complete", log=[]))
    rollout.fail("camden", "Fail as the deployment failed", "ansible.builtin.fail", {"msg": "no"})
    rollout.close({}, ["camden"])
    (camden,) = rollout.report()["accounts"]
    assert camden["failure"] == {"task": "Deploy", "reason": "localgov-network: Rollback complete"}


def test_an_account_that_the_rollout_did_not_come_to_is_unfinished() -> None:
    rollout = Rollout()
    rollout.fail("camden", "Connect", "", {"msg": "no role"}, reached=False)
    rollout.close({"authorities": ["camden", "croydon"]}, ["camden"])
    assert outcomes(rollout) == {"camden": "unreachable", "croydon": "unfinished"}


def test_an_account_is_done_when_it_has_finished_each_of_its_plays() -> None:
    rollout = Rollout()
    rollout.finish("look", ["camden", "croydon"])
    rollout.finish("authorities", ["camden"])
    ran(rollout, "croydon", {})
    rollout.close({"look": ["camden", "croydon"], "authorities": ["camden", "croydon"]}, [])
    assert outcomes(rollout) == {"camden": "done", "croydon": "unfinished"}
