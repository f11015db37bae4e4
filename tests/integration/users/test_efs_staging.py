# SPDX-License-Identifier: GPL-3.0-or-later
"""Handing a file over by the module and the playbook, and asking what is left."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.integration.users.conftest import PASSWORD, Workflow, lines, user


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "users.jsonl"
    path.write_bytes(lines(user(f"ada-{uuid.uuid4().hex[:8]}")))
    return path


def hand_over(workflow: Workflow, file: Path, **options: Any) -> dict[str, Any]:  # noqa: ANN401 - of any option
    return workflow.module("efs_staging", src=str(file), bucket=workflow.uploads, target="alice", **options)


def test_a_file_is_handed_over_once_and_again_when_that_is_wanted(workflow: Workflow, file: Path) -> None:
    foreseen = hand_over(workflow, file, check=True)
    assert (foreseen["changed"], foreseen["receipt"]) == (True, None)
    first = hand_over(workflow, file)
    assert first["changed"] is True
    assert first["receipt"]["counts"]["created"] == 1
    again = hand_over(workflow, file)
    assert again["changed"] is False
    assert again["receipt"] == first["receipt"]
    forced = hand_over(workflow, file, force=True)
    assert forced["changed"] is True
    assert forced["receipt"]["counts"]["exists"] == 1


def test_a_file_with_mistakes_never_leaves(workflow: Workflow, file: Path) -> None:
    file.write_bytes(lines(user("ada"), user("ada")) + b"{")
    said = hand_over(workflow, file)
    assert said["failed"] is True
    assert [problem["line"] for problem in said["problems"]] == [2, 3]
    assert PASSWORD not in json.dumps(said)
    assert workflow.residue()["objects"] == []


def test_lines_that_failed_fail_the_module_by_number(workflow: Workflow, file: Path) -> None:
    file.write_bytes(file.read_bytes() + lines(user("bad", role="unheard-of")))
    said = hand_over(workflow, file)
    assert said["failed"] is True
    assert [line["line"] for line in said["failed_lines"]] == [2]
    assert "line 2 the script ended with exit code 1" in said["msg"]
    assert PASSWORD not in json.dumps(said)


def test_what_is_on_its_way_can_be_seen_by_name_and_what_has_gone_cannot(workflow: Workflow, file: Path) -> None:
    deployer = workflow.sandbox.deployer("camden")
    with workflow.turn_taken():
        sent = hand_over(workflow, file, wait=False)
        seen = workflow.module("efs_staging_info", deployer)
        assert [upload["key"] for upload in seen["uploads"]] == [sent["upload"]["key"]]
        assert seen["empty"] is False
    workflow.receipt(sent["upload"]["key"], sent["upload"]["version"])
    assert workflow.module("efs_staging_info", deployer)["empty"] is True


def test_who_waits_no_longer_is_told_that_the_workflow_goes_on(workflow: Workflow, file: Path) -> None:
    with workflow.turn_taken():
        said = hand_over(workflow, file, timeout=2)
    assert said["failed"] is True
    assert "The workflow goes on" in said["msg"]
    workflow.receipt(said["upload"]["key"], said["upload"]["version"])
