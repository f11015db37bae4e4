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
        "ACCOUNT_ID": "210987654321",
        "ACCOUNT_NAME": "camden",
        "AWS_REGION": "eu-west-2",
        "DATA_STORE_LOCATION": "s3://localgov-210987654321-data-store",
        "GOVUK_FRONTEND_PATH": str(folder),
        "SHARED_LOCATION": "s3://localgov-210987654321-shared",
        "SIGN_IN": "none",
    }


def test_without_a_word_it_listens_on_loopback_only(environment: dict[str, str]) -> None:
    settings = read_settings(environment)
    assert settings.bind_address == "127.0.0.1"
    assert settings.port == 8080
    assert settings.max_upload_bytes == 200 * 1024 * 1024
    assert str(settings.uploads_per_person) == "120 per 1 hour"
    assert settings.bucket == "localgov-210987654321-data-store"


def test_an_account_that_shares_nothing_needs_to_know_no_number(environment: dict[str, str]) -> None:
    without = {name: value for name, value in environment.items() if name not in {"ACCOUNT_ID", "SHARED_LOCATION"}}
    assert read_settings(without).shared is None


@pytest.mark.parametrize(
    ("name", "readable"),
    [("camden", "Camden"), ("kensington-and-chelsea", "Kensington and Chelsea"), ("st_helens", "St Helens")],
)
def test_the_account_is_named_as_people_write_it(environment: dict[str, str], name: str, readable: str) -> None:
    assert read_settings({**environment, "ACCOUNT_NAME": name}).readable_account == readable


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ACCOUNT_ID", ""),
        ("ACCOUNT_ID", "2109876543210"),
        ("ACCOUNT_NAME", ""),
        ("ACCOUNT_NAME", "cam den"),
        ("AWS_REGION", ""),
        ("DATA_STORE_LOCATION", ""),
        ("DATA_STORE_LOCATION", "localgov-data-store"),
        ("DATA_STORE_LOCATION", "s3://bucket/prefix"),
        ("GOVUK_FRONTEND_PATH", "nowhere"),
        ("MAX_UPLOAD_BYTES", "200 MB"),
        ("MAX_UPLOAD_BYTES", "0"),
        ("ORGANISATION_ACCOUNT_ID", "hub"),
        ("PORT", "65536"),
        ("SESSION_KEY", "short"),
        ("SHARED_LOCATION", "s3://bucket/prefix"),
        ("SIGN_IN", ""),
        ("SIGN_IN", "off"),
        ("UPLOADS_PER_ADDRESS", "0 or so"),
        ("UPLOADS_PER_PERSON", "many"),
        ("UPLOAD_ENDPOINT_URL", "127.0.0.1:4566"),
        ("UPLOAD_ENDPOINT_URL", "http://127.0.0.1:4566/path"),
    ],
)
def test_a_wrong_setting_is_named(environment: dict[str, str], name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        read_settings({**environment, name: value})


@pytest.fixture
def signing_in(environment: dict[str, str]) -> dict[str, str]:
    return {
        **environment,
        "PUBLIC_URL": "https://upload.camden.example",
        "SESSION_KEY": "k" * 64,
        "SIGN_IN": "cognito",
        "SIGN_IN_CLIENT_ID": "client",
        "SIGN_IN_CLIENT_SECRET": "secret of the client",
        "SIGN_IN_DOMAIN_URL": "https://camden.auth.eu-west-2.amazoncognito.com",
        "SIGN_IN_GROUPS": '{"uploaders": {"may": "upload"}}',
        "SIGN_IN_ISSUER": "https://cognito-idp.eu-west-2.amazonaws.com/eu-west-2_abc",
    }


def test_on_aws_keys_and_tokens_come_from_the_pool_and_its_domain(signing_in: dict[str, str]) -> None:
    sign_in = read_settings(signing_in).sign_in
    assert sign_in is not None
    assert sign_in.keys_url == "https://cognito-idp.eu-west-2.amazonaws.com/eu-west-2_abc/.well-known/jwks.json"
    assert sign_in.token_url == "https://camden.auth.eu-west-2.amazoncognito.com/oauth2/token"
    assert sign_in.redirect_uri == "https://upload.camden.example/sign-in/callback"


def test_secrets_have_no_representation(signing_in: dict[str, str]) -> None:
    shown = repr(read_settings({**signing_in, "SESSION_KEY_PREVIOUS": "p" * 64}))
    assert "secret of the client" not in shown
    assert "kkk" not in shown
    assert "ppp" not in shown


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PUBLIC_URL", ""),
        ("PUBLIC_URL", "http://upload.camden.example"),
        ("PUBLIC_URL", "http://127.0.0.1.camden.example"),
        ("PUBLIC_URL", "https://upload.camden.example/path"),
        ("PUBLIC_URL", "https://user@upload.camden.example"),
        ("PUBLIC_URL", "https://upload.camden.example:port"),
        ("SESSION_IDLE_MINUTES", "0"),
        ("SESSION_KEY", ""),
        ("SESSION_KEY", "short"),
        ("SESSION_KEY_PREVIOUS", "short"),
        ("SESSION_LIFETIME_MINUTES", "1441"),
        ("SIGN_IN_CLIENT_ID", ""),
        ("SIGN_IN_CLIENT_SECRET", ""),
        ("SIGN_IN_DOMAIN_URL", "http://camden.auth.example"),
        ("SIGN_IN_ENDPOINT_URL", "http://camden.auth.example"),
        ("SIGN_IN_GROUPS", ""),
        ("SIGN_IN_GROUPS", "uploaders"),
        ("SIGN_IN_GROUPS", "{}"),
        ("SIGN_IN_GROUPS", '{"uploaders": {"may": "everything"}}'),
        ("SIGN_IN_GROUPS", '{"uploaders": {"may": "view", "datasets": ["unknown"]}}'),
        ("SIGN_IN_ISSUER", "https://elsewhere.example/eu-west-2_abc"),
    ],
)
def test_a_wrong_setting_of_the_sign_in_is_named_without_its_secrets(
    signing_in: dict[str, str], name: str, value: str
) -> None:
    with pytest.raises(SettingsError, match=name) as refused:
        read_settings({**signing_in, name: value})
    assert "secret of the client" not in str(refused.value)


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
