# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An AWS account as an Ansible host."""

from __future__ import annotations

DOCUMENTATION = r"""
name: aws_account
short_description: Run modules in an AWS account
version_added: 0.1.0
author:
  - localgov.platform contributors (!UNKNOWN)
description:
  - Makes an AWS account an Ansible host. To connect is to assume a role in the account; the modules then run on the
    control node, with the session in the environment of their process.
  - Therefore no task, role or variable carries a credential, and C(--limit), C(serial), C(forks), C(delegate_to) and
    the handling of unreachable hosts mean for accounts what they mean for machines.
  - It works for modules of any collection, for M(ansible.builtin.command) and M(ansible.builtin.shell) (the C(aws)
    command), and for asynchronous tasks.
  - The source identity, which assumes the role, is found by boto3's own chain of credentials - environment, profile,
    single sign-on, container or instance.
requirements:
  - boto3 in the Python that runs Ansible
options:
  account_id:
    description:
      - The account's number, twelve digits in quotes. Every host that uses this plugin needs it.
      - Without quotes YAML reads the digits as a number, and as an octal one when they begin with V(0), so that the
        account becomes another. A number is therefore refused, whatever its value.
    type: raw
    vars:
      - name: ansible_aws_account_id
  role:
    description:
      - The role to assume, by its name (with its path, if it has one) or its ARN.
      - Without it, modules use the caller's own identity, once it has been found to be one of O(account_id).
    type: str
    vars:
      - name: ansible_aws_account_role
    env:
      - name: LOCALGOV_AWS_ACCOUNT_ROLE
  external_id:
    description:
      - The external id that the role's trust policy asks for.
    type: str
    vars:
      - name: ansible_aws_account_external_id
    env:
      - name: LOCALGOV_AWS_ACCOUNT_EXTERNAL_ID
  session_name:
    description:
      - The name of the session, which CloudTrail shows beside everything that the session does.
      - By default it names the operator, as C(user@control-node); under C(sudo), the user who called it.
      - Set it where that says little, such as in a CI job.
    type: str
    vars:
      - name: ansible_aws_account_session_name
    env:
      - name: LOCALGOV_AWS_ACCOUNT_SESSION_NAME
  duration:
    description:
      - How long a session lasts, in seconds, from V(900) to V(43200).
      - The role's own limit, and AWS's limit of one hour for a role assumed from another role, must allow it.
      - A session is renewed between tasks, never within one, so no task may last longer.
    type: int
    default: 3600
    vars:
      - name: ansible_aws_account_duration
    env:
      - name: LOCALGOV_AWS_ACCOUNT_DURATION
  region:
    description:
      - The region in which modules work, unless a task names another.
      - By default the one of the source's profile, if it has one.
    type: str
    vars:
      - name: ansible_aws_account_region
    env:
      - name: LOCALGOV_AWS_ACCOUNT_REGION
      - name: AWS_REGION
      - name: AWS_DEFAULT_REGION
  profile:
    description:
      - The profile that is the source identity.
      - As everywhere in boto3, a profile named here wins over credentials in the environment, and E(AWS_PROFILE) does
        not.
    type: str
    vars:
      - name: ansible_aws_account_profile
    env:
      - name: LOCALGOV_AWS_ACCOUNT_PROFILE
  shared_credentials_file:
    description:
      - The file in which the source's credentials are looked for, instead of boto3's default.
    type: path
    vars:
      - name: ansible_aws_account_shared_credentials_file
    env:
      - name: LOCALGOV_AWS_ACCOUNT_SHARED_CREDENTIALS_FILE
  config_file:
    description:
      - The file in which the source's profiles are looked for, instead of boto3's default.
    type: path
    vars:
      - name: ansible_aws_account_config_file
    env:
      - name: LOCALGOV_AWS_ACCOUNT_CONFIG_FILE
  endpoint_url:
    description:
      - Where all services are called, for accounts that are not at AWS's own addresses (an emulator).
      - Without it E(AWS_ENDPOINT_URL) and its kin keep their meaning.
    type: str
    vars:
      - name: ansible_aws_account_endpoint_url
    env:
      - name: LOCALGOV_AWS_ACCOUNT_ENDPOINT_URL
  ca_bundle:
    description:
      - The certificates by which O(endpoint_url) is trusted.
      - Without it E(AWS_CA_BUNDLE) keeps its meaning.
    type: path
    vars:
      - name: ansible_aws_account_ca_bundle
    env:
      - name: LOCALGOV_AWS_ACCOUNT_CA_BUNDLE
  warm:
    description:
      - Whether modules are run by forks of one Python, which is started once per run and has boto3 loaded, instead of
        by a Python of their own each. That takes a small part of the time, and gives the same results.
      - "A module has to itself, as without it: its process and process group, its environment, standard streams,
        signals, working directory and limits, all that it loads or changes in memory, and the code of its payload,
        which is run anew each time. Modules of one run share: the version of boto3 and of the standard library
        that was found at the start, the seed of Python's hashes, and the layout of the memory."
      - The Python that waits never reads what a module is given, neither parameters nor the session, and has none of
        the operator's environment but what shapes a process, such as the locale. It is reached through the
        directory of the run, by its owner only, and ends with the run, even if the run is killed.
      - A module ends with what waits for it. One that outlives its C(timeout), or whose run is killed, is terminated;
        without O(warm) it would go on.
      - "What it could not do alike it leaves to a process of its own, without a word: asynchronous tasks, commands,
        another interpreter than that of Ansible, modules that are not in Python or not pipelined, and
        tasks whose C(environment) sets what Python or the C library read at their start (E(LD_PRELOAD), E(TZ),
        E(LC_ALL), E(PYTHONPATH) and the like). Where the kernel is not Linux 5.3 or later, everything."
    type: bool
    default: true
    vars:
      - name: ansible_aws_account_warm
    env:
      - name: LOCALGOV_AWS_ACCOUNT_WARM
  pipelining:
    description:
      - Whether modules are handed to Python directly, instead of through a file.
    type: bool
    default: true
    vars:
      - name: ansible_pipelining
      - name: ansible_aws_account_pipelining
    env:
      - name: ANSIBLE_PIPELINING
    ini:
      - section: defaults
        key: pipelining
      - section: connection
        key: pipelining
notes:
  - There is one AssumeRole for each account and run. All forks share the session through a directory that only its
    owner can read, inside Ansible's temporary directory (C(local_tmp)). It is removed when the run ends, even if the
    run is killed.
  - A session is renewed when five minutes, or a fifth of a shorter O(duration), are left. A task with C(async) begins
    with a session that outlasts it, as far as O(duration) allows.
  - The caller's own AWS variables and files are out of the modules' sight, so that a task cannot act as anyone else
    unknowingly. O(profile) of a module does not work here; use another host, or C(delegate_to).
  - The session's secrets are masked in whatever a module or command prints, except in presigned URLs. They are not
    masked where a task itself writes its environment to a file.
  - Modules run with the Python that runs Ansible, unless C(ansible_python_interpreter) or C(interpreter_python) names
    one.
  - C(become) is refused, because it would change the user on the control node.
  - M(ansible.builtin.meta) with C(reset_connection) discards the account's session.
seealso:
  - name: AssumeRole
    description: Who may assume a role, and for how long.
    link: https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
"""

EXAMPLES = r"""
# An inventory of accounts:
#
# organisation:
#   hosts:
#     hub:
#       ansible_aws_account_id: "012345670123"
# local_authorities:
#   hosts:
#     camden:
#       ansible_aws_account_id: "111122223333"
#   vars:
#     ansible_aws_account_external_id: localgov
# all:
#   vars:
#     ansible_connection: localgov.platform.aws_account
#     ansible_aws_account_role: localgov-deploy
#     ansible_aws_account_region: eu-west-2

- name: Every account has its own log group, and the organisation knows
  hosts: local_authorities
  gather_facts: false
  tasks:
    - name: Make the log group in the account
      amazon.aws.cloudwatchlogs_log_group:
        log_group_name: /localgov/frontend

    - name: Ask the organisation for its repositories
      ansible.builtin.command: aws ecr describe-repositories
      delegate_to: hub
      changed_when: false
"""

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import ansible
from ansible import constants
from ansible.errors import AnsibleConnectionFailure, AnsibleError, AnsibleOptionsError
from ansible.plugins.become import BecomeBase
from ansible.plugins.connection import ensure_connect
from ansible.plugins.connection.local import Connection as LocalConnection
from ansible.utils.collection_loader import AnsibleCollectionConfig
from ansible.utils.display import Display
from ansible_collections.localgov.platform.plugins.plugin_utils._aws_session import AwsSession, SessionProvider
from ansible_collections.localgov.platform.plugins.plugin_utils._module_environment import module_environment
from ansible_collections.localgov.platform.plugins.plugin_utils._redaction import redacted
from ansible_collections.localgov.platform.plugins.plugin_utils._run_cache import RunCache, SessionRefusedError
from ansible_collections.localgov.platform.plugins.plugin_utils._run_directory import run_directory
from ansible_collections.localgov.platform.plugins.plugin_utils._session_request import (
    InvalidRequestError,
    SessionRequest,
    session_request,
)
from ansible_collections.localgov.platform.plugins.plugin_utils._warm_python import (
    WarmPython,
    WarmRunLostError,
    module_command,
)

display = Display()

_REQUEST_OPTIONS = (
    "account_id",
    "role",
    "external_id",
    "session_name",
    "duration",
    "region",
    "profile",
    "shared_credentials_file",
    "config_file",
    "endpoint_url",
    "ca_bundle",
)


class Connection(LocalConnection):  # type: ignore[misc]  # ansible-core has no type stubs
    """Ansible's local connection, whose commands run with the session of an account."""

    transport = "localgov.platform.aws_account"
    has_pipelining = True

    _async_seconds = 0
    _current: tuple[SessionRequest, AwsSession] | None = None

    def set_become_plugin(self, plugin: BecomeBase | None) -> None:
        if plugin is not None:
            raise AnsibleError(
                "become is refused on an AWS account: it would change the user on the control node, not what may be "
                "done in the account. Set become: false on the play or task, or ansible_become: false for the host; "
                "give the account another ansible_aws_account_role to do more."
            )
        super().set_become_plugin(plugin)

    def set_options(
        self,
        task_keys: dict[str, Any] | None = None,
        var_options: dict[str, Any] | None = None,
        direct: dict[str, Any] | None = None,
    ) -> None:
        super().set_options(task_keys=task_keys, var_options=var_options, direct=direct)
        self._async_seconds = int((task_keys or {}).get("async_val") or 0)

    def update_vars(self, variables: dict[str, Any]) -> None:
        """Gives the task's variables the connection's own, and the Python that runs Ansible in place of discovery."""
        super().update_vars(variables)
        delegated = variables.get("ansible_delegated_vars") or {}
        for host_variables in (variables, *delegated.values()):
            if "ansible_python_interpreter" not in host_variables and _discovers_python():
                host_variables["ansible_python_interpreter"] = _python_without_blanks()

    def get_option(self, option: str, hostvars: dict[str, Any] | None = None) -> object:
        # Ansible takes `~` for the home of the remote user as the password file has it. Without one it is that of the
        # environment, which is where modules and asynchronous jobs look.
        return "" if option == "remote_user" else super().get_option(option, hostvars=hostvars)

    def _connect(self) -> Connection:
        self._session()
        self._connected = True
        return self

    @ensure_connect  # type: ignore[untyped-decorator]
    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> tuple[int, bytes, bytes]:
        request, session = self._session()
        display.vvv(f"EXEC {cmd}", host=self._play_context.remote_addr)
        environment = module_environment(os.environ, session, request)
        completed = self._run_warm(cmd, in_data, environment) or subprocess.run(
            [_executable(), "-c", cmd],
            input=in_data or b"",
            capture_output=True,
            env=environment,
            check=False,
        )
        return completed.returncode, _masked(completed.stdout, session), _masked(completed.stderr, session)

    def _run_warm(
        self, cmd: str, in_data: bytes | None, environment: dict[str, str]
    ) -> subprocess.CompletedProcess[bytes] | None:
        """What came of the module in the warm Python; None for all that has to be run in a process of its own."""
        command = module_command(cmd, in_data) if self.get_option("warm") else None
        if command is None or in_data is None:
            return None
        directory = run_directory(Path(constants.DEFAULT_LOCAL_TMP)) / "warm"
        warm = WarmPython(directory, _executable(), _python_without_blanks(), _roots_of_module_code())
        try:
            completed = warm.run(command, in_data, environment)
        except WarmRunLostError:
            raise AnsibleConnectionFailure(
                f"{self._request().label}: the warm Python of this run ended while a module ran; what the module did "
                "until then is not known. Look what ended it (memory?), and run the play again; with "
                "ansible_aws_account_warm: false each module has a process of its own."
            ) from None
        display.vvv("RUN WARM" if completed else "RUN COLD", host=self._play_context.remote_addr)
        return completed

    def reset(self) -> None:
        """Discards the account's session: the next task gets a new one."""
        self._provider().forget(self._request())
        self.close()

    def close(self) -> None:
        self._current = None
        super().close()

    def _request(self) -> SessionRequest:
        try:
            return session_request({name: self.get_option(name) for name in _REQUEST_OPTIONS})
        except InvalidRequestError as invalid:
            raise AnsibleOptionsError(str(invalid)) from None

    def _session(self) -> tuple[SessionRequest, AwsSession]:
        """The session that the options ask for now; in a loop they may change while the connection stays."""
        request = self._request()
        # Only the first command of a task starts the asynchronous work, those that follow ask how it fares.
        lasting, self._async_seconds = self._async_seconds, 0
        if self._current and self._current[0] == request and self._is_good(self._current[1], lasting):
            return self._current
        try:
            session = self._provider().session(request, lasting)
        except SessionRefusedError as refused:
            raise AnsibleConnectionFailure(str(refused)) from None
        except ImportError as missing:
            raise AnsibleError(
                f"{request.label}: {missing}. Install boto3 beside Ansible, for {sys.executable}."
            ) from None
        self._announce(request, session, lasting)
        self._current = (request, session)
        return self._current

    @staticmethod
    def _is_good(session: AwsSession, lasting: int) -> bool:
        # The caller's own identity is renewed by its source, which has to be asked each time.
        return session.expires_at is not None and session.lasts(lasting, time.time())

    def _announce(self, request: SessionRequest, session: AwsSession, lasting: int) -> None:
        left = session.expires_at - time.time() if session.expires_at else None
        ends = "that AWS or its source renews" if left is None else f"with {left:.0f} seconds left"
        display.vvv(f"AWS SESSION {session.arn} {ends}", host=self._play_context.remote_addr)
        if left is not None and lasting > left:
            display.warning(
                f"{request.label}: the task may go on for {lasting} seconds, but its session ends in {left:.0f}. "
                "Raise ansible_aws_account_duration."
            )

    @staticmethod
    def _provider() -> SessionProvider:
        return SessionProvider(RunCache(run_directory(Path(constants.DEFAULT_LOCAL_TMP))))


def _executable() -> str:
    return str(constants.DEFAULT_EXECUTABLE.split()[0])


def _roots_of_module_code() -> list[str]:
    """The folders in which `ansible` and `ansible_collections` lie, from which Ansible packs a module's payload."""
    return [str(Path(ansible.__file__).parent.parent), *AnsibleCollectionConfig.collection_paths]


def _python_without_blanks() -> str:
    """The Python that runs Ansible. Asynchronous jobs split its path at blanks: such a path gets a plain name."""
    python = Path(sys.executable)
    if not any(map(str.isspace, sys.executable)) or not python.is_relative_to(sys.prefix):
        return sys.executable
    environment = run_directory(Path(constants.DEFAULT_LOCAL_TMP)) / "environment"
    with suppress(FileExistsError):
        environment.symlink_to(sys.prefix)
    return str(environment / python.relative_to(sys.prefix))


def _discovers_python() -> bool:
    """Whether Ansible would look for a Python, as it does for a machine it does not know; here it is known."""
    configured = str(constants.config.get_config_value("INTERPRETER_PYTHON") or "auto")
    return configured.startswith("auto")


def _masked(output: bytes, session: AwsSession) -> bytes:
    # surrogateescape brings back every byte that is not UTF-8 as it was.
    text: str = redacted(output.decode(errors="surrogateescape"), session.secrets)
    return text.encode(errors="surrogateescape")
