# SPDX-License-Identifier: GPL-3.0-or-later
"""Generated examples are judged by what they show, not by how long a busy machine takes for one."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("without deadline", deadline=None)
settings.load_profile("without deadline")
