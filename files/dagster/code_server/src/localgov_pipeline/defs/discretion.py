# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep what files hold out of Dagster's records: the message of an error is stored, shown and logged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from localgov_pipeline.lib.findings import FileRefusedError


class StepFailedError(dg.Failure):
    """For good: with the same file, the same code fails in the same way."""

    def __init__(self, message: str) -> None:
        super().__init__(message, allow_retries=False)


@contextmanager
def values_kept_out_of_logs() -> Iterator[None]:
    """Library errors may quote cells. Dagster stores the message of an error, so it goes; the trace stays."""
    from botocore.exceptions import BotoCoreError, ClientError
    from polars.exceptions import PanicException

    from localgov_pipeline.defs.storage import BucketClosedError, BucketUnreachableError
    from localgov_pipeline.lib.pseudonyms import KeyMissingError
    from localgov_pipeline.lib.sharing import SharingError

    about_no_cell = (BucketClosedError, BucketUnreachableError, FileNotFoundError)
    try:
        yield
    except (FileRefusedError, BotoCoreError, ClientError, *about_no_cell):
        raise
    except (KeyMissingError, SharingError) as error:
        raise StepFailedError(f"{type(error).__name__}: {error}") from error
    # A panic of polars is no Exception, and quotes cells all the same.
    except (Exception, PanicException) as error:
        raise StepFailedError(f"{type(error).__name__} (message withheld: it may quote the file)").with_traceback(
            error.__traceback__
        ) from None
