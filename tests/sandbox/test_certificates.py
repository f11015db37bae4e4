# SPDX-License-Identifier: GPL-3.0-or-later
"""The sandbox's certificate authority: small, renewed in time, useless elsewhere."""

from __future__ import annotations

import datetime
import stat
from pathlib import Path

import pytest
from cryptography import x509

from sandbox import certificates, settings


@pytest.fixture
def sandbox_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> settings.Settings:
    monkeypatch.setenv("LOCALGOV_SANDBOX_DIR", str(tmp_path))
    return settings.load()


def test_certificates_are_made_once(sandbox_settings: settings.Settings) -> None:
    assert certificates.ensure(sandbox_settings) is True
    first = sandbox_settings.ca_bundle.read_bytes()
    assert certificates.ensure(sandbox_settings) is False
    assert sandbox_settings.ca_bundle.read_bytes() == first


def test_certificates_are_renewed_a_month_before_they_expire(
    sandbox_settings: settings.Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as short_lived:
        short_lived.setattr(certificates, "_LIFETIME", datetime.timedelta(days=29))
        certificates.ensure(sandbox_settings)
    assert certificates.ensure(sandbox_settings) is True
    assert certificates.ensure(sandbox_settings) is False


@pytest.mark.parametrize("name", ["ca_bundle", "server_certificate", "server_key"])
def test_damaged_certificates_are_made_again(sandbox_settings: settings.Settings, name: str) -> None:
    certificates.ensure(sandbox_settings)
    getattr(sandbox_settings, name).write_text("damaged", encoding="utf-8")
    assert certificates.ensure(sandbox_settings) is True


def test_the_authoritys_key_is_nowhere(sandbox_settings: settings.Settings) -> None:
    certificates.ensure(sandbox_settings)
    folder = sandbox_settings.ca_bundle.parent
    keys = [path for path in folder.iterdir() if "PRIVATE KEY" in path.read_text(encoding="ascii")]
    assert keys == [sandbox_settings.server_key]
    assert stat.S_IMODE(sandbox_settings.server_key.stat().st_mode) == 0o600


def test_the_authority_vouches_for_this_machine_only(sandbox_settings: settings.Settings) -> None:
    certificates.ensure(sandbox_settings)
    authority = x509.load_pem_x509_certificate(sandbox_settings.ca_bundle.read_bytes())
    constraints = authority.extensions.get_extension_for_class(x509.NameConstraints)
    assert constraints.critical
    assert [str(name.value) for name in constraints.value.permitted_subtrees or []] == ["localhost", "127.0.0.0/8"]
