# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the modules that work on a repository of images."""

from __future__ import annotations


class ModuleDocFragment:
    """What Ansible takes into the documentation of modules that name this fragment."""

    DOCUMENTATION = r"""
options:
  repository:
    description:
      - The repository's name, such as V(localgov/frontend). It must be there.
    type: str
    required: true
  registry_id:
    description:
      - The account that owns the repository, twelve digits in quotes. By default the caller's own.
    type: str
"""
