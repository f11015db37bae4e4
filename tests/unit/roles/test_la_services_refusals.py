# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a declaration the role refuses before it changes anything, whatever the services are called."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
ROLE = ROOT / "roles" / "la_services"
SIGNED_IN_TO: dict[str, Any] = {"portal": {"tier": "frontend", "signs_in": True, "desired_count": 2}}
NOBODY_SIGNS_IN: dict[str, Any] = {"frontend": {"tier": "frontend", "desired_count": 2}}


def play(services: dict[str, Any], sign_in: str) -> dict[str, Any]:
    declared = {"la_services_services": services, "la_services_sign_in": sign_in}
    return play_of(task("present", "Refuse services that could not go on with each other's uploads"), declared)


def task(file: str, name: str) -> dict[str, Any]:
    tasks = yaml.safe_load((ROLE / "tasks" / f"{file}.yml").read_text())
    (found,) = [one for one in tasks if one["name"] == name]
    return dict(found)


def play_of(refusal: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
    return {
        "hosts": "localhost",
        "gather_facts": False,
        "vars_files": [str(ROLE / "vars" / "main.yml")],
        "vars": variables,
        "tasks": [{**refusal, "ignore_errors": True}],
    }


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What is said of each declaration; nothing where it is taken."""
    alone = {"portal": {**SIGNED_IN_TO["portal"], "desired_count": 1}, "run": {"signs_in": True}}
    declarations = [(SIGNED_IN_TO, "none"), (SIGNED_IN_TO, "cognito"), (NOBODY_SIGNS_IN, "none"), (alone, "none")]
    return said([play(*declaration) for declaration in declarations], tmp_path_factory.mktemp("refusals"))


def said(plays: list[dict[str, Any]], folder: Path) -> list[str]:
    """What each play's only task said where it failed."""
    (folder / "playbook.yml").write_text(yaml.safe_dump(plays))
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), "-i", "localhost,", "-c", "local", "playbook.yml"],
        cwd=folder,
        env={
            **os.environ,
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "build" / "collections"),
            "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    results = [one["tasks"][0]["hosts"]["localhost"] for one in json.loads(done.stdout)["plays"]]
    return [result["msg"] if result.get("failed") else "" for result in results]


def test_several_tasks_to_which_people_sign_in_need_the_key_that_comes_with_the_sign_in(refused: list[str]) -> None:
    without, with_sign_in, *_ = refused
    assert "localhost declares several tasks of portal" in without
    assert "la_services_sign_in: cognito, or desired_count: 1" in without
    assert with_sign_in == ""


def test_several_tasks_to_which_nobody_signs_in_or_one_alone_are_taken(refused: list[str]) -> None:
    assert refused[2:] == ["", ""]


def test_a_count_may_be_written_as_a_text(tmp_path: Path) -> None:
    counts = ["2", "{{ 1 + 1 }}", "1", ""]
    plays = [play({"portal": {"signs_in": True, "desired_count": count}}, "none") for count in counts]
    two, calculated, one, none = said(plays, tmp_path)
    assert two.startswith("localhost declares several tasks of portal")
    assert calculated == two
    assert (one, none) == ("", "")


def test_roles_of_two_states_that_no_request_takes_are_refused_before_they_are_deployed(tmp_path: Path) -> None:
    refusal = task("roles", "Refuse more roles than a request takes")
    sizes = [{"__la_services_roles_of_both": "x" * size} for size in (51200, 51201)]
    fits, does_not = said([play_of(refusal, size) for size in sizes], tmp_path)
    assert fits == ""
    assert "makes a template of 51201 bytes, and a request takes 51200" in does_not
    assert "Change fewer services at once" in does_not


def test_what_has_to_be_alone_is_refused_twice(tmp_path: Path) -> None:
    refusal = task("present", "Refuse several of what has to be alone")
    declarations: list[dict[str, Any]] = [
        {"scheduler": {"alone": True, "desired_count": 2}, "portal": {"desired_count": 2}},
        {"scheduler": {"alone": True}, "idle": {"alone": True, "desired_count": 0}, "portal": {"desired_count": 2}},
    ]
    plays = [play_of(refusal, {"la_services_services": services}) for services in declarations]
    two, one = said(plays, tmp_path)
    assert "localhost declares several tasks of scheduler, of which there may be one at a time" in two
    assert one == ""


def test_an_image_of_which_nobody_knows_the_digest_is_refused_before_anything_is_changed(tmp_path: Path) -> None:
    refusal = task("present", "Refuse images of which nobody knows the digest")
    declared = {"portal": {"image": "portal", "init": {"image": "migrations", "command": []}}}
    plays = [
        play_of(
            refusal,
            {
                "la_services_services": declared,
                "la_services_code_locations": {},
                "la_services_name_prefix": "localgov",
                "la_services_image_digests": dict.fromkeys(known, "sha256:0"),
            },
        )
        for known in (["portal", "migrations"], ["portal"])
    ]
    known, unknown = said(plays, tmp_path)
    assert known == ""
    assert "localhost declares services of migrations, and la_services_image_digests has only portal." in unknown
    assert "name it there and in org_ecr_images" in unknown
