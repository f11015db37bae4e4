# SPDX-License-Identifier: GPL-3.0-or-later

"""What is left out of an inventory is left out of what was kept of an earlier search, too."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[4]
NORTH, FAR_NORTH, SOUTH = "ou-ab12-11111111", "ou-ab12-22222222", "ou-ab12-33333333"
UNITS = {"r-ab12": [("North", NORTH), ("South", SOUTH)], NORTH: [("Far", FAR_NORTH)]}
ACCOUNTS = {"r-ab12": "hub", NORTH: "camden", FAR_NORTH: "croydon", SOUTH: "sutton"}
IDENTIFIERS = {name: str(number) * 12 for number, name in enumerate(ACCOUNTS.values(), start=1)}


class _Organisation(BaseHTTPRequestHandler):
    """An account in each unit, a unit within a unit."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = json.dumps(self._answer(self.headers["X-Amz-Target"].rpartition(".")[2], asked)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def _answer(self, operation: str, asked: dict[str, Any]) -> dict[str, Any]:
        parent = asked.get("ParentId", "")
        name = ACCOUNTS.get(parent, "")
        answers: dict[str, dict[str, Any]] = {
            "DescribeOrganization": {"Organization": {"Id": "o-ab12"}},
            "ListRoots": {"Roots": [{"Id": "r-ab12"}]},
            "ListOrganizationalUnitsForParent": {
                "OrganizationalUnits": [{"Name": unit, "Id": identifier} for unit, identifier in UNITS.get(parent, [])]
            },
            "ListAccountsForParent": {
                "Accounts": [{"Id": IDENTIFIERS.get(name, ""), "Name": name, "State": "ACTIVE"}],
            },
        }
        return answers[operation]

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def endpoint() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Organisation) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def listed(folder: Path, endpoint: str, exclude: list[str]) -> dict[str, Any]:
    """The inventory's groups and their hosts, kept in the folder."""
    options = {
        "plugin": "localgov.platform.organization_accounts",
        "exclude": exclude,
        "fetch_tags": False,
        "cache": True,
        "cache_plugin": "ansible.builtin.jsonfile",
        "cache_connection": str(folder / "kept"),
    }
    file = folder / "organization_accounts.yml"
    file.write_text(json.dumps(options))
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible-inventory"), "-i", str(file), "--list"],
        cwd=ROOT,
        env={
            **inherited,
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "AWS_ACCESS_KEY_ID": "made-up-id",
            "AWS_SECRET_ACCESS_KEY": "made-up-secret",
            "AWS_ENDPOINT_URL": endpoint,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout, object_hook=lambda part: part.get("__ansible_unsafe", part))
    return {
        "hosts": sorted(found["_meta"]["hostvars"]),
        "groups": sorted(found.keys() - {"_meta", "all", "ungrouped"}),
    }


def test_accounts_and_units_that_are_left_out_now_are_left_out_of_what_was_kept(tmp_path: Path, endpoint: str) -> None:
    everything = listed(tmp_path, endpoint, [])
    assert everything["hosts"] == ["camden", "croydon", "hub", "sutton"]
    nowhere = "http://127.0.0.1:9"  # so that only what was kept can answer
    assert listed(tmp_path, nowhere, []) == everything
    assert listed(tmp_path, nowhere, [NORTH, IDENTIFIERS["hub"]]) == {"hosts": ["sutton"], "groups": ["south"]}
