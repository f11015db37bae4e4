# SPDX-License-Identifier: GPL-3.0-or-later
"""Serve the code location: `python -m localgov_pipeline`, on BIND_ADDRESS, port 4000."""

from __future__ import annotations

import os
import sys

PORT = "4000"


def command(environment: os._Environ[str] | dict[str, str]) -> list[str]:
    address = environment.get("BIND_ADDRESS", "0.0.0.0")  # noqa: S104  # the container's own network; see README
    location = ["--module-name", "localgov_pipeline.definitions"]
    return [sys.executable, "-m", "dagster", "api", "grpc", *location, "--host", address, "--port", PORT]


if __name__ == "__main__":
    arguments = command(os.environ)
    # Dagster's own process takes this one's place: it must get the stop signal of the container.
    os.execv(arguments[0], arguments)  # noqa: S606
