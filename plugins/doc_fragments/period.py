# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the modules that tell of a period."""

from __future__ import annotations


class ModuleDocFragment:
    """What Ansible takes into the documentation of modules that name this fragment."""

    DOCUMENTATION = r"""
options:
  since:
    description:
      - The beginning of the period, a date such as V(2026-11-01) or a time such as V(2026-11-01T09:30:00Z), in UTC
        where it does not say otherwise.
    type: str
    required: true
  until:
    description:
      - The end of the period. A date includes that day. By default now.
    type: str
"""
