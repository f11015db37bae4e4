# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter `with_images`."""

from __future__ import annotations

DOCUMENTATION = r"""
name: with_images
author: localgov.platform contributors (!UNKNOWN)
version_added: 0.1.0
short_description: A template of services with other images
description:
  - Puts other digests into a CloudFormation template that names images of ECR by their digests, and leaves all else as
    it is, to the letter.
positional: _input
options:
  _input:
    description: The template as CloudFormation returns it, text in YAML, or an object where it was written in JSON.
    type: raw
    required: true
  digests:
    description: Digests by the image's name. What the template does not name is of no consequence.
    type: dict
    required: true
  prefix:
    description: The platform's name prefix, with which the repositories' names begin.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Run another daemon, and change nothing else
  amazon.aws.cloudformation:
    stack_name: localgov-services
    template_body: "{{ stack.stack_template | localgov.platform.with_images(digests=others, prefix='localgov') }}"
"""

RETURN = r"""
_value:
  description: The template.
  type: str
"""

import json
from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.localgov.platform.plugins.plugin_utils import _images


def with_images(template: str | dict[str, Any], digests: dict[str, str], prefix: str) -> str:
    """See `_images`; what cannot be understood becomes Ansible's own filter error."""
    try:
        text = json.dumps(template) if isinstance(template, dict) else str(template)
        return _images.with_images(text, digests, prefix)
    except ValueError as error:
        raise AnsibleFilterError(f"Other images cannot be put into the template: {error}.") from error


class FilterModule:
    """The table of filters that Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., str]]:
        """Name to function."""
        return {"with_images": with_images}
