# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: ANN401  boto3's clients have no static types
"""One run at a time, decided by a real S3 under the deploy role's documented rights."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.localgov.platform.plugins.lookup.this_run import LookupModule
from ansible_collections.localgov.platform.plugins.module_utils import _deployment_lock
from ansible_collections.localgov.platform.plugins.module_utils._deployment_lock import (
    Claim,
    HeldByOtherError,
    NotPreparedError,
    look,
    release,
    run_is_over,
    take,
    this_machine,
)
from ansible_collections.localgov.platform.plugins.module_utils._policy_resources import RefusedError
from ansible_collections.localgov.platform.plugins.plugin_utils._run_directory import process_started

from tests.integration.rollout.conftest import Operator, s3_of
from tests.sandbox.conftest import Sandbox

KEY = "lock.json"
ALICE = Claim("alice@laptop", "elsewhere.pid.1.1", 3600)
BOB = Claim("bob@desk", "elsewhere.pid.2.2", 3600)


def is_not_over(_run: str) -> bool:
    return False


@pytest.fixture
def s3(sandbox: Sandbox) -> Any:
    return s3_of(sandbox, "camden")


@pytest.fixture
def bucket(s3: Any) -> str:
    name = f"localgov-{uuid.uuid4().hex[:12]}-rollout"
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-west-2"})
    return name


@pytest.fixture
def takes(s3: Any, bucket: str) -> Callable[..., str]:
    def take_it(claim: Claim, **given: Any) -> str:
        return take(s3, bucket, KEY, claim, **{"is_over": is_not_over, "prepared": True, **given}).because

    return take_it


def owner(s3: Any, bucket: str) -> str:
    held = look(s3, bucket, KEY)
    return held.claim.owner if held else ""


def test_a_second_operator_is_told_who_is_first_and_what_to_do(takes: Callable[..., str]) -> None:
    assert takes(ALICE) == ""
    with pytest.raises(
        HeldByOtherError, match=r"alice@laptop deploys this account since .* UTC.*platform_take_lock_from=alice@laptop"
    ):
        takes(BOB)


def test_of_many_who_come_at_once_one_is_let_in(takes: Callable[..., str], s3: Any, bucket: str) -> None:
    assert len(let_in(takes)) == 1


def test_of_many_who_find_an_expired_lock_one_takes_it(takes: Callable[..., str], s3: Any, bucket: str) -> None:
    takes(Claim("alice@laptop", "elsewhere.pid.1.1", 0))
    (winner,) = let_in(takes)
    assert owner(s3, bucket) == winner


def let_in(takes: Callable[..., str]) -> list[str]:
    def come(number: int) -> str:
        try:
            takes(Claim(f"operator-{number}", f"elsewhere.pid.{number}.0", 3600))
        except HeldByOtherError:
            return ""
        return f"operator-{number}"

    with ThreadPoolExecutor(12) as operators:
        return [name for name in operators.map(come, range(12)) if name]


def test_a_lock_that_has_expired_is_taken_over_and_that_is_said(takes: Callable[..., str]) -> None:
    takes(Claim("alice@laptop", "elsewhere.pid.1.1", 0))
    assert "alice@laptop has expired" in takes(BOB)


def test_a_run_that_asks_again_has_its_lock(takes: Callable[..., str]) -> None:
    """As where the answer to the first attempt was lost."""
    takes(ALICE)
    assert takes(ALICE) == ""


def test_a_run_that_asks_again_has_its_lock_for_longer(takes: Callable[..., str], s3: Any, bucket: str) -> None:
    takes(Claim(ALICE.owner, ALICE.run, 0))
    takes(ALICE)
    with pytest.raises(HeldByOtherError):
        takes(BOB)
    assert owner(s3, bucket) == "alice@laptop"


def test_a_run_that_has_lost_its_lock_cannot_keep_it_for_longer(takes: Callable[..., str]) -> None:
    takes(Claim(ALICE.owner, ALICE.run, 0))
    takes(BOB)
    with pytest.raises(HeldByOtherError, match="bob@desk deploys this account"):
        takes(ALICE)


def test_the_lock_is_taken_from_whom_the_operator_names_and_from_nobody_else(takes: Callable[..., str]) -> None:
    takes(ALICE)
    with pytest.raises(HeldByOtherError):
        takes(BOB, take_from="carol@desk")
    assert "taken from alice@laptop" in takes(BOB, take_from="alice@laptop")


def test_a_run_gives_back_its_own_lock(takes: Callable[..., str], s3: Any, bucket: str) -> None:
    takes(ALICE)
    assert release(s3, bucket, KEY, ALICE) == ""
    assert takes(BOB) == ""


def test_a_run_that_knows_the_tag_of_its_lock_gives_it_back_without_a_look(s3: Any, bucket: str) -> None:
    taken = take(s3, bucket, KEY, ALICE, prepared=True, is_over=is_not_over)
    assert release(s3, bucket, KEY, ALICE, taken.tag) == ""
    assert take(s3, bucket, KEY, BOB, prepared=True, is_over=is_not_over).because == ""
    assert "has lost its lock, which had expired or was taken: bob@desk" in release(s3, bucket, KEY, ALICE, taken.tag)
    assert owner(s3, bucket) == "bob@desk"
    assert release(s3, "localgov-none-rollout", KEY, ALICE, taken.tag) == ""


RENEWING = """\
- hosts: camden
  gather_facts: false
  vars:
    run: "{{ lookup('localgov.platform.this_run') }}"
  tasks:
    - localgov.platform.deployment_lock: &lock
        bucket: "{{ bucket }}"
        owner: alice
        run: "{{ run.run }}"
        left_in: "{{ run.directory }}"
        lasts: "{{ lasts }}"
        prepared: true
    - amazon.aws.s3_object: {bucket: "{{ bucket }}", object: lock.json, mode: delobj}
    - localgov.platform.deployment_lock: *lock
    - amazon.aws.s3_object_info: {bucket_name: "{{ bucket }}"}
      register: left
    - ansible.builtin.copy:
        content: "{{ left.s3_keys | default([]) | to_json }}"
        dest: "{{ written }}"
      delegate_to: localhost
"""


@pytest.mark.parametrize(("lasts", "found"), [(3600, []), (0, [KEY])])
def test_a_lock_is_renewed_only_when_a_part_of_its_time_is_over(
    operator: Callable[[], Operator], bucket: str, tmp_path: Path, lasts: int, found: list[str]
) -> None:
    """It is taken away meanwhile, so that one sees whether it was written again."""
    playbook = tmp_path / "renewing.yml"
    playbook.write_text(RENEWING)
    written = tmp_path / "found.json"
    given = {"bucket": bucket, "lasts": lasts, "written": str(written)}
    done = operator().runs(playbook, "-e", json.dumps(given))
    assert done.returncode == 0, done.stdout[-3000:]
    assert json.loads(written.read_text()) == found


def test_a_run_that_lost_its_lock_leaves_it_alone_and_says_who_has_it(
    takes: Callable[..., str], s3: Any, bucket: str
) -> None:
    takes(ALICE)
    takes(BOB, take_from="alice@laptop")
    assert "has lost its lock, which had expired or was taken: bob@desk" in release(s3, bucket, KEY, ALICE)
    assert owner(s3, bucket) == "bob@desk"


def test_a_run_is_told_also_of_another_that_has_come_and_gone(takes: Callable[..., str], s3: Any, bucket: str) -> None:
    takes(ALICE)
    takes(BOB, take_from="alice@laptop")
    release(s3, bucket, KEY, BOB)
    assert "another run has come and gone" in release(s3, bucket, KEY, ALICE)


def test_of_a_lock_that_is_gone_with_its_bucket_nothing_is_said(s3: Any) -> None:
    assert release(s3, "localgov-none-rollout", KEY, ALICE) == ""


def test_a_run_of_this_machine_is_over_when_its_process_is_gone() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    run = ".".join([*this_machine(), str(process.pid), process_started(process.pid)])
    assert not run_is_over(run)
    process.communicate(b"\n")
    assert run_is_over(run)


def test_a_process_that_cannot_be_looked_at_is_not_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where /proc hides the processes of others."""
    (this,) = LookupModule().run([])

    def hidden(path: Path, *_: object, **__: object) -> str:
        raise FileNotFoundError(path)

    machine = this_machine()
    monkeypatch.setattr(_deployment_lock, "this_machine", lambda: machine)
    monkeypatch.setattr(Path, "read_text", hidden)
    assert not run_is_over(this["run"])


def test_nothing_is_said_of_runs_of_other_machines() -> None:
    boot, _namespace = this_machine()
    assert not run_is_over("another-boot.pid:[1].999999999.1")
    assert not run_is_over(f"{boot}.pid:[1].999999999.1")
    assert not run_is_over("...")


def test_the_run_that_asks_is_not_over() -> None:
    (this,) = LookupModule().run([])
    assert not run_is_over(this["run"])
    assert "@" in this["operator"]


def test_a_bucket_that_never_had_a_lock_may_be_half_made_and_is_left_to_be_made(s3: Any, bucket: str) -> None:
    for name in (bucket, "localgov-none-rollout"):
        with pytest.raises(NotPreparedError, match=f"never been a lock in the bucket {name}"):
            take(s3, name, KEY, ALICE, is_over=is_not_over)


def test_a_bucket_that_had_one_is_not_made_again(takes: Callable[..., str], s3: Any, bucket: str) -> None:
    takes(ALICE)
    release(s3, bucket, KEY, ALICE)
    assert take(s3, bucket, KEY, BOB, is_over=is_not_over).because == ""


def test_what_is_no_lock_is_not_overwritten(takes: Callable[..., str], s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key=KEY, Body=b"something else")
    with pytest.raises(RefusedError, match="no lock that this version can read"):
        takes(BOB)
