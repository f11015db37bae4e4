# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter `release_step`."""

from __future__ import annotations

DOCUMENTATION = r"""
name: release_step
author: localgov.platform contributors (!UNKNOWN)
version_added: 0.1.0
short_description: What a release has to do in an account
description:
  - Compares what an account runs, and what it has recorded of the release before, with the images that are to run.
positional: _input
options:
  _input:
    description: What M(localgov.platform.deployed_versions_info) returns.
    type: dict
    required: true
  digests:
    description: What is to run, digests by the image's name.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Leave out what runs it already
  ansible.builtin.debug:
    msg: "{{ (versions | localgov.platform.release_step(digests=platform_image_digests)).step }}"
"""

RETURN = r"""
_value:
  description:
    - V(step), which is V(bring), V(prove) for images that run already without having been proved, or V(keep);
      the digests V(wanted), V(running) and V(last_good), to which the account returns; V(attempt), when the trial of
      these images began that is still open; and V(faults), why it cannot be released.
  type: dict
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.localgov.platform.plugins.plugin_utils import _release_step


def release_step(versions: dict[str, Any], digests: dict[str, str]) -> _release_step.Step:
    """See `_release_step`."""
    return _release_step.release_step(versions, digests)


class FilterModule:
    """The table of filters that Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name to function."""
        return {"release_step": release_step}
