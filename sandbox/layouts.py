# SPDX-License-Identifier: GPL-3.0-or-later
"""Build what the images' lock files lock, and write an OCI layout of each image: ``python -m sandbox.layouts``."""

from __future__ import annotations

import sys

from sandbox.runtime.images import main

if __name__ == "__main__":
    sys.exit(main())
