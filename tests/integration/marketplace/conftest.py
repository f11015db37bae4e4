# SPDX-License-Identifier: GPL-3.0-or-later
"""The marketplace of inventories/digital_marketplace, deployed once by site.yml to a sandbox of its own.

The inventory is the shipped one, as it stands. Beside it the playbook is told what only a sandbox needs: the variables
of the sandbox's own inventory, ports that everybody may listen on, and the ARNs of secrets, which AWS makes up.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from sandbox.journey.person import JourneyError, wait_for
from sandbox.runtime.layouts import Source, make, write
from sandbox.sessions import client_of_root
from sandbox.settings import ROOT, Settings, load
from tests.sandbox.conftest import Sandbox

ACCOUNT, PREFIX = "marketplace", "localgov"
INVENTORY = ROOT / "inventories" / "digital_marketplace"
SANDBOX_VARIABLES = ROOT / "inventories" / "sandbox" / "group_vars" / "all"
# On AWS 443 and 80; here everybody may listen on them.
PORTS = {"public": {"port": 8443, "redirect_port": 8081}, "internal": {"port": 8443}}
DOCKERFILE = """\
FROM python:3.11-slim
COPY requirements.lock application.py /srv/
RUN pip install --require-hashes --requirement /srv/requirements.lock
ENV IMAGE={image}
WORKDIR /srv
USER 10001:10001
CMD ["python", "-m", "application", "serve", "0.0.0.0", "8080"]
"""


def declared(name: str) -> dict[str, Any]:
    """A file of the inventory, with its templates as they stand."""
    found: dict[str, Any] = yaml.safe_load((INVENTORY / "group_vars" / "all" / f"{name}.yml").read_text())
    return found


SERVICES: dict[str, dict[str, Any]] = declared("services")["la_services_services"]


@dataclass(frozen=True)
class Marketplace:
    """The account, the values that were put into its secrets, and what a sandbox needs beside the inventory."""

    settings: Settings
    secrets: dict[str, str]
    variables: Path

    def deploy(self, *more: Path) -> subprocess.CompletedProcess[str]:
        """Run site.yml, with more variables than the sandbox's."""
        program = str(Path(sys.executable).parent / "ansible-playbook")
        files = (SANDBOX_VARIABLES / "sandbox.yml", SANDBOX_VARIABLES / "organisation.yml", self.variables, *more)
        return subprocess.run(
            [
                program,
                "-i",
                str(INVENTORY),
                "playbooks/site.yml",
                *(word for file in files for word in ("-e", f"@{file}")),
            ],
            cwd=ROOT,
            env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    def client(self, service: str) -> Any:  # noqa: ANN401 - boto3 has no static types
        return client_of_root(self.settings, ACCOUNT, service)

    def outputs(self, stack: str) -> dict[str, str]:
        (found,) = self.client("cloudformation").describe_stacks(StackName=f"{PREFIX}-{stack}")["Stacks"]
        return {entry["OutputKey"]: entry["OutputValue"] for entry in found["Outputs"]}

    @cached_property
    def public_address(self) -> str:
        outputs = self.outputs("services")
        return f"https://{outputs['PublicBalancerDnsName']}:{outputs['PublicBalancerPort']}"

    def ask(self, path: str, *asked: str) -> dict[str, Any]:
        """What the public balancer answers; `asked` is whom the frontend has to ask, such as `api:/agreements`."""
        answer = requests.get(
            f"{self.public_address}{path}",
            params={"ask": asked},
            verify=str(self.settings.ca_bundle),
            timeout=30,
        )
        assert answer.ok, answer.text
        said: dict[str, Any] = answer.json()
        return said

    def targets(self) -> list[str]:
        """The states of all targets behind both balancers."""
        elbv2 = self.client("elbv2")
        return [
            target["TargetHealth"]["State"]
            for group in elbv2.describe_target_groups()["TargetGroups"]
            for target in elbv2.describe_target_health(TargetGroupArn=group["TargetGroupArn"])[
                "TargetHealthDescriptions"
            ]
        ]


@pytest.fixture(scope="session")
def settings() -> Iterator[Settings]:
    """A running sandbox of this one account, gone afterwards."""
    organisation = str(Path(__file__).parent / "organisation.yml")
    own = {"LOCALGOV_SANDBOX_RUNTIME": "processes", "LOCALGOV_SANDBOX_ORGANISATION": organisation}
    sandbox = Sandbox(ROOT / "build" / "test" / "marketplace", own)
    sandbox.run("reset")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**own, "LOCALGOV_SANDBOX_DIR": str(sandbox.folder)}.items():
            patch.setenv(name, value)
        try:
            sandbox.start()
            yield load()
        finally:
            sandbox.run("reset")


@pytest.fixture(scope="session")
def layouts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image for each application, which knows its own name; and the platform's own, which prepares the database."""
    folder = tmp_path_factory.mktemp("layouts")
    for image, entry in declared("images")["platform_images"].items():
        if "target" in entry:
            shutil.copytree(ROOT / "build" / "images" / "layouts" / entry["target"], folder / image)
            continue
        project = tmp_path_factory.mktemp(image)
        (project / "Dockerfile").write_text(DOCKERFILE.format(image=image))
        shutil.copy(Path(__file__).parent / "application.py", project)
        # Only for the driver of PostgreSQL: what this lock locks is here already.
        shutil.copy(ROOT / "files" / "dagster" / "instance" / "requirements.lock", project)
        write(make(Source(project)), folder / image)
    return folder


@pytest.fixture(scope="session")
def marketplace(settings: Settings, layouts: Path, tmp_path_factory: pytest.TempPathFactory) -> Marketplace:
    values = {name: uuid.uuid4().hex for name in declared("account")["marketplace_secrets"]}
    manager = client_of_root(settings, ACCOUNT, "secretsmanager")
    arns = {
        name: manager.create_secret(Name=f"marketplace/{name}", SecretString=value)["ARN"]
        for name, value in values.items()
    }
    given = {
        "platform_image_layouts": str(layouts),
        "marketplace_secrets": arns,
        # Nobody resolves the certificate's name here.
        "marketplace_internal_host_name": "",
        "la_services_balancers": {
            name: {**balancer, **PORTS[name]}
            for name, balancer in declared("services")["la_services_balancers"].items()
        },
    }
    variables = tmp_path_factory.mktemp("variables") / "sandbox.json"
    variables.write_text(json.dumps(given))
    found = Marketplace(settings, values, variables)
    deployed = found.deploy()
    assert deployed.returncode == 0, deployed.stdout[-4000:]
    healthy = ["healthy"] * sum(service["desired_count"] for service in SERVICES.values())
    with suppress(JourneyError):
        wait_for(lambda: found.targets() == healthy, "a healthy target for each task", 120)
    assert found.targets() == healthy
    return found
