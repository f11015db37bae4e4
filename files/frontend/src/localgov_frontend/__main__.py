# SPDX-License-Identifier: GPL-3.0-or-later
"""Start the service: `python -m localgov_frontend`, settings from the environment."""

from __future__ import annotations

import logging
import os
import sys

import uvicorn

from localgov_frontend.app import create_app
from localgov_frontend.settings import SettingsError, read_settings


def main() -> int:
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("botocore").setLevel(logging.WARNING)
    try:
        settings = read_settings(os.environ)
        app = create_app(settings)
    except SettingsError as error:
        logging.getLogger("localgov_frontend").error("%s", error)
        return 2
    # uvicorn's access log would write query strings, and S3 puts the object's key and tag into one on its way back.
    uvicorn.run(
        app,
        host=settings.bind_address,
        port=settings.port,
        access_log=False,
        server_header=False,
        log_config=None,
        timeout_graceful_shutdown=10,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
