# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter `outside_access`."""

from __future__ import annotations

DOCUMENTATION = r"""
name: outside_access
author: localgov.platform contributors (!UNKNOWN)
version_added: 0.1.0
short_description: Whom a resource's policy lets in from outside its account
description:
  - Names every principal of every statement of a resource's policy that is not plainly the account's own and is not
    denied.
  - It errs on the safe side. Conditions are not weighed, but for O(bucket), so C(*) counts whatever they say, as do
    C(NotPrincipal), canonical users, federated ones, other accounts, and the bare identifiers of principals that were
    deleted.
  - Services of AWS do not count.
positional: _input
options:
  _input:
    description: The policy, as a mapping or as AWS's text. Nothing means a resource without a policy.
    type: raw
    required: true
  account_id:
    description: The account that owns the resource.
    type: str
    required: true
  bucket:
    description:
      - For the policy of a KMS key, the name of the bucket about which is asked. Statements do not count then whose
        condition on C(kms:EncryptionContext:aws:s3:arn), by C(StringEquals) or C(StringLike), names other buckets and
        nothing else, in full. By them nobody decrypts what this bucket holds. Nor do services of AWS count, which use
        keys for the account; of other resources they do, as some hand on what they read.
    type: str
"""

EXAMPLES = r"""
- name: Expect a bucket that is closed to everybody outside
  ansible.builtin.assert:
    that: (bucket_policy | localgov.platform.outside_access('012345670123')) == []
"""

RETURN = r"""
_value:
  description: Sid (or the number) of the statement, and the principal. Empty when nobody outside is let in.
  type: list
  elements: str
  sample: ["OrganisationPipelineRead: AWS *"]
"""

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.localgov.platform.plugins.plugin_utils import _outside_access


def outside_access(
    policy: _outside_access.Policy | str | None, account_id: str, bucket: str | None = None
) -> list[str]:
    """See `_outside_access`; a policy that cannot be understood becomes Ansible's own filter error."""
    try:
        return _outside_access.outside_access(policy, account_id, bucket)
    except ValueError as error:
        raise AnsibleFilterError(
            f"The policy cannot be understood, so nobody knows whom it lets in: {error}."
        ) from error


class FilterModule:
    """The table of filters that Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name to function."""
        return {"outside_access": outside_access}
