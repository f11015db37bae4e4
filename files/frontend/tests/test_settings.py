# SPDX-License-Identifier: GPL-3.0-or-later
"""The environment is checked before the service starts."""

from __future__ import annotations

import subprocess
import sys

import pytest
from conftest import PROJECT
from image import read_image
from localgov_frontend.settings import SettingsError, read_settings


@pytest.fixture
def environment() -> dict[str, str]:
    folder = PROJECT / "node_modules" / "govuk-frontend" / "dist" / "govuk"
    return {
        "ACCOUNT_NAME": "camden",
        "AWS_REGION": "eu-west-2",
        "DATA_STORE_LOCATION": "s3://localgov-210987654321-data-store",
        "GOVUK_FRONTEND_PATH": str(folder),
    }


def test_without_a_word_it_listens_on_loopback_only(environment: dict[str, str]) -> None:
    settings = read_settings(environment)
    assert settings.bind_address == "127.0.0.1"
    assert settings.port == 8080
    assert settings.max_upload_bytes == 200 * 1024 * 1024
    assert str(settings.uploads_per_person) == "120 per 1 hour"
    assert settings.bucket == "localgov-210987654321-data-store"


@pytest.mark.parametrize(
    ("name", "readable"),
    [("camden", "Camden"), ("kensington-and-chelsea", "Kensington and Chelsea"), ("st_helens", "St Helens")],
)
def test_the_account_is_named_as_people_write_it(environment: dict[str, str], name: str, readable: str) -> None:
    assert read_settings({**environment, "ACCOUNT_NAME": name}).readable_account == readable


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ACCOUNT_NAME", ""),
        ("ACCOUNT_NAME", "cam den"),
        ("AWS_REGION", ""),
        ("DATA_STORE_LOCATION", ""),
        ("DATA_STORE_LOCATION", "localgov-data-store"),
        ("DATA_STORE_LOCATION", "s3://bucket/prefix"),
        ("GOVUK_FRONTEND_PATH", "nowhere"),
        ("MAX_UPLOAD_BYTES", "200 MB"),
        ("MAX_UPLOAD_BYTES", "0"),
        ("PORT", "65536"),
        ("SESSION_KEY", "short"),
        ("UPLOADS_PER_ADDRESS", "0 or so"),
        ("UPLOADS_PER_PERSON", "many"),
        ("UPLOAD_ENDPOINT_URL", "127.0.0.1:4566"),
        ("UPLOAD_ENDPOINT_URL", "http://127.0.0.1:4566/path"),
    ],
)
def test_a_wrong_setting_is_named(environment: dict[str, str], name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        read_settings({**environment, name: value})


def test_a_wrong_setting_ends_the_start_with_one_line(environment: dict[str, str]) -> None:
    arguments = read_image(PROJECT / "Dockerfile").command[1:]
    environment = {**environment, "PYTHONPATH": "src", "DATA_STORE_LOCATION": "elsewhere"}
    command = [sys.executable, *arguments]
    run = subprocess.run(command, check=False, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=30)
    assert run.returncode == 2
    assert "DATA_STORE_LOCATION is 'elsewhere'. Set it to s3://<bucket>" in run.stdout
    assert "Traceback" not in run.stdout + run.stderr


def test_the_image_does_not_run_as_root() -> None:
    assert read_image(PROJECT / "Dockerfile").user.partition(":")[0] not in {"", "0", "root"}
