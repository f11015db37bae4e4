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
    description: The template, in YAML, as CloudFormation returns it.
    type: str
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

from collections.abc import Callable

from ansible.errors import AnsibleFilterError
from ansible_collections.localgov.platform.plugins.plugin_utils import _images


def with_images(template: str, digests: dict[str, str], prefix: str) -> str:
    """See `_images`; what cannot be understood becomes Ansible's own filter error."""
    try:
        return _images.with_images(str(template), digests, prefix)
    except ValueError as error:
        raise AnsibleFilterError(f"Other images cannot be put into the template: {error}.") from error


class FilterModule:
    """The table of filters that Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., str]]:
        """Name to function."""
        return {"with_images": with_images}
