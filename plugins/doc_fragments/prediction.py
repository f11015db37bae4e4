# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for every module that changes something and can foresee it."""

from __future__ import annotations


class ModuleDocFragment:
    """What Ansible takes into the documentation of modules that name this fragment."""

    DOCUMENTATION = r"""
attributes:
  check_mode:
    description: Can run in check mode and return changed status prediction without modifying target.
    support: full
"""
