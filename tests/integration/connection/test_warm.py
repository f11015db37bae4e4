# SPDX-License-Identifier: GPL-3.0-or-later
"""What the warm Python promises of whole runs."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from tests.integration.connection.accounts import AUTHORITIES, ORGANISATION
from tests.integration.connection.control_node import ControlNode, wait_for
from tests.integration.connection.gateway import Gateway

WHO = "- amazon.aws.aws_caller_info:\n"


def test_forks_accounts_and_delegation_are_kept_apart(control_node: ControlNode, gateway: Gateway) -> None:
    run = control_node.play(
        f"""
- amazon.aws.aws_caller_info:
  register: here
- amazon.aws.aws_caller_info:
  delegate_to: organisation
  register: there
- ansible.builtin.command: sh -c 'echo $PPID $(ps -o ppid= -p $PPID)'
  register: process
- ansible.builtin.assert:
    that: [here.account == ansible_aws_account_id, there.account == "{ORGANISATION}"]
- ansible.builtin.copy: {{content: "{{{{ process.stdout }}}}", dest: "./process-{{{{ inventory_hostname }}}}"}}
""",
        "-vvv",
        "--limit",
        ",".join(AUTHORITIES),
    )
    assert run.returncode == 0, run.output
    assert "RUN COLD" not in run.output
    processes = [path.read_text(encoding="utf-8").split() for path in control_node.home.glob("process-*")]
    assert len({module for module, _server in processes}) == len(AUTHORITIES)
    assert len({server for _module, server in processes}) == 1
    assert gateway.assumed() == len(AUTHORITIES) + 1


LOOK_INTO_MEMORY = f"""
- amazon.aws.aws_caller_info:
- amazon.aws.aws_caller_info:
- ansible.builtin.shell: |
    import json, os

    def holds(process, secret):
        with open(f"/proc/{{process}}/maps") as maps, open(f"/proc/{{process}}/mem", "rb", buffering=0) as memory:
            for extent, rights in (line.split()[:2] for line in maps):
                start, end = (int(number, 16) for number in extent.split("-"))
                if rights.startswith("rw"):
                    memory.seek(start)
                    if secret in memory.read(end - start):
                        return True
        return False

    module = os.getppid()
    server = int(open(f"/proc/{{module}}/stat").read().rpartition(")")[2].split()[1])
    secrets = [os.environb[name] for name in (b"AWS_SECRET_ACCESS_KEY", b"AWS_SESSION_TOKEN", b"OF_THE_TASK")]
    print(json.dumps({{name: [holds(process, secret) for secret in (b"botocore", *secrets)]
                      for name, process in (("module", module), ("server", server))}}))
  args: {{executable: "{sys.executable}"}}
  environment: {{OF_THE_TASK: secret-of-a-task-0123456789}}
  register: held
- ansible.builtin.copy: {{content: "{{{{ held.stdout }}}}", dest: ./held}}
"""


def test_the_server_never_has_what_modules_are_given(control_node: ControlNode) -> None:
    run = control_node.play(LOOK_INTO_MEMORY, "--limit", "camden")
    assert run.returncode == 0, run.output
    held = json.loads((control_node.home / "held").read_text(encoding="utf-8"))
    assert held == {"module": [True, True, True, True], "server": [True, False, False, False]}


def test_a_task_that_takes_too_long_leaves_no_module_behind(control_node: ControlNode) -> None:
    run = control_node.play(
        "- ansible.builtin.shell: echo $$ > running; sleep 300\n  timeout: 20\n", "--limit", "camden"
    )
    assert run.line("camden", "FAILED!")
    command = Path("/proc", (control_node.home / "running").read_text(encoding="utf-8").strip(), "exe")
    wait_for(lambda: not command.exists(), "the end of the command")


def test_it_can_be_switched_off(control_node: ControlNode) -> None:
    control_node.environment["LOCALGOV_AWS_ACCOUNT_WARM"] = "false"
    run = control_node.play(WHO, "-vvv", "--limit", "camden")
    assert run.recap("camden")["ok"] == 1
    assert "RUN WARM" not in run.output


# What is made is taken away, so that one run finds what the other found.
MAKES_AND_TAKES_AWAY = """
- amazon.aws.aws_caller_info:
  register: caller
- amazon.aws.s3_bucket: {name: localgov-alike, versioning: true, tags: {made: "yes"}}
  register: bucket
- amazon.aws.s3_object: {bucket: localgov-alike, object: a/b, content: "sôme ünicode", mode: put}
  register: object
- community.aws.s3_lifecycle: {name: localgov-alike, rule_id: old, prefix: "", noncurrent_version_expiration_days: 3}
  register: lifecycle
- amazon.aws.cloudformation:
    stack_name: alike
    template_body: '{"Resources": {"Queue": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "alike"}}}}'
  register: stack
- amazon.aws.cloudformation_info: {stack_name: alike, stack_template: true, stack_resources: true}
  register: described
- amazon.aws.s3_bucket_info: {name: localgov-alike, bucket_facts: {bucket_versioning: true, bucket_tagging: true}}
  register: facts
- amazon.aws.s3_bucket: {name: no bucket is called so}
  register: refused
  ignore_errors: true
- amazon.aws.cloudformation: {stack_name: alike, state: absent}
  register: no_stack
- amazon.aws.s3_bucket: {name: localgov-alike, state: absent, force: true}
  register: no_bucket
- ansible.builtin.copy:
    content: >-
      {{ [caller, bucket, object, lifecycle, stack, described, facts, refused, no_stack, no_bucket] | to_nice_json }}
    dest: ./results
"""
# What AWS makes up, and when it did.
OF_THE_MOMENT = re.compile(
    r"\d{4}-\d\d-\d\d[T ][0-9:.]+(\+00:00|Z)?|[A-Z][a-z]{2}, .* GMT|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    r'|(?<="x-amz-id-2": ")[^"]+|(?<=X-Amz-Credential=)\w+|(?<=X-Amz-Date=)\w+|(?<=X-Amz-Signature=)\w+'
)


def test_a_whole_run_has_the_same_results_warm_and_cold(control_node: ControlNode) -> None:
    results = []
    for warm in ("false", "true"):
        control_node.environment["LOCALGOV_AWS_ACCOUNT_WARM"] = warm
        run = control_node.play(MAKES_AND_TAKES_AWAY, "-vvv", "--limit", "camden")
        assert run.returncode == 0, run.output
        assert ("RUN WARM" in run.output) == (warm == "true")
        results.append((control_node.home / "results").read_text(encoding="utf-8"))
    cold, warmed = (OF_THE_MOMENT.sub("<of the moment>", text) for text in results)
    assert warmed == cold
    assert [one["changed"] for one in json.loads(results[0])] == [
        *(False, True, True, True, True, False, False),
        *(False, True, True),
    ]
