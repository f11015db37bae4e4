# SPDX-License-Identifier: GPL-3.0-or-later
"""What the filters that look at a period of an account's working hours have in common."""

from __future__ import annotations


class ModuleDocFragment:
    """The options of these filters, where Ansible's documentation looks for them."""

    DOCUMENTATION = r"""
options:
  _input:
    description: The working hours, with C(time_zone), C(days), C(holidays) and C(services).
    type: dict
    required: true
  since:
    description: The beginning, a date or a time in ISO 8601; without an offset by the clock of the time zone.
    type: str
    required: true
  until:
    description: The end, which is not part of the period; a date is its midnight.
    type: str
    required: true
"""
