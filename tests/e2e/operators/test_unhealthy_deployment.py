# SPDX-License-Identifier: GPL-3.0-or-later
"""An image that never becomes healthy, in one account: taken back, explained, and nobody else's business."""

from __future__ import annotations

import json
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from sandbox.journey.organisation import Organisation
from sandbox.journey.person import answers, upload, wait_for_result
from sandbox.sessions import client_of_root
from sandbox.settings import Settings
from tests.e2e.conftest import Playbook, failures, sample
from tests.e2e.layouts import with_changed_command, with_image

UNHEALTHY, OTHERS = "croydon", ("camden", "sutton", "hub")
CONTACT = "support@example.org"
# It says what is wrong, a secret included that must not be shown, and ends.
PROGRAM = "print('There is no setting CROSSING. password=hunter22', flush=True); import time; time.sleep(2); exit(3)"


@dataclass(frozen=True)
class Images:
    folder: Path
    digests: dict[str, str]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Images:
    """The images' layouts, with a frontend that never becomes healthy."""
    folder = tmp_path_factory.mktemp("images")
    broken = with_changed_command("files/frontend", json.dumps(["python", "-c", PROGRAM]), folder)
    return Images(folder / "layouts", with_image("frontend", broken, folder / "layouts"))


@pytest.fixture(scope="module")
def inventory(images: Images, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A change for every account, and that image for one."""
    environment = {"UPLOAD_ENDPOINT_URL": "{{ sandbox.browser_endpoint_url }}", "SUPPORT_CONTACT": CONTACT}
    hosts: dict[str, Any] = {name: {"la_services_frontend_environment": environment} for name in (UNHEALTHY, *OTHERS)}
    hosts[UNHEALTHY]["platform_image_digests"] = images.digests
    path = tmp_path_factory.mktemp("inventory") / "hosts.yml"
    path.write_text(json.dumps({"all": {"hosts": hosts}}))
    return path


@pytest.mark.slow
def test_an_image_that_never_becomes_healthy_is_taken_back_and_explained_and_the_other_accounts_go_on(
    settings: Settings, organisation: Organisation, playbook: Playbook, images: Images, inventory: Path
) -> None:
    before = frontend(settings, UNHEALTHY)
    pushed = playbook("images", "-e", f"platform_image_layouts={images.folder}")
    assert pushed.returncode == 0, failures(pushed)
    with asked_all_the_while(organisation.frontend(UNHEALTHY)) as unanswered:
        run = playbook("site", "-i", str(inventory))
    assert run.returncode == 2, failures(run)
    said = explanation(run)
    assert f"The services of {UNHEALTHY} could not be deployed" in said
    assert re.search(
        r"Service frontend failed 3 times, the last time with task [0-9a-f-]{32,36} of localgov-frontend:", said
    )
    assert f"container frontend: exit code 3; image {images.digests['frontend']}" in said
    assert "There is no setting CROSSING. password=********" in said
    assert "The stack localgov-services is back as it was before" in said
    assert re.search(r"What CloudFormation said: .*ECS Deployment Circuit Breaker was triggered", said)

    assert unanswered == [], "the old frontend answers all the while"
    assert frontend(settings, UNHEALTHY) == before
    assert stack(settings, UNHEALTHY) == "UPDATE_ROLLBACK_COMPLETE"
    for account in OTHERS:
        assert CONTACT in json.dumps(frontend(settings, account)["environment"])
        assert stack(settings, account) == "UPDATE_COMPLETE"
    sent = upload(organisation.frontend(UNHEALTHY), sample("header.csv"))
    assert wait_for_result(sent) == "accepted"


@pytest.mark.slow
def test_a_first_deployment_that_fails_is_explained_too_and_leaves_room_for_the_next(
    settings: Settings, organisation: Organisation, playbook: Playbook, inventory: Path
) -> None:
    gone = playbook("teardown", "--limit", UNHEALTHY)
    assert gone.returncode == 0, failures(gone)
    said = explanation(playbook("site", "--limit", UNHEALTHY, "-i", str(inventory)))
    assert "Service frontend failed 3 times" in said
    assert "What its first creation left was removed" in said
    back = playbook("site", "--limit", UNHEALTHY)
    assert back.returncode == 0, failures(back)
    assert answers(organisation.frontend(UNHEALTHY))


def explanation(run: subprocess.CompletedProcess[str]) -> str:
    """What the failed task says, as a person reads it."""
    (said,) = re.findall(
        rf"^fatal: \[{UNHEALTHY}\]: FAILED! => (?:\n .*)+could not be deployed.*(?:\n .*)+", run.stdout, re.MULTILINE
    )
    return str(said)


def frontend(settings: Settings, account: str) -> dict[str, Any]:
    """What the account's frontend runs: its task, task definition, image and environment."""
    ecs = client_of_root(settings, account, "ecs")
    arns = ecs.list_tasks(cluster="localgov", serviceName="frontend", desiredStatus="RUNNING")["taskArns"]
    definition = ecs.describe_services(cluster="localgov", services=["frontend"])["services"][0]["taskDefinition"]
    described = ecs.describe_task_definition(taskDefinition=definition)["taskDefinition"]
    (container,) = described["containerDefinitions"]
    return {
        "tasks": arns,
        "definition": definition,
        "status": described["status"],
        "image": container["image"],
        "environment": container["environment"],
    }


def stack(settings: Settings, account: str) -> str:
    client = client_of_root(settings, account, "cloudformation")
    status: str = client.describe_stacks(StackName="localgov-services")["Stacks"][0]["StackStatus"]
    return status


@contextmanager
def asked_all_the_while(frontend: str) -> Iterator[list[str]]:
    """Ask a frontend after its health, and collect what was wrong."""
    over, wrong = threading.Event(), list[str]()

    def ask() -> None:
        while not over.wait(0.5):
            try:
                requests.get(f"{frontend}/health", timeout=20).raise_for_status()
            except requests.RequestException as reason:
                wrong.append(str(reason))

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield wrong
    finally:
        over.set()
        thread.join()
