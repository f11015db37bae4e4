# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for every module that tells something and changes nothing."""

from __future__ import annotations


class ModuleDocFragment:
    """What Ansible takes into the documentation of modules that name this fragment."""

    DOCUMENTATION = r"""
attributes:
  check_mode:
    description: Can run in check mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in check_mode), when in diff mode.
    support: none
    details: Nothing is changed.
"""
