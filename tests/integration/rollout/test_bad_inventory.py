# SPDX-License-Identifier: GPL-3.0-or-later
"""Mistakes in an inventory, one for each account: all are told at once, before AWS is asked anything.

What an operator reads is kept in build/bench/bad-inventory.txt, and shown in docs/refusals.md.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.sandbox.conftest import CHECKOUT

MESSAGES = CHECKOUT / "build" / "bench" / "bad-inventory.txt"
DOCUMENT = CHECKOUT / "docs" / "refusals.md"
SERVICE = {"image": "web", "tier": "private", "port": 8080, "desired_count": 1}
NO_ARN = "not-an-arn"


def services(**changes: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever somebody may write
    """A declaration of one service, web, with a mistake."""
    return {"la_services_services": {"web": {**SERVICE, **changes}}}


# Account: what somebody wrote, and what they are told: the variable, what it says, and what is expected.
MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "unquoted-id": ({"ansible_aws_account_id": 300000000099}, r"ansible_aws_account_id is 300000000099.*in quotes"),
    "octal-id": ({"ansible_aws_account_id": 0o12345670123}, r'ansible_aws_account_id is 1402433619.*"012345670123"'),
    "short-id": ({"ansible_aws_account_id": "30000000009"}, r'ansible_aws_account_id is "30000000009".*twelve digits'),
    "no-id": ({"ansible_aws_account_id": None}, r"no account id.*twelve digits in quotes"),
    "same-id": (
        {"ansible_aws_account_id": "100000000001"},
        r"ansible_aws_account_id is '100000000001', as that of good is",
    ),
    "role-of-another": (
        {"ansible_aws_account_role": "arn:aws:iam::999999999999:role/deploy"},
        r"ansible_aws_account_role is a role of account 999999999999",
    ),
    "role-with-blanks": ({"ansible_aws_account_role": "my role"}, r'ansible_aws_account_role is "my role"'),
    "short-session": ({"ansible_aws_account_duration": 60}, r"ansible_aws_account_duration is 60.*900 to 43200"),
    "session-name": (
        {"ansible_aws_account_session_name": "a/b"},
        r'ansible_aws_account_session_name is "a/b".*letters',
    ),
    "misspelt-connection": (
        {"ansible_aws_account_rol": "x"},
        r"ansible_aws_account_rol is no .*ansible_aws_account_role",
    ),
    "region": ({"platform_region": "eu-wset-2"}, r"platform_region is 'eu-wset-2'; .*eu-west-2"),
    "no-region": ({"platform_region": None}, r"platform_region is None; .*eu-west-2"),
    "organisation-id": (
        {"platform_organisation_id": "a1b2c3d4e5"},
        r"platform_organisation_id is 'a1b2c3d4e5'; .*o-a1b2c3d4e5",
    ),
    "unit-without-star": (
        {"platform_organisational_unit_paths": ["o-a1b2c3d4e5/r-ab12/ou-ab12-11111111"]},
        r"platform_organisational_unit_paths is a list; .*ends in /\*",
    ),
    "unit-of-another": (
        {"platform_organisational_unit_paths": ["o-zzzzzzzzzz/r-ab12/ou-ab12-11111111/*"]},
        r"platform_organisational_unit_paths is 'o-zzzzzzzzzz/.*expected is a path of .*o-a1b2c3d4e5",
    ),
    "prefix": ({"platform_name_prefix": "LocalGov"}, r"platform_name_prefix is 'LocalGov'; .*lower-case"),
    "no-range": ({"platform_cidr": None}, r"platform_cidr is missing; .*10\.0\.16\.0/20"),
    "small-range": ({"platform_cidr": "10.99.0.0/24"}, r"platform_cidr: 10\.99\.0\.0/24 is /24; .*from /16 to /20"),
    "public-range": ({"platform_cidr": "52.0.0.0/20"}, r"platform_cidr: 52\.0\.0\.0/20 is not private"),
    "unaligned-range": ({"platform_cidr": "10.99.1.0/20"}, r"platform_cidr: '10\.99\.1\.0/20'.*host bits"),
    "overlapping-range": (
        {"platform_cidr": "10.0.0.0/18"},
        r"platform_cidr is 10\.0\.0\.0/18, which overlaps 10\.0\.0\.0/20 of good",
    ),
    "zones": ({"platform_zones": 4}, r"platform_zones is 4; expected is 2 or 3"),
    "egress": ({"platform_egress": "internet"}, r"platform_egress is 'internet'; expected is endpoints or nat or none"),
    "share": ({"platform_share": "yes"}, r"platform_share is 'yes'; expected is granted or revoked"),
    "prefixes": ({"platform_share_prefixes": "census"}, r"platform_share_prefixes is 'census'; expected is a list"),
    "expires": ({"platform_share_expires": "31/03/2027"}, r"platform_share_expires is '31/03/2027'; .*2027-03-31"),
    "encryption": ({"platform_shared_encryption": "kms"}, r"platform_shared_encryption is 'kms'; .*aws:kms"),
    "day": (
        {"platform_hours": {"days": {"mon": ["08:00", "18:00"]}}},
        r"platform_hours: days: 'mon' is no day of the week",
    ),
    "time-zone": (
        {"platform_hours": {"time_zone": "London", "days": {"monday": ["08:00", "18:00"]}, "services": ["frontend"]}},
        r"platform_hours: time_zone: 'London' is no time zone.*Europe/London",
    ),
    "address": (
        {"platform_public_url": "https://upload.example/start"},
        r"platform_public_url is 'https://upload.example/start'; .*without a path",
    ),
    "plain-address": (
        {"platform_public_url": "http://upload.example"},
        r"platform_public_url is 'http://upload.example'; .*https",
    ),
    "sign-in": ({"platform_sign_in": "saml"}, r"platform_sign_in is 'saml'; expected is cognito or none"),
    "saml": (
        {"platform_sign_in_saml": {"provider": "council"}},
        r"platform_sign_in_saml is a mapping; expected is provider.*metadata_url",
    ),
    "second-factor": (
        {"platform_sign_in_mfa": True},
        r"platform_sign_in_mfa is True; expected is required or optional or none",
    ),
    "people-elsewhere": (
        {"platform_add_users_image": "frontend", "platform_sign_in": "none"},
        r"platform_add_users_image is 'frontend'.*expected is platform_sign_in: cognito",
    ),
    "image-by-tag": (
        {"platform_add_users_image": "add-users:latest"},
        r"platform_add_users_image is 'add-users:latest'; .*digest",
    ),
    "digests": (
        {"platform_image_digests": {"frontend": "latest"}},
        r"platform_image_digests is a mapping; .*sha256:",
    ),
    "topics": ({"platform_alarm_topics": [NO_ARN]}, r"platform_alarm_topics is a list; .*ARNs"),
    "misspelt": (
        {"platform_cird": "10.99.0.0/20"},
        r"platform_cird is no variable that is read; expected is perhaps platform_cidr",
    ),
    "misspelt-of-a-role": (
        {"la_services_databse_kind": "instance"},
        r"la_services_databse_kind is no .*la_services_database_kind",
    ),
    "choice-of-a-role": (
        {"la_services_database_kind": "aurora"},
        r"la_services_database_kind is 'aurora'; expected is instance or serverless",
    ),
    "number-of-a-role": (
        {"la_services_log_retention_days": "ninety"},
        r"la_services_log_retention_days is 'ninety'; expected is a whole number: Days",
    ),
    "list-of-a-role": ({"la_network_endpoints": "ecs"}, r"la_network_endpoints is 'ecs'; expected is a list"),
    "secret-of-a-role": (
        {"add_users_stepfn_secrets": "hunter2"},
        r"add_users_stepfn_secrets is not as expected; expected is a mapping",
    ),
    "unknown-target": (
        services(connects_to=["api"]),
        r"la_services_services: service 'web' connects_to 'api', which is not declared; declared are",
    ),
    "circle": (
        {
            "la_services_services": {
                "web": {**SERVICE, "connects_to": ["api"]},
                "api": {**SERVICE, "connects_to": ["web"]},
            }
        },
        r"la_services_services: connects_to goes in a circle, api to web to api; expected is",
    ),
    "no-port": (
        {
            "la_services_services": {
                "web": {**SERVICE, "connects_to": ["api"]},
                "api": {"image": "api", "tier": "private"},
            }
        },
        r"la_services_services: service 'web' connects_to 'api', which declares no port; give 'api' a port",
    ),
    "no-image": (services(image=""), r"la_services_services: web has no image; expected is the name"),
    "unknown-image": (
        services(image="wbe"),
        r"la_services_services: web has the image 'wbe', which nobody pushes; expected is one of api, frontend, web",
    ),
    "unknown-image-beside": (
        services(init=[{"image": "prepare"}]),
        r"la_services_services: web has the image 'prepare', which nobody pushes; expected is one of api",
    ),
    "image-of-a-location": (
        {"la_services_code_locations": {"census": {"image": "census"}}},
        r"la_services_code_locations: census has the image 'census', which nobody pushes; expected is one of api",
    ),
    "agreement": (
        {"platform_share_agreement": {"keep_published": True}},
        r"platform_share_agreement is a mapping; expected is keep_published",
    ),
    "port": (services(port=80800), r"la_services_services: web has port: 80800; .*from 1 to 65535"),
    "count": (services(desired_count=-1), r"la_services_services: web has desired_count: -1; .*from 0"),
    "tier": (
        services(tier="public"),
        r"la_services_services: web has the tier 'public'; expected is frontend or dagit or private",
    ),
    "location": (
        services(reads=["datastore/x"]),
        r"la_services_services: web names the location 'datastore/x'; expected is one of data_store",
    ),
    "misspelt-key": (
        services(enviroment={}),
        r"la_services_services: web has 'enviroment', which is not known; .*environment",
    ),
    "secret": (
        services(secrets={"TOKEN": "hunter2"}),
        r"la_services_services: web has the secret TOKEN, which names none; .*never the secret",
    ),
    "no-mapping": (
        {"la_services_services": {"web": "web:latest"}},
        r"la_services_services: web is 'web:latest'; expected is a mapping",
    ),
    "list-of-secrets": (services(secrets=["a"]), r"web has secrets: a list; expected is a mapping"),
    "number-of-reads": (services(reads=5), r"web has reads: 5; expected is a list of texts"),
    "text-of-reads": (services(reads="data_store"), r"web has reads: 'data_store'; expected is a list of texts"),
    "number-of-targets": (services(connects_to=5), r"web has connects_to: 5; expected is a list of texts"),
    "text-of-targets": (services(connects_to="api"), r"web has connects_to: 'api'; expected is a list of texts"),
    "list-of-targets": (services(connects_to=[["api"]]), r"web has connects_to: a list; expected is a list of texts"),
    "text-of-environment": (services(environment="A"), r"web has environment: 'A'; expected is a mapping"),
    "unnamed-service": ({"la_services_services": {5: SERVICE}}, r"the service 5 is named by no text; expected"),
    "list-of-regions": ({"platform_region": ["eu-west-2"]}, r"platform_region is a list; .*eu-west-2"),
    "list-of-balancers": (
        {"la_services_balancers": ["x"], **services()},
        r"la_services_balancers is a list; expected is a mapping",
    ),
    "balancer": (
        {"la_services_balancers": {"web": ["x"]}, **services()},
        r"la_services_balancers: web is a list; expected is a mapping of its settings",
    ),
    "setting-of-a-balancer": (
        {"la_services_balancers": {"web": {"idle_timeout": "long"}}, **services()},
        r"la_services_balancers: web has idle_timeout: 'long'; expected is a whole number",
    ),
    "list-of-images": (
        {"platform_images": ["frontend"], "platform_add_users_image": "frontend"},
        r"platform_images is a list; expected is a mapping of images",
    ),
    "password": (
        {"la_services_services": {"web": [{"environment": {"PASSWORD": "hunter2"}}]}},
        r"la_services_services: web is a list; expected is a mapping",
    ),
    "undefined": (
        {"platform_public_url": "https://{{ nowhere }}"},
        r"platform_public_url cannot be worked out: .*nowhere",
    ),
}


def good(number: int) -> dict[str, Any]:
    """An account without a mistake, unlike all others."""
    return {"ansible_aws_account_id": f"{100000000000 + number}", "platform_cidr": f"10.{number}.0.0/20"}


@contextmanager
def listening() -> Iterator[tuple[str, list[object]]]:
    """An address, and everybody who ever connected to it."""
    came: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            while True:
                try:
                    came.append(server.accept())
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", came


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[list[str], list[object]]]:
    """What an operator is told of an inventory with all of these mistakes, and who asked AWS anything."""
    folder = tmp_path_factory.mktemp("inventory")
    with listening() as (address, came):
        hosts = {name: {**good(number), **wrong} for number, (name, (wrong, _)) in enumerate(MISTAKES.items(), 2)}
        inventory = {
            "all": {
                "children": {
                    "organisation": {"hosts": {"hub": {**good(0), "platform_cidr": "172.16.0.0/20"}}},
                    "local_authorities": {"hosts": {"good": {**good(1), "platform_cidr": "10.0.0.0/20"}, **hosts}},
                },
                "vars": {
                    "ansible_connection": "localgov.platform.aws_account",
                    "ansible_aws_account_role": "localgov-deploy",
                    "ansible_aws_account_endpoint_url": address,
                    "platform_region": "eu-west-2",
                    "platform_images": {name: {"context": f"files/{name}"} for name in ("api", "frontend", "web")},
                    "platform_share_agreement": "keep_published",
                    "platform_organisation_id": "o-a1b2c3d4e5",
                    "platform_organisational_unit_paths": ["o-a1b2c3d4e5/r-ab12/ou-ab12-11111111/*"],
                },
            }
        }
        (folder / "hosts.yml").write_text(yaml.safe_dump(inventory), encoding="utf-8")
        run = site(folder)
        assert run.returncode != 0
        yield messages(run.stdout), came


def site(folder: Path) -> subprocess.CompletedProcess[str]:
    own = {
        "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / "build" / "collections"),
        "ANSIBLE_LOCAL_TEMP": str(folder / "tmp"),
        "ANSIBLE_NOCOLOR": "1",
        "AWS_ACCESS_KEY_ID": "made-up-id",
        "AWS_SECRET_ACCESS_KEY": "made-up-secret",
    }
    program, playbook = Path(sys.executable).parent / "ansible-playbook", CHECKOUT / "playbooks" / "site.yml"
    command = [str(program), "-i", str(folder / "hosts.yml"), str(playbook)]
    return subprocess.run(
        command, cwd=folder, env={**os.environ, **own}, capture_output=True, text=True, timeout=300, check=False
    )


def messages(printed: str) -> list[str]:
    """The lines of the one failure, as they stand on the terminal: Ansible shows them twice."""
    _, _, rest = printed.partition("because of these entries of the inventory:\n")
    lines = [line.strip() for line in rest.split("\nOrigin:")[0].splitlines()]
    return [line for line in lines if re.match(r"[a-z-]+: ", line)]


@pytest.fixture(scope="module", autouse=True)
def kept(told: tuple[list[str], list[object]]) -> None:
    MESSAGES.parent.mkdir(parents=True, exist_ok=True)
    MESSAGES.write_text("\n".join(told[0]) + "\n", encoding="utf-8")


@pytest.mark.parametrize("account", MISTAKES)
def test_each_mistake_is_told_with_host_variable_and_what_is_expected(
    told: tuple[list[str], list[object]], account: str
) -> None:
    (line,) = [line for line in told[0] if line.startswith(f"{account}: ")]
    assert re.search(MISTAKES[account][1], line), line


def test_nothing_is_said_of_accounts_without_a_mistake(told: tuple[list[str], list[object]]) -> None:
    assert {line.partition(":")[0] for line in told[0]} == set(MISTAKES)


def test_the_documentation_shows_what_is_told(told: tuple[list[str], list[object]]) -> None:
    shown = DOCUMENT.read_text(encoding="utf-8").partition("```text\n")[2].partition("```")[0].splitlines()
    assert shown == told[0], f"put the lines of {MESSAGES} into it"


def test_aws_was_asked_nothing(told: tuple[list[str], list[object]]) -> None:
    assert told[1] == []
