# SPDX-License-Identifier: GPL-3.0-or-later
"""What the connection plugin promises, each by a real run."""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path

import pytest

from tests.integration.connection.accounts import (
    AUTHORITIES,
    EXTERNAL_ID,
    OPERATOR_ACCOUNT,
    ORGANISATION,
    ROLE,
    Operator,
)
from tests.integration.connection.certificate import write_certificate
from tests.integration.connection.control_node import ControlNode, wait_for
from tests.integration.connection.gateway import Gateway, gateway_before

WHO = "- amazon.aws.aws_caller_info:\n"
HOSTS = {"organisation": ORGANISATION, **AUTHORITIES}


def test_each_account_is_assumed_once_for_all_tasks_and_forks(control_node: ControlNode, gateway: Gateway) -> None:
    run = control_node.play(WHO * 3)
    assert run.returncode == 0, run.output
    assert {account: gateway.assumed(account) for account in HOSTS.values()} == dict.fromkeys(HOSTS.values(), 1)


def test_forks_that_start_together_on_one_account_assume_its_role_once(
    control_node: ControlNode, gateway: Gateway
) -> None:
    control_node.hosts = {f"camden{number}": {"ansible_aws_account_id": AUTHORITIES["camden"]} for number in range(8)}
    control_node.hosts["camden7"]["ansible_aws_account_region"] = "eu-west-1"
    run = control_node.play(WHO)
    assert run.returncode == 0, run.output
    assert gateway.assumed() == 1


def test_modules_of_any_collection_and_the_aws_command_act_in_the_account_of_their_host(
    control_node: ControlNode,
) -> None:
    run = control_node.play(
        """
- amazon.aws.aws_caller_info:
  register: module
- community.aws.sns_topic: {name: "of-{{ inventory_hostname }}"}
  register: topic
- ansible.builtin.command: aws sts get-caller-identity --query Account --output text
  register: command
- ansible.builtin.shell: aws sts get-caller-identity --query Account --output text | tr -d '\\n'
  register: shell
- ansible.builtin.assert:
    that: item == ansible_aws_account_id
  loop:
    - "{{ module.account }}"
    - "{{ topic.sns_topic.owner | default(topic.sns_arn.split(':')[4]) }}"
    - "{{ command.stdout }}"
    - "{{ shell.stdout }}"
"""
    )
    assert run.returncode == 0, run.output


def test_defaults_for_the_group_of_this_collection_reach_modules_of_the_aws_collections(
    control_node: ControlNode,
) -> None:
    run = control_node.play(
        f"{WHO}- community.aws.sns_topic: {{name: defaults}}\n",
        "-vvv",
        "--limit",
        "camden",
        module_defaults={"group/localgov.platform.aws": {"region": "eu-west-1"}},
    )
    assert run.returncode == 0, run.output
    assert run.output.count('"region": "eu-west-1"') == 2


def test_asynchronous_tasks_act_in_the_account_of_their_host(control_node: ControlNode) -> None:
    run = control_node.play(
        """
- ansible.builtin.command: aws sts get-caller-identity --query Account --output text
  async: 60
  poll: 1
  register: polled
- ansible.builtin.command: aws sts get-caller-identity --query Account --output text
  async: 60
  poll: 0
  register: job
- ansible.builtin.async_status: {jid: "{{ job.ansible_job_id }}"}
  register: fetched
  until: fetched.finished
  retries: 60
  delay: 0.5
- ansible.builtin.assert: {that: [polled.stdout == ansible_aws_account_id, fetched.stdout == ansible_aws_account_id]}
- ansible.builtin.async_status: {jid: "{{ job.ansible_job_id }}", mode: cleanup}
""",
        "--limit",
        "camden,hackney",
    )
    assert run.returncode == 0, run.output


def test_a_delegated_task_acts_in_the_other_account(control_node: ControlNode, gateway: Gateway) -> None:
    run = control_node.play(
        f"""
- amazon.aws.aws_caller_info:
  delegate_to: organisation
  register: there
- amazon.aws.aws_caller_info:
  register: here
- ansible.builtin.assert:
    that: [there.account == "{ORGANISATION}", here.account == ansible_aws_account_id]
""",
        "--limit",
        "camden,hackney,barnet",
    )
    assert run.returncode == 0, run.output
    assert gateway.assumed(ORGANISATION) == 1


def test_files_are_transferred_on_the_control_node(control_node: ControlNode) -> None:
    (control_node.home / "greeting.j2").write_text("hello {{ inventory_hostname }}\n", encoding="utf-8")
    run = control_node.play(
        """
- ansible.builtin.template: {src: greeting.j2, dest: "~/made/", mode: "0644"}
- ansible.builtin.copy: {src: "{{ playbook_dir }}/made/greeting.j2", dest: "{{ playbook_dir }}/copied", mode: "0644"}
- ansible.builtin.fetch: {src: "{{ playbook_dir }}/copied", dest: "{{ playbook_dir }}/fetched", flat: true}
""",
        "--limit",
        "camden",
    )
    assert run.returncode == 0, run.output
    assert (control_node.home / "fetched").read_text(encoding="utf-8") == "hello camden\n"


def test_modules_run_with_the_python_of_ansible_whatever_discovery_would_find(control_node: ControlNode) -> None:
    shown = "- ansible.builtin.setup: {gather_subset: ['!all', python]}\n  delegate_to: camden\n"
    # By its folder: under a path with blanks the same Python is reached by another name.
    folder = f"(ansible_facts.python.executable | dirname | realpath) == '{Path(sys.executable).parent.resolve()}'"
    check = f'- ansible.builtin.assert: {{that: "{folder}"}}\n'
    control_node.environment["ANSIBLE_PYTHON_INTERPRETER"] = "auto_silent"
    run = control_node.play(f"- ansible.builtin.setup: {{gather_subset: ['!all', python]}}\n{check}{shown}")
    assert run.returncode == 0, run.output
    assert "discovered" not in run.output
    # A Python that the inventory names is not replaced: this one does not exist.
    control_node.variables["ansible_python_interpreter"] = "/nonexistent/python"
    assert "/nonexistent/python" in control_node.play(WHO, "--limit", "camden").output


def test_modules_are_pipelined(control_node: ControlNode) -> None:
    run = control_node.play(WHO, "-vvv", "--limit", "camden")
    assert run.returncode == 0, run.output
    assert " PUT " not in run.output
    assert "mkdir" not in run.output


def test_a_denied_or_unknown_role_makes_its_host_unreachable_and_the_others_go_on(control_node: ControlNode) -> None:
    roles = {"camden": "guarded", "hackney": "untrusting", "barnet": "unknown-role"}
    for host, role in roles.items():
        control_node.hosts[host]["ansible_aws_account_role"] = role
    run = control_node.play(WHO * 2)
    for host, role in roles.items():
        line = run.line('"msg":', AUTHORITIES[host])
        refusal = (f"role {role}", "AccessDenied", "not authorized to perform: sts:AssumeRole")
        assert all(part in line for part in refusal), line
        assert run.line(host, "UNREACHABLE!")
        assert run.recap(host) == {**run.recap(host), "unreachable": 1, "failed": 0, "ok": 0}
    assert "Traceback" not in run.output
    for host in HOSTS.keys() - roles.keys():
        assert run.recap(host) == {**run.recap(host), "unreachable": 0, "failed": 0, "ok": 2}


def test_forks_that_wait_for_the_same_refusal_share_it(control_node: ControlNode, gateway: Gateway) -> None:
    control_node.hosts["organisation"]["ansible_aws_account_role"] = "untrusting"
    run = control_node.play(
        "- amazon.aws.aws_caller_info:\n  delegate_to: organisation\n", "--limit", "all:!organisation"
    )
    assert run.output.count("UNREACHABLE!") == len(AUTHORITIES), run.output
    # Whoever begins only after the refusal asks again, which may find it mended.
    assert 1 <= gateway.assumed(ORGANISATION) < len(AUTHORITIES)


def test_an_external_id_opens_a_role_that_asks_for_it(control_node: ControlNode) -> None:
    control_node.hosts["camden"].update(ansible_aws_account_role="guarded", ansible_aws_account_external_id=EXTERNAL_ID)
    run = control_node.play(WHO, "--limit", "camden")
    assert run.line('"arn":', ":assumed-role/guarded/")


def test_a_role_may_be_given_by_its_arn_and_one_of_another_account_is_refused(
    control_node: ControlNode, gateway: Gateway
) -> None:
    role = f"arn:aws:iam::{AUTHORITIES['camden']}:role/{ROLE}"
    control_node.variables["ansible_aws_account_role"] = role
    run = control_node.play(WHO, "--limit", "camden,hackney")
    assert run.recap("camden")["ok"] == 1
    assert run.line(f"The inventory says AWS account {AUTHORITIES['hackney']}", role)
    assert gateway.assumed() == 1


def test_without_a_role_modules_have_the_callers_own_identity_once_it_is_found_to_be_of_the_account(
    control_node: ControlNode, gateway: Gateway
) -> None:
    del control_node.variables["ansible_aws_account_role"]
    control_node.variables["ansible_aws_account_profile"] = "root-of-camden"
    run = control_node.play("- ansible.builtin.command: aws --version\n" * 3, "--limit", "camden,hackney")
    assert run.recap("camden")["ok"] == 3
    line = run.line('"msg":', f"AWS account {AUTHORITIES['hackney']}", "the caller's own identity")
    assert f"account {AUTHORITIES['camden']}" in line
    assert run.recap("hackney")["unreachable"] == 1
    assert (gateway.assumed(), gateway.identified()) == (0, 2)


def test_the_session_is_named_after_the_operator_unless_the_inventory_names_it(
    control_node: ControlNode, gateway: Gateway
) -> None:
    control_node.environment["SUDO_USER"] = "someone"
    control_node.hosts["hackney"]["ansible_aws_account_session_name"] = "pipeline-42"
    run = control_node.play(WHO, "--limit", "camden,hackney")
    names = {call["RoleArn"].split(":")[4]: call["RoleSessionName"] for call in gateway.calls if "RoleArn" in call}
    assert re.fullmatch(r"[\w.-]+@[\w.-]+", names[AUTHORITIES["camden"]])
    assert names[AUTHORITIES["camden"]].startswith("someone@" if os.getuid() == 0 else "")
    assert run.line('"arn":', names[AUTHORITIES["camden"]])
    assert run.line('"arn":', f"{ROLE}/pipeline-42")


def test_options_may_come_from_the_environment(control_node: ControlNode, gateway: Gateway) -> None:
    for name in ("role", "region", "endpoint_url", "shared_credentials_file"):
        control_node.environment[f"LOCALGOV_AWS_ACCOUNT_{name.upper()}"] = control_node.variables.pop(
            f"ansible_aws_account_{name}"
        )
    control_node.environment.update(
        LOCALGOV_AWS_ACCOUNT_DURATION="1800",
        LOCALGOV_AWS_ACCOUNT_SESSION_NAME="from-the-environment",
        LOCALGOV_AWS_ACCOUNT_EXTERNAL_ID=EXTERNAL_ID,
    )
    run = control_node.play(WHO, "--limit", "camden")
    assert run.returncode == 0, run.output
    call = next(call for call in gateway.calls if call["Action"] == "AssumeRole")
    assert (call["DurationSeconds"], call["RoleSessionName"]) == ("1800", "from-the-environment")
    assert call["ExternalId"] == EXTERNAL_ID


def test_the_source_may_be_the_environment_or_a_profile_of_a_named_file(
    control_node: ControlNode, gateway: Gateway, operator: Operator
) -> None:
    del control_node.variables["ansible_aws_account_shared_credentials_file"]
    control_node.environment.update(
        AWS_ACCESS_KEY_ID=operator.access_key_id, AWS_SECRET_ACCESS_KEY=operator.secret_access_key
    )
    assert control_node.play(WHO, "--limit", "camden").returncode == 0
    del control_node.environment["AWS_ACCESS_KEY_ID"], control_node.environment["AWS_SECRET_ACCESS_KEY"]
    (control_node.home / "config").write_text(
        f"[profile work]\naws_access_key_id = {operator.access_key_id}\n"
        f"aws_secret_access_key = {operator.secret_access_key}\nregion = eu-west-2\n",
        encoding="utf-8",
    )
    # Without a region of its own, the host has the profile's.
    del control_node.variables["ansible_aws_account_region"]
    control_node.variables.update(
        ansible_aws_account_profile="work", ansible_aws_account_config_file=str(control_node.home / "config")
    )
    run = control_node.play("- ansible.builtin.command: printenv AWS_REGION\n", "--limit", "camden")
    assert run.line('"stdout":', "eu-west-2")
    assert gateway.assumed() == 2


def test_a_source_that_is_itself_an_assumed_role_is_assumed_once_for_all_accounts(
    control_node: ControlNode, gateway: Gateway, operator: Operator
) -> None:
    (control_node.home / "config").write_text(
        f"[profile chained]\nrole_arn = arn:aws:iam::{ORGANISATION}:role/{ROLE}\nsource_profile = person\n"
        f"endpoint_url = {gateway.endpoint}\nregion = eu-west-2\n"
        f"[profile person]\naws_access_key_id = {operator.access_key_id}\n"
        f"aws_secret_access_key = {operator.secret_access_key}\n",
        encoding="utf-8",
    )
    control_node.variables.update(
        ansible_aws_account_profile="chained",
        ansible_aws_account_config_file=str(control_node.home / "config"),
        ansible_aws_account_role="untrusting",
    )
    control_node.hosts.pop("organisation")
    run = control_node.play(WHO)
    assert run.output.count(f":assumed-role/{ROLE}/") >= len(AUTHORITIES), run.output
    assert (gateway.assumed(ORGANISATION), gateway.assumed()) == (1, 1 + len(AUTHORITIES))


def test_an_endpoint_with_tls_is_trusted_by_its_ca_bundle_only(
    control_node: ControlNode, emulator: str, tmp_path: Path
) -> None:
    certificate = write_certificate(tmp_path / "ca.pem")
    with gateway_before(emulator, certificate) as gateway:
        control_node.variables["ansible_aws_account_endpoint_url"] = gateway.endpoint
        assert control_node.play(WHO, "--limit", "camden").line("UNREACHABLE!", "camden")
        control_node.variables["ansible_aws_account_ca_bundle"] = str(certificate)
        run = control_node.play(f"{WHO}- ansible.builtin.command: aws sts get-caller-identity\n", "--limit", "camden")
        assert run.recap("camden")["ok"] == 2, run.output


def test_a_session_of_another_account_than_the_inventory_says_is_refused(
    control_node: ControlNode, gateway: Gateway
) -> None:
    arn = f"arn:aws:sts::{OPERATOR_ACCOUNT}:assumed-role/{ROLE}/x"
    keys = "<AccessKeyId>A</AccessKeyId><SecretAccessKey>B</SecretAccessKey><SessionToken>C</SessionToken>"
    answer = (
        f"<AssumeRoleResponse><AssumeRoleResult><AssumedRoleUser><Arn>{arn}</Arn></AssumedRoleUser><Credentials>{keys}"
        "<Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"
    )
    gateway.answers_instead = [(200, answer.encode())]
    run = control_node.play(WHO, "--limit", "camden")
    assert run.line('"msg":', f"AWS account {AUTHORITIES['camden']}", "refused", f"account {OPERATOR_ACCOUNT}")
    assert run.recap("camden")["unreachable"] == 1


def test_a_missing_source_is_said_in_one_line(control_node: ControlNode) -> None:
    control_node.variables["ansible_aws_account_shared_credentials_file"] = "/nonexistent"
    control_node.environment["AWS_EC2_METADATA_DISABLED"] = "true"
    run = control_node.play(WHO, "--limit", "camden")
    assert run.line('"msg":', AUTHORITIES["camden"], ROLE, "NoCredentials", "aws sso login")
    control_node.variables["ansible_aws_account_profile"] = "unknown"
    run = control_node.play(WHO, "--limit", "camden")
    assert run.line('"msg":', AUTHORITIES["camden"], "ProfileNotFound", "unknown")


def test_become_is_refused_clearly_and_the_account_is_not_even_asked(
    control_node: ControlNode, gateway: Gateway
) -> None:
    run = control_node.play(WHO, "--limit", "camden", become=True)
    assert run.line("become is refused on an AWS account", "ansible_become: false")
    assert run.recap("camden")["failed"] == 1
    assert gateway.calls == []


def test_an_account_id_without_quotes_is_refused_with_the_octal_trap_explained(
    control_node: ControlNode, gateway: Gateway
) -> None:
    control_node.hosts["camden"]["ansible_aws_account_id"] = int("012345670123", 8)
    control_node.hosts["hackney"]["ansible_aws_account_id"] = 222233334444
    run = control_node.play(WHO, "--limit", "camden,hackney")
    for probably in ("012345670123", "222233334444"):
        assert run.line('"msg":', "octal", f'ansible_aws_account_id: \\"{probably}\\"')
    assert gateway.calls == []


def test_only_the_session_is_visible_to_modules(control_node: ControlNode, operator: Operator) -> None:
    control_node.environment.update(
        AWS_PROFILE="mine",
        AWS_DEFAULT_PROFILE="mine",
        AWS_ROLE_ARN="arn:aws:iam::1:role/x",
        AWS_WEB_IDENTITY_TOKEN_FILE="/nonexistent",
        AWS_CONTAINER_CREDENTIALS_FULL_URI="http://127.0.0.1:9/",
        AWS_ENDPOINT_URL_S3="http://127.0.0.1:9/",
        AWS_SECURITY_TOKEN="of-mine",
        EC2_ACCESS_KEY="of-mine",
        AWS_CONFIG_FILE="/nonexistent",
        AWS_MAX_ATTEMPTS="7",
        LOCALGOV_AWS_ACCOUNT_EXTERNAL_ID=EXTERNAL_ID,
    )
    control_node.variables["ansible_aws_account_profile"] = "default"
    run = control_node.play("- ansible.builtin.command: env\n", "--limit", "camden")
    variables = dict(re.findall(r'"((?:AWS|EC2|LOCALGOV)_\w+)=([^"]*)"', run.output))
    assert variables.pop("AWS_ACCESS_KEY_ID").startswith("ASIA")
    assert variables == {
        "AWS_SECRET_ACCESS_KEY": "********",
        "AWS_SESSION_TOKEN": "********",
        "AWS_REGION": "eu-west-2",
        "AWS_DEFAULT_REGION": "eu-west-2",
        "AWS_ENDPOINT_URL": control_node.variables["ansible_aws_account_endpoint_url"],
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_MAX_ATTEMPTS": "7",
        "AWS_RETRY_MODE": "standard",
    }


EVERYTHING_THAT_MIGHT_TELL = f"""
- ansible.builtin.setup:
- ansible.builtin.command: env
  register: seen
- ansible.builtin.shell: env >&2; false
  ignore_errors: true
- ansible.builtin.command: aws sts get-caller-identity --debug
- ansible.builtin.command: aws configure export-credentials --format env
  ignore_errors: true
- amazon.aws.aws_caller_info: {{debug_botocore_endpoint_logs: true}}
  delegate_to: organisation
- amazon.aws.s3_bucket: {{name: "b{{{{ ansible_aws_account_id }}}}"}}
- ansible.builtin.command: env
  async: 60
  poll: 1
- ansible.builtin.command: aws sts assume-role --role-arn arn:aws:iam::{OPERATOR_ACCOUNT}:role/x --role-session-name xx
  ignore_errors: true
- ansible.builtin.debug: {{var: "hostvars[inventory_hostname]"}}
- ansible.builtin.copy: {{content: "{{{{ hostvars[inventory_hostname] | string }}}}", dest: ./kept, mode: "0600"}}
"""


@pytest.mark.parametrize("keep", ["0", "1"])
def test_no_secret_is_in_output_results_command_lines_or_files_left_behind(
    control_node: ControlNode, gateway: Gateway, operator: Operator, keep: str
) -> None:
    control_node.environment["ANSIBLE_KEEP_REMOTE_FILES"] = keep
    control_node.environment["ANSIBLE_LOG_PATH"] = str(control_node.home / "ansible.log")
    run = control_node.play(EVERYTHING_THAT_MIGHT_TELL, "-vvvv", "--limit", "camden,hackney", watched=True)
    assert run.returncode == 0, run.output
    secrets = {*gateway.secrets, operator.secret_access_key}
    assert len(secrets) == 7
    written = control_node.written()
    assert control_node.home / "kept" in written
    assert any("AnsiballZ" in line for line in run.argv)
    for secret in secrets:
        assert secret not in run.output
        assert not [line for line in run.argv if secret in line]
        assert not [path for path, text in written.items() if secret in text]
    assert control_node.session_directories() == []


def test_a_presigned_url_keeps_the_token_that_it_needs(control_node: ControlNode) -> None:
    run = control_node.play("- ansible.builtin.command: aws s3 presign s3://bucket/key\n", "--limit", "camden")
    assert re.search(r"X-Amz-Security-Token=[\w%]{40,}", run.output), run.output


def test_an_answer_of_aws_that_repeats_the_request_does_not_tell_the_token(
    control_node: ControlNode, gateway: Gateway, operator: Operator
) -> None:
    message = (
        f"The signature does not match, {operator.secret_access_key}.\nThe Canonical String was\nx-amz-security-token:T"
    )
    answer = (
        f"<ErrorResponse><Error><Code>SignatureDoesNotMatch</Code><Message>{message}</Message></Error></ErrorResponse>"
    )
    gateway.answers_instead = [(403, answer.encode())]
    run = control_node.play(WHO, "-vvvv", "--limit", "camden")
    assert run.line('"msg":', "SignatureDoesNotMatch", "********")
    assert operator.secret_access_key not in run.output
    assert "security-token" not in run.output


def test_a_throttled_call_is_tried_again(control_node: ControlNode, gateway: Gateway) -> None:
    answer = b"<ErrorResponse><Error><Code>Throttling</Code><Message>Rate exceeded</Message></Error></ErrorResponse>"
    gateway.answers_instead = [(400, answer), (400, answer)]
    run = control_node.play(WHO, "--limit", "camden")
    assert run.returncode == 0, run.output
    assert gateway.assumed() == 3


AGE_THE_SESSION = f"""
- ansible.builtin.shell: |
    import glob, json, os
    name, = glob.glob(os.path.expanduser("~/.ansible/tmp/*/aws-account-sessions.*/*.json"))
    entry = json.load(open(name))
    entry["issued_at"] -= SECONDS
    entry["expires_at"] -= SECONDS
    json.dump(entry, open(name, "w"))
  args: {{executable: "{sys.executable}"}}
"""


@pytest.mark.parametrize(("age", "calls"), [(3250, 1), (3350, 2), (4000, 2)])
def test_a_session_is_renewed_when_five_minutes_are_left_and_not_before(
    control_node: ControlNode, gateway: Gateway, age: int, calls: int
) -> None:
    run = control_node.play(f"{WHO}{AGE_THE_SESSION.replace('SECONDS', str(age))}{WHO}{WHO}", "--limit", "camden")
    assert run.returncode == 0, run.output
    assert gateway.assumed() == calls


def test_an_asynchronous_task_begins_with_a_session_that_outlasts_it_as_far_as_it_can(
    control_node: ControlNode, gateway: Gateway
) -> None:
    work = "- ansible.builtin.command: aws --version\n  async: {seconds}\n  poll: 1\n"
    run = control_node.play(
        WHO
        + AGE_THE_SESSION.replace("SECONDS", "2000")
        + work.format(seconds=1200)  # 1600 seconds are left: enough
        + work.format(seconds=1500)  # and now they are not, with the margin: renewed
        + work.format(seconds=7200),  # longer than any session of this duration: a new one would not help
        "--limit",
        "camden",
    )
    assert run.returncode == 0, run.output
    assert gateway.assumed() == 2
    assert re.search(r"may go on for 7200 seconds.*ansible_aws_account_duration", run.output.replace("\n", " "))


def test_reset_connection_discards_the_session(control_node: ControlNode, gateway: Gateway) -> None:
    run = control_node.play(f"{WHO}- ansible.builtin.meta: reset_connection\n{WHO}", "--limit", "camden")
    assert run.returncode == 0, run.output
    assert gateway.assumed() == 2


def test_a_role_may_differ_from_one_item_of_a_loop_to_the_next(control_node: ControlNode) -> None:
    tasks = """
- amazon.aws.aws_caller_info:
  vars: {ansible_aws_account_role: "{{ item.role }}", ansible_aws_account_external_id: "{{ item.id }}"}
  loop: [{role: localgov-deploy, id: none}, {role: guarded, id: %s}]
"""
    run = control_node.play(tasks % EXTERNAL_ID, "--limit", "camden")
    assert run.line('"arn":', ":assumed-role/localgov-deploy/")
    assert run.line('"arn":', ":assumed-role/guarded/")


WAIT = f"{WHO}- ansible.builtin.shell: until test -e ended; do sleep 0.1; done\n"


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_cache_is_its_owners_only_and_goes_with_the_run_however_it_ends(
    control_node: ControlNode, how: signal.Signals
) -> None:
    process = control_node.start(WAIT, "--limit", "camden")
    directory = wait_for(control_node.session_directories, "the sessions")[0]
    files = wait_for(lambda: [path for path in directory.glob("*.json")], "a session")
    inside = [path for path in (directory, *directory.rglob("*")) if not path.is_symlink()]
    assert {path.stat().st_mode & 0o777 for path in inside if path.is_dir()} == {0o700}
    assert {path.stat().st_mode & 0o777 for path in inside if not path.is_dir()} == {0o600}
    assert "secret_access_key" in files[0].read_text(encoding="utf-8")
    process.send_signal(how)
    process.wait(30)
    try:
        wait_for(lambda: not control_node.session_directories(), "the end of the sessions", 10)
        wait_for(lambda: not control_node.processes(), "the end of the warm Python, and of the modules", 10)
    finally:
        # Should something be left running after all, it ends by this.
        (control_node.home / "ended").touch()


def test_what_a_run_left_behind_is_swept_by_the_next(control_node: ControlNode) -> None:
    host = os.uname().nodename
    folder = control_node.home / ".ansible" / "tmp" / "ansible-local-1abc"
    alive = folder / f"aws-account-sessions.{host}.{os.getpid()}.{_started(os.getpid())}"
    dead = folder / f"aws-account-sessions.{host}.{os.getpid()}.1"
    elsewhere = folder / "aws-account-sessions.another.machine.4711.1"
    old = folder / "aws-account-sessions.another.machine.4712.1"
    for directory in (alive, dead, elsewhere, old):
        directory.mkdir(parents=True)
        (directory / "session.json").touch()
    os.utime(old, (0, 0))
    assert control_node.play(WHO, "--limit", "camden").returncode == 0
    assert {path for path in folder.iterdir()} == {alive, elsewhere}


def _started(pid: int) -> str:
    from ansible_collections.localgov.platform.plugins.plugin_utils._run_directory import process_started

    started: str = process_started(pid)
    return started
