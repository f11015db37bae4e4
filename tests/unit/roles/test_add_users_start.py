# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: ANN401  any setting
"""How the task's script is started inside the container, and what of it gets out."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

START = Path(__file__).resolve().parents[3] / "roles" / "add_users_stepfn" / "files" / "container" / "start.py"
TOKEN, PASSWORD = "token-4711", "password-4711"
ADDS = """
import json, sys
endpoint, token, path = sys.argv[1:]
for line in open(path):
    user = json.loads(line)
    print("adding", user, token)
    if user["name"] == "here": raise SystemExit(f"{user} already exists")
    if user["name"] == "bad": raise ValueError(f"HTTP 422 for {user}")
"""


@dataclass
class Ran:
    code: int
    output: str
    results: list[dict[str, Any]]


@dataclass
class Container:
    folder: Path

    def write(self, script: str, *names: str, name: str = "script.py", **more: Any) -> None:
        (self.folder / name).write_text(script)
        for area in ("files", "results"):
            (self.folder / area / "one").mkdir(parents=True, exist_ok=True)
        users = [json.dumps({"name": one, "password": PASSWORD, **more}) for one in names]
        (self.folder / "files" / "one" / "file").write_text("\n".join(users) + "\n")

    def environment(self, *, environment: dict[str, str] | None = None, **settings: Any) -> dict[str, str]:
        defaults = {
            "command": ["script.py", "{ENDPOINT}", "{TOKEN}", "{file}"],
            "run": "once_per_line",
            "exists": "already exists",
            "log_output": "errors_only",
            "seconds": 60,
        }
        return {
            "PATH": os.environ["PATH"],
            "TASK_SETTINGS": json.dumps({**defaults, **settings}),
            "TASK_NAME": "one",
            "TASK_FILES": str(self.folder / "files"),
            "TASK_RESULTS": str(self.folder / "results"),
            "ENDPOINT": "https://api",
            "TOKEN": TOKEN,
            **(environment or {}),
        }

    def start(self, **settings: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", START.read_text()],
            env=self.environment(**settings),
            cwd=self.folder,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def run(self, **settings: Any) -> Ran:
        process = self.start(**settings)
        output, _ = process.communicate(timeout=60)
        return Ran(process.returncode, output, self.results())

    def results(self) -> list[dict[str, Any]]:
        written = self.folder / "results" / "one" / "results.jsonl"
        return [json.loads(line) for line in written.read_text().splitlines()] if written.exists() else []


@pytest.fixture
def container(tmp_path: Path) -> Container:
    return Container(tmp_path)


def test_each_line_has_its_own_outcome_whatever_became_of_the_others(container: Container) -> None:
    container.write(ADDS, "ada", "here", "bad", "grace")
    ran = container.run()
    assert [result["result"] for result in ran.results] == ["created", "exists", "failed", "created"]
    assert ran.results[2]["reason"] == "the script ended with exit code 1 (ValueError, 422)"
    assert ran.code == 1


def test_users_who_exist_already_are_no_failure(container: Container) -> None:
    container.write(ADDS, "here", "here")
    ran = container.run()
    assert ran.code == 0
    assert {result["result"] for result in ran.results} == {"exists"}


CONFLICT = r"(?i)already exists|\b409\b"
ANSWERED = """
import json, sys
for line in open(sys.argv[3]):
    user = json.loads(line)
    raise ValueError(f"{user} {user['name']} HTTP %s for {json.dumps(user)}")
"""


@pytest.mark.parametrize(
    "more", [{"supplierId": 409}, {"supplierId": "409"}, {"password": "pass 409!"}, {"password": "é\\409"}]
)
def test_a_number_of_the_line_itself_is_no_status(container: Container, more: dict[str, Any]) -> None:
    container.write(ANSWERED % 500, "ada", **more)
    assert container.run(exists=CONFLICT).results == [
        {"line": 1, "result": "failed", "reason": "the script ended with exit code 1 (ValueError, 500)"}
    ]
    container.write(ANSWERED % 409, "ada", **{**more, "supplierId": 7})
    assert container.run(exists=CONFLICT).results == [{"line": 1, "result": "exists"}]


def test_a_token_that_looks_like_a_status_is_none(container: Container) -> None:
    container.write("import sys\nraise ValueError(f'HTTP 500 for {sys.argv[2]}')", "ada")
    assert container.run(exists=CONFLICT, environment={"TOKEN": "token 409"}).results[0]["result"] == "failed"


@pytest.mark.parametrize("run", ["once", "once_per_line"])
def test_no_piece_of_a_password_is_told_as_a_status(container: Container, run: str) -> None:
    script = "import json, sys\nraise ValueError(json.loads(open(sys.argv[3]).readline())['password'].split('-')[1])"
    container.write(script, "ada", password="secret-477-word")
    ran = container.run(run=run)
    assert "exit code 1 (ValueError)" in ran.output
    assert "477" not in ran.output + json.dumps(ran.results)


def test_what_a_script_prints_is_kept_from_the_log_and_the_results(container: Container) -> None:
    container.write(ADDS, "ada", "bad")
    ran = container.run()
    assert json.loads(ran.output.splitlines()[0])["line"] == 2
    for secret in (TOKEN, PASSWORD, "ada"):
        assert secret not in ran.output + json.dumps(ran.results)


def test_nothing_but_counts_or_everything_is_logged_by_choice(container: Container) -> None:
    container.write(ADDS, "ada", "bad")
    assert json.loads(container.run(log_output="nothing").output) == {"exit_code": 0, "created": 1, "failed": 1}
    assert PASSWORD in container.run(log_output="all").output


def test_a_script_is_told_the_token_and_no_list_of_processes_shows_it(container: Container) -> None:
    container.write("import sys, time\nopen('told', 'w').write(sys.argv[2])\ntime.sleep(60)\n", "ada")
    process = container.start()
    try:
        told = container.folder / "told"
        deadline = time.monotonic() + 30
        while not (told.exists() and told.read_text() == TOKEN):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert not any(TOKEN.encode() in command for command in _commands())
    finally:
        process.terminate()
        process.wait(timeout=30)
    assert process.returncode == 143


def _commands() -> list[bytes]:
    """Of every process of the machine that can be seen."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.append(path.read_bytes())
    return found


def test_a_script_for_the_whole_file_says_itself_what_became_of_each_line(container: Container) -> None:
    script = """
import json, os, sys
with open(os.environ["RESULTS_PATH"], "w") as results:
    for number, line in enumerate(open(sys.argv[3]), start=1):
        result = "created" if number == 1 else "failed"
        print(json.dumps({"line": number, "result": result, "reason": sys.argv[3 - number]}), file=results)
    results.write("half a li")
"""
    container.write(script, "ada", "grace", "joan")
    ran = container.run(run="once")
    assert [result["result"] for result in ran.results] == ["created", "failed", "failed"]
    assert ran.results[0]["reason"] == "not told, as it repeats what is secret"  # the token
    assert ran.results[1]["reason"] == "not told, as it repeats what is secret"  # a variable of the container
    assert ran.code == 1


def test_a_reason_that_repeats_the_line_is_not_told(container: Container) -> None:
    script = (
        "import json, os, sys\n"
        "open(os.environ['RESULTS_PATH'], 'w').write("
        "json.dumps({'line': 1, 'result': 'failed', 'reason': open(sys.argv[3]).read()}))\n"
    )
    container.write(script, "ada")
    assert container.run(run="once").results == [
        {"line": 1, "result": "failed", "reason": "not told, as it repeats what is secret"}
    ]


@pytest.mark.parametrize(
    "reason", ["no ADA.PIÑA@example.org", "no ada.pi%C3%B1a%40example.org", r"no ada.pi\u00f1a@example.org"]
)
def test_a_reason_that_repeats_the_line_in_another_way_of_writing_is_not_told_either(
    container: Container, reason: str
) -> None:
    script = (
        "import json, os\n"
        "open(os.environ['RESULTS_PATH'], 'w').write("
        f"json.dumps({{'line': 1, 'result': 'failed', 'reason': {reason!r}}}))\n"
    )
    container.write(script, "ada.piña@example.org")
    assert container.run(run="once").results == [
        {"line": 1, "result": "failed", "reason": "not told, as it repeats what is secret"}
    ]


def test_a_script_of_any_language_is_run_as_a_command(container: Container) -> None:
    container.write("", "ada")
    ran = container.run(command=["sh", "-c", 'test -s "$0"', "{file}"])
    assert ran.results == [{"line": 1, "result": "created"}]


def test_a_script_that_takes_too_long_is_ended_with_all_it_started(container: Container) -> None:
    container.write("import subprocess\nsubprocess.run(['sleep', '4711'])\n", "ada", "grace")
    ran = container.run(seconds=1)
    assert ran.results == [{"line": 1, "result": "failed", "reason": "the time was over"}]
    assert ran.code == 1
    assert not any(b"sleep\x004711" in command for command in _commands())


def test_a_command_that_asks_for_what_is_not_there_says_so(container: Container) -> None:
    container.write(ADDS, "ada")
    ran = container.run(command=["script.py", "{NO_SUCH_SECRET}"])
    assert ran.code == 64
    assert "NO_SUCH_SECRET" in ran.output


def test_what_a_killed_task_has_done_so_far_is_written(container: Container) -> None:
    container.write("import json, sys, time\nif 'slow' in open(sys.argv[3]).read(): time.sleep(60)\n", "ada", "slow")
    process = container.start()
    deadline = time.monotonic() + 30
    while not container.results():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.wait(timeout=30)
    assert container.results() == [{"line": 1, "result": "created"}]


def test_what_the_script_of_a_killed_task_has_told_so_far_is_written(container: Container) -> None:
    script = (
        "import json, os, time\n"
        "with open(os.environ['RESULTS_PATH'], 'w', buffering=1) as results:\n"
        "    print(json.dumps({'line': 1, 'result': 'created'}), file=results)\n"
        "    results.write('half a li')\n"
        "    results.flush()\n"
        "    time.sleep(60)\n"
    )
    container.write(script, "ada", "grace")
    process = container.start(run="once")
    deadline = time.monotonic() + 30
    while not container.results():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.wait(timeout=30)
    assert container.results() == [{"line": 1, "result": "created"}]
