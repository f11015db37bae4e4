# SPDX-License-Identifier: GPL-3.0-or-later
"""What the warm Python promises of whole runs."""

from __future__ import annotations

import json
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
