# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast a fleet is rolled out, beside the same by other means, on the same sandbox.

`make bench-fleet` deploys an organisation with so many local authorities, from nothing and then again without a change,
in these ways:

A  `site.yml` as it is: the connection `aws_account`, warm
B  the same playbook with Ansible's own connection `local` and the sessions of `sts_assume_role`
C  the same stacks by `aws cloudformation deploy`, one after the other
F  the floor: one boto3 process that does no more than create the same stacks, or describe them
"""
