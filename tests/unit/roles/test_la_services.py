# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role says twice, because ECS leaves it no other way, is the same in both places."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
HEALTH = yaml.safe_load((ROOT / "roles/la_services/vars/main.yml").read_text())["__la_services_health"]
DOCKERFILES = {
    "frontend": ("files/frontend/Dockerfile", "localgov_frontend"),
    "dagit": ("files/dagster/instance/Dockerfile", "webserver"),
    "daemon": ("files/dagster/instance/Dockerfile", '"daemon"'),
    "code_server": ("files/dagster/code_server/Dockerfile", "localgov_pipeline"),
}


def health_check(dockerfile: str, started_by: str) -> list[str]:
    """The HEALTHCHECK of the stage whose CMD, which follows it, names the program."""
    pairs = re.findall(r"^HEALTHCHECK .*\\\n\s+CMD (\[.*\])\nCMD (\[.*\])$", dockerfile, flags=re.MULTILINE)
    (found,) = [check for check, command in pairs if started_by in command]
    words: list[str] = json.loads(found)
    return words


@pytest.mark.parametrize("service", DOCKERFILES)
def test_ecs_asks_after_a_services_health_as_its_dockerfile_does(service: str) -> None:
    path, started_by = DOCKERFILES[service]
    assert HEALTH[service] == ["CMD", *health_check((ROOT / path).read_text(), started_by)]


def test_every_health_check_of_the_role_is_compared() -> None:
    assert HEALTH.keys() == DOCKERFILES.keys()


def test_the_words_at_which_an_alarm_goes_off_are_those_that_are_logged() -> None:
    declared = yaml.safe_load((ROOT / "roles/la_services/defaults/main.yml").read_text())["la_services_services"]
    pipeline = ROOT / "files/dagster/code_server/src/localgov_pipeline/defs/local_authority"
    for service, file in (("run", "rejection.py"), ("code_server", "stage1_upload.py")):
        assert declared[service]["alarm_at"]
        logged = (pipeline / file).read_text()
        for words in declared[service]["alarm_at"]:
            assert re.search(rf'log\.error\(\s*f?"{words}', logged), words


def test_both_images_that_open_the_database_know_it_by_the_same_certificates() -> None:
    known = {
        (ROOT / f"files/dagster/{image}/rds-root-certificates.pem").read_text() for image in ("instance", "code_server")
    }
    (certificates,) = known
    assert "RDS eu-west-2 Root CA RSA2048 G1" in certificates


def test_whoever_goes_in_to_the_web_interface_may_forward_a_port_and_open_no_shell() -> None:
    policy = json.loads((ROOT / "docs/webserver-policy.json").read_text())
    begin, own = policy["Statement"]
    assert begin["Action"] == "ssm:StartSession"
    documents = [arn for arn in begin["Resource"] if ":document/" in arn]
    assert documents == ["arn:aws:ssm:*::document/AWS-StartPortForwardingSession"]
    assert own["Resource"].endswith(":session/${aws:userid}-*")
    assert "ecs:ExecuteCommand" not in json.dumps(policy)
