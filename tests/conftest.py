# SPDX-License-Identifier: GPL-3.0-or-later
"""The checkout is the collection under test: `make install` links it where Ansible and Python look."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "build" / "collections")]
