# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for every application of the marketplace: it says who it is, and asks others on behalf of who asks it.

`GET /any/path?ask=api:/agreements&ask=search:/search/shoes` asks the API, at the address that the platform told this
application, and has it ask the search in turn. `/agreements` is the one path that looks into the database.
"""

from __future__ import annotations

import hashlib
import json
import os
import ssl
import sys
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import psycopg2

SECRETS = ("API_TOKEN", "SESSION_KEY", "MAIL_KEY", "CACHE_TOKEN")
_TRUSTED = ssl.create_default_context(cafile=os.environ.get("AWS_CA_BUNDLE"))


def description(path: str) -> dict[str, Any]:
    """Who answers, and what it was told; of a secret only its hash."""
    return {
        "application": os.environ["APPLICATION"],
        "image": os.environ["IMAGE"],
        "task": os.environ["ECS_CONTAINER_METADATA_URI_V4"].rpartition("/")[2],
        "path": path,
        "cache": [os.environ.get(name) for name in ("CACHE_HOST", "CACHE_PORT")],
        "secrets": {
            name: hashlib.sha256(os.environ[name].encode()).hexdigest() for name in SECRETS if name in os.environ
        },
    }


def asked(application: str, path: str, rest: list[str]) -> dict[str, Any]:
    """What another application answers, if this one was told where it is."""
    address = os.environ.get(f"{application.upper()}_URL")
    if address is None:
        return {"unknown": application}
    query = f"?{urlencode({'ask': rest}, doseq=True)}" if rest else ""
    url = f"{address}{path}{query}"
    with urllib.request.urlopen(url, timeout=20, context=_TRUSTED) as answer:  # noqa: S310 - the platform's address
        said: dict[str, Any] = json.load(answer)
    return {**said, "through": address}


def agreements() -> dict[str, Any]:
    """What the migration has left, and as whom, by which kind of connection it is read (libpq's own variables)."""
    with psycopg2.connect("", connect_timeout=10) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT supplier FROM agreements")
        found = [supplier for (supplier,) in cursor.fetchall()]
        cursor.execute("SELECT current_user, tableowner FROM pg_tables WHERE tablename = 'agreements'")
        user, owner = cursor.fetchone() or ("", "")
        return {"agreements": found, "user": user, "owner": owner, "encrypted": connection.info.ssl_in_use}


def migrate() -> None:
    with psycopg2.connect("", connect_timeout=10) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS agreements (supplier text PRIMARY KEY)")
        cursor.execute("INSERT INTO agreements VALUES ('Acme Ltd') ON CONFLICT DO NOTHING")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if url.path == "/_status":
            self._answer(200, {"status": "ok"})
            return
        said = description(url.path)
        try:
            if url.path == "/agreements" and "PGHOST" in os.environ:
                said["database"] = agreements()
            first, *rest = parse_qs(url.query).get("ask") or [""]
            if first:
                application, _, path = first.partition(":")
                said["asked"] = asked(application, path, rest)
            self._answer(200, said)
        except (OSError, psycopg2.Error) as reason:
            self._answer(502, {**said, "failed": str(reason)})

    def _answer(self, status: int, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Not a line for each health check."""


if __name__ == "__main__":
    if sys.argv[1] == "migrate":
        migrate()
    else:
        ThreadingHTTPServer((sys.argv[2], int(sys.argv[3])), Handler).serve_forever()
