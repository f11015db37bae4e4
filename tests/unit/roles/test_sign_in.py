# SPDX-License-Identifier: GPL-3.0-or-later
"""Where people sign in, it has to be known where they come back to, and not over plain HTTP."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
PATTERN = yaml.safe_load((ROOT / "roles/la_services/vars/main.yml").read_text())["__la_services_public_url_pattern"]


@pytest.mark.parametrize("address", ["https://upload.camden.example", "http://127.0.0.1:8080", "http://localhost:8080"])
def test_an_address_over_tls_or_on_this_machine_is_taken(address: str) -> None:
    assert re.match(PATTERN, address)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "upload.camden.example",
        "http://upload.camden.example",
        "http://127.0.0.1.camden.example",
        "http://10.0.0.1:8080",
        "http://localhost.camden.example",
        "https://upload.camden.example/path",
        "https://user@upload.camden.example",
    ],
)
def test_any_other_address_is_refused(address: str) -> None:
    assert not re.match(PATTERN, address)
