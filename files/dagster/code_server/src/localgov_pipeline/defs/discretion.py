# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep what files hold out of Dagster's records: the message of an error is stored, shown and logged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from localgov_pipeline.lib.findings import FileRefusedError


class StepFailedError(Exception):
    pass


@contextmanager
def values_kept_out_of_logs() -> Iterator[None]:
    """Library errors may quote cells. Dagster stores the message of an error, so it goes; the trace stays."""
    from botocore.exceptions import BotoCoreError, ClientError
    from polars.exceptions import PanicException

    from localgov_pipeline.defs.storage import BucketClosedError, BucketUnreachableError
    from localgov_pipeline.lib.pseudonyms import KeyMissingError
    from localgov_pipeline.lib.sharing import SharingError

    about_no_cell = (KeyMissingError, SharingError, BucketClosedError, BucketUnreachableError, FileNotFoundError)
    try:
        yield
    except (FileRefusedError, BotoCoreError, ClientError, *about_no_cell):
        raise
    # A panic of polars is no Exception, and quotes cells all the same.
    except (Exception, PanicException) as error:
        raise StepFailedError(f"{type(error).__name__} (message withheld: it may quote the file)").with_traceback(
            error.__traceback__
        ) from None
