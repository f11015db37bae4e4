# SPDX-License-Identifier: GPL-3.0-or-later
"""The warm Python does what a Python of a module's own does, or declines."""

from __future__ import annotations

import atexit
import os
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.localgov.platform.plugins.plugin_utils._warm_python import (
    WarmPython,
    WarmRunLostError,
    module_command,
)

from tests.conftest import ROOT
from tests.unit.plugins.plugin_utils.payloads import payload, program


def _python_without_blanks() -> str:
    """The Python of the tests by a name such as the connection gives it: a command names it without quotes."""
    if not any(map(str.isspace, sys.executable)):
        return sys.executable
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    (folder / "environment").symlink_to(sys.prefix)
    return str(folder / "environment" / Path(sys.executable).relative_to(sys.prefix))


SHELL = "/bin/sh"
PYTHON = _python_without_blanks()
COMMAND = f"/bin/sh -c '{PYTHON} && sleep 0'"
ROOTS = [path for path in sys.path if path.endswith("site-packages")]
SECRET = "aws-secret-of-a-session-0123456789abcdef"
PARAMETER = "parameter-of-a-module-0123456789abcdef"
NOWHERE = {"region": "eu-west-2", "access_key": "a", "secret_key": "b", "endpoint_url": "http://127.0.0.1:9"}


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> WarmPython:
    return WarmPython(tmp_path_factory.mktemp("run") / "warm", SHELL, PYTHON, ROOTS)


def run_warm(
    warm: WarmPython, data: bytes, environment: dict[str, str], command: str = COMMAND
) -> subprocess.CompletedProcess[bytes]:
    found = module_command(command, data)
    assert found is not None
    completed = warm.run(found, data, environment)
    assert completed is not None, "it was declined"
    return completed


def run_cold(data: bytes, environment: dict[str, str], command: str = COMMAND) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([SHELL, "-c", command], input=data, capture_output=True, env=environment, check=False)


ALIKE = {
    "nothing": "",
    "unicode": "print('sôme ünicode \\u2603 \\U0001f600')",
    "bytes that are no text": "import sys; sys.stdout.buffer.write(bytes(range(256)) * 3)",
    "text that cannot be encoded": "print('\\udcff')",
    "much on both streams": "import sys\nfor _ in range(40): print('o' * 99999); print('e' * 99999, file=sys.stderr)",
    "a status": "raise SystemExit(3)",
    "a status beyond a byte": "raise SystemExit(300)",
    "a last word": "raise SystemExit('that is all')",
    "no status": "raise SystemExit",
    "leaving at once": "import os; print('lost'); os._exit(4)",
    "a traceback": "def divide():\n    return 1 / 0\ndivide()",
    "a chain of errors": "try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    raise ValueError('no') from error",
    "a mistake in the program": "this is no Python",
    "an interruption": "raise KeyboardInterrupt",
    "killed": "import os; print('before', flush=True); os.kill(os.getpid(), 9)",
    "terminated": "import os; os.kill(os.getpid(), 15)",
    "crashed": "import os, resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); os.kill(os.getpid(), 11)",
    "a thread that lasts longer": "import threading\n"
    "threading.Thread(target=lambda: (threading.main_thread().join(), print('thread'))).start(); print('main')",
    "words at the exit": "import atexit; atexit.register(print, 'first'); atexit.register(print, 'last')",
    "an error at the exit": "import atexit, functools; atexit.register(functools.partial(int, 'x'))",
    "a child that lasts longer": "import subprocess; subprocess.Popen(['sh', '-c', 'sleep 0.2; echo child'])",
    "closed output": "import sys; sys.stdout.close()",
    "standard input": "import sys; print(repr(sys.stdin.read()), sys.stdin.isatty())",
    "standard streams": "import sys\nfor s in (sys.stdin, sys.stdout, sys.stderr): "
    "print(s.encoding, s.errors, s.line_buffering, s.isatty(), s.fileno(), s.name, s.mode, s.seekable())",
    "the interpreter": "import sys; print(sys.argv, sys.orig_argv, sys.executable, sys.flags, sys.path, sys.prefix)",
    "the main module": "import __main__; print(vars(__main__) is globals(), sorted(map(repr, globals().items())))",
    "the environment": "import os; print(sorted(os.environb.items()))",
    "the environment of a child": "import subprocess; print(sorted(subprocess.check_output('env').split(b'\\n')))",
    "files of a child": "import subprocess; print(subprocess.check_output(['ls', '/proc/self/fd']))",
    "the folder and the mask": "import os; print(os.getcwd(), os.umask(0))",
    "signals": "import signal; print([signal.getsignal(s) for s in sorted(signal.valid_signals())]); "
    "print(signal.pthread_sigmask(signal.SIG_BLOCK, []))",
    "limits": "import resource; print([resource.getrlimit(number) for number in range(16)])",
    "locale and time": "import locale, time; print(locale.setlocale(locale.LC_ALL), time.tzname, time.localtime(0))",
    "temporary files": "import tempfile; print(tempfile.gettempdir())",
    "threads and the collector": "import gc, threading; print(threading.enumerate()[0].name, gc.isenabled())",
    "logging": "import logging; logging.warning('careful'); print(logging.getLogger().handlers)",
    "processes": "import multiprocessing as m\n"
    "with m.get_context('fork').Pool(2) as pool: print(pool.map(abs, [-1, -2]), m.current_process().name)",
    "sessions of boto3": "import boto3, warnings; print(boto3.DEFAULT_SESSION, warnings.filters)",
    "what is loaded of Ansible": "import sys; print([name for name in sys.modules if name.startswith('ansible')])",
}


@pytest.mark.parametrize("source", ALIKE.values(), ids=ALIKE.keys())
def test_a_module_fares_as_in_a_process_of_its_own(warm: WarmPython, source: str) -> None:
    environment = {**os.environ, "SECRET": SECRET, "ODD-NAME": "1", "UNICODE": "ü\udcff", "TMPDIR": str(ROOT)}
    cold = run_cold(program(source), environment)
    for _ in range(2):
        completed = run_warm(warm, program(source), environment)
        assert (completed.returncode, completed.stdout, completed.stderr) == (
            cold.returncode,
            cold.stdout,
            cold.stderr,
        )


def test_variables_of_the_task_reach_the_module(warm: WarmPython) -> None:
    script = f"FIRST='it is $HOME' PWD=/ {PYTHON} && sleep 0"
    command = f"/bin/sh -c {shlex.quote(script)}"
    source = program("import os; print(sorted(os.environ.items()))")
    environment = dict(os.environ)
    completed = run_warm(warm, source, environment, command)
    assert b"('FIRST', 'it is $HOME')" in completed.stdout
    assert completed.stdout == run_cold(source, environment, command).stdout


@pytest.mark.parametrize(
    "command",
    [
        f"/bin/sh -c '{PYTHON} && sleep 1'",
        f"/bin/sh -c 'cd /; {PYTHON} && sleep 0'",
        f"/bin/sh -c 'A=$HOME {PYTHON} && sleep 0'",
        f"/bin/sh -c 'A=`id` {PYTHON} && sleep 0'",
        f"/bin/sh -c '{PYTHON} /tmp/AnsiballZ_ping.py && sleep 0'",
        f"/bin/sh -c 'sudo {PYTHON} && sleep 0'",
        f"/bin/sh -c '{PYTHON}' && sleep 0",
        f"/bin/sh -x '{PYTHON} && sleep 0'",
        "/bin/sh -c 'echo ~ && sleep 0'",
        "/bin/sh -c 'unfinished",
        "",
    ],
)
def test_a_command_that_says_more_than_to_run_a_module_is_left_to_the_shell(warm: WarmPython, command: str) -> None:
    found = module_command(command, program(""))
    assert found is None or warm.run(found, program(""), dict(os.environ)) is None


@pytest.mark.parametrize("data", [None, b"", b"import sys\n"])
def test_a_command_without_a_payload_is_left_to_the_shell(data: bytes | None) -> None:
    assert module_command(COMMAND, data) is None


def test_another_python_is_left_to_the_shell(warm: WarmPython) -> None:
    found = module_command("/bin/sh -c '/usr/bin/python3 && sleep 0'", program(""))
    assert found is not None
    assert warm.run(found, program(""), dict(os.environ)) is None


@pytest.mark.parametrize("name", ["PYTHONHASHSEED", "LC_ALL", "LD_PRELOAD", "TZ", "HOME", "OPENSSL_CONF"])
def test_what_shapes_a_process_at_its_start_is_left_to_a_process_of_its_own(warm: WarmPython, name: str) -> None:
    assigning = module_command(f"/bin/sh -c '{name}=1 {PYTHON} && sleep 0'", program(""))
    plain = module_command(COMMAND, program(""))
    assert assigning is not None
    assert plain is not None
    assert warm.run(assigning, program(""), dict(os.environ)) is None
    assert warm.run(plain, program(""), {**os.environ, name: "1"}) is None


def test_another_folder_is_left_to_a_process_of_its_own(
    warm: WarmPython, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_warm(warm, program(""), dict(os.environ))
    found = module_command(COMMAND, program(""))
    assert found is not None
    monkeypatch.chdir(tmp_path)
    assert warm.run(found, program(""), dict(os.environ)) is None
    tmp_path.rmdir()
    assert warm.run(found, program(""), dict(os.environ)) is None


def test_a_python_that_cannot_be_warmed_is_tried_once_and_then_left(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho tried >> tried\n", encoding="utf-8")
    python.chmod(0o700)
    broken = WarmPython(tmp_path / "warm", SHELL, str(python), [])
    found = module_command(f"/bin/sh -c '{python} && sleep 0'", program(""))
    assert found is not None
    os.chdir(tmp_path)
    try:
        assert [broken.run(found, program(""), dict(os.environ)) for _ in range(3)] == [None] * 3
    finally:
        os.chdir(ROOT)
    assert (tmp_path / "tried").read_text(encoding="utf-8") == "tried\n"


def test_without_a_kernel_that_tells_the_end_of_the_run_each_module_has_a_process_of_its_own(
    warm: WarmPython, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = module_command(COMMAND, program(""))
    assert found is not None
    monkeypatch.delattr(os, "pidfd_open")
    assert warm.run(found, program(""), dict(os.environ)) is None


def test_where_warnings_are_asked_for_each_module_has_a_process_of_its_own(tmp_path: Path) -> None:
    found = module_command(COMMAND, program(""))
    assert found is not None
    fresh = WarmPython(tmp_path / "warm", SHELL, PYTHON, ROOTS)
    assert fresh.run(found, program(""), {**os.environ, "PYTHONWARNINGS": "default"}) is None


def test_a_server_that_is_killed_is_said_by_those_who_run_and_done_without_by_those_to_come(tmp_path: Path) -> None:
    fresh = WarmPython(tmp_path / "warm", SHELL, PYTHON, ROOTS)
    server = server_of(fresh, dict(os.environ))
    begun, may_end = tmp_path / "begun", tmp_path / "may-end"
    waiting = program(
        f"import pathlib, time\npathlib.Path({str(begun)!r}).touch()\n"
        f"while not pathlib.Path({str(may_end)!r}).exists(): time.sleep(0.01)\n"
    )

    def kill_server() -> None:
        wait_for(begun.exists, "the module")
        os.kill(server, signal.SIGKILL)
        may_end.touch()

    killer = threading.Thread(target=kill_server)
    killer.start()
    with pytest.raises(WarmRunLostError):
        run_warm(fresh, waiting, dict(os.environ))
    killer.join(30)
    found = module_command(COMMAND, program(""))
    assert found is not None
    assert fresh.run(found, program(""), dict(os.environ)) is None


def test_nothing_is_carried_from_one_module_to_the_next(warm: WarmPython) -> None:
    first = program(
        "import boto3, os, sys, random, signal\n"
        "boto3.setup_default_session(region_name='eu-west-2'); boto3.carried = 1; sys.carried = 1\n"
        "os.environ['CARRIED'] = '1'; os.chdir('/'); os.umask(0); random.seed(1); signal.signal(15, signal.SIG_IGN)\n"
    )
    second = program(
        "import boto3, os, sys, random, signal\n"
        "print(boto3.DEFAULT_SESSION, hasattr(boto3, 'carried'), hasattr(sys, 'carried'), os.environ.get('CARRIED'),\n"
        "      os.getcwd(), os.umask(0), signal.getsignal(15))\n"
    )
    before = run_warm(warm, second, dict(os.environ)).stdout
    run_warm(warm, first, dict(os.environ))
    assert run_warm(warm, second, dict(os.environ)).stdout == before


def test_chance_and_numbers_differ_from_one_module_to_the_next(warm: WarmPython) -> None:
    source = program("import os, random, uuid; print(random.random(), uuid.uuid4(), os.getpid())")
    drawn = [run_warm(warm, source, dict(os.environ)).stdout.split() for _ in range(3)]
    assert all(len(set(column)) == 3 for column in zip(*drawn, strict=True))


def server_of(warm: WarmPython, environment: dict[str, str]) -> int:
    return int(run_warm(warm, program("import os; print(os.getppid())"), environment).stdout)


def memory(process: int) -> Iterator[bytes]:
    """All that a process can read and write."""
    with Path(f"/proc/{process}/mem").open("rb", buffering=0) as file:
        for line in Path(f"/proc/{process}/maps").read_text(encoding="utf-8").splitlines():
            extent, rights = line.split()[:2]
            start, end = (int(number, 16) for number in extent.split("-"))
            if rights.startswith("rw"):
                file.seek(start)
                yield file.read(end - start)


def test_neither_session_nor_parameters_are_in_the_memory_of_the_server(warm: WarmPython) -> None:
    environment = {**os.environ, "AWS_SECRET_ACCESS_KEY": SECRET}
    server = server_of(warm, environment)
    source = program(f"import os; print(os.environ['AWS_SECRET_ACCESS_KEY'], {PARAMETER!r})")
    assert run_warm(warm, source, environment).stdout.decode().split() == [SECRET, PARAMETER]
    kept = b"".join(memory(server))
    assert b"botocore" in kept
    assert SECRET.encode() not in kept
    assert PARAMETER.encode() not in kept
    assert SECRET.encode() in b"".join(memory(os.getpid()))


def test_the_operators_own_variables_are_not_in_the_environment_of_the_server(
    warm: WarmPython, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("VAULT_PASSWORD", SECRET)
    fresh = WarmPython(tmp_path / "warm", SHELL, PYTHON, ROOTS)
    server = server_of(fresh, dict(os.environ))
    assert b"PATH=" in Path(f"/proc/{server}/environ").read_bytes()
    assert SECRET.encode() not in b"".join(memory(server))


def test_only_its_owner_can_reach_it_however_long_its_path_is(tmp_path: Path) -> None:
    directory = tmp_path / ("long" * 30) / "warm"
    directory.parent.mkdir()
    umask = os.umask(0)
    try:
        run_warm(WarmPython(directory, SHELL, PYTHON, ROOTS), program(""), dict(os.environ))
    finally:
        os.umask(umask)
    assert directory.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o600}


def test_real_modules_fare_alike_and_cost_less_than_half_from_the_second_on(warm: WarmPython) -> None:
    environment = {**os.environ, "AWS_MAX_ATTEMPTS": "1"}
    data = payload(PYTHON, "amazon.aws.cloudformation", stack_name="x", state="absent", **NOWHERE)
    server = server_of(warm, environment)
    before = cpu_seconds_of_children()
    cold = [run_cold(data, environment) for _ in range(3)]
    of_cold = cpu_seconds_of_children() - before
    first = run_warm(warm, data, environment)
    wait_for_rest(server)
    before = cpu_seconds(server)
    warmed = [run_warm(warm, data, environment) for _ in range(3)]
    of_warm = cpu_seconds(server) - before
    assert b"127.0.0.1:9" in first.stdout
    outcomes = {(done.returncode, done.stdout, done.stderr) for done in (*cold, first, *warmed)}
    assert len(outcomes) == 1
    assert of_warm < 0.5 * of_cold, (of_warm, of_cold)


def test_code_of_another_version_than_the_payloads_is_not_used(tmp_path: Path) -> None:
    data = payload(PYTHON, "ansible.builtin.ping")
    basic = tmp_path / "ansible" / "module_utils" / "basic.py"
    basic.parent.mkdir(parents=True)
    basic.write_text("raise RuntimeError('this is another version')\n", encoding="utf-8")
    other = WarmPython(tmp_path / "warm", SHELL, PYTHON, [str(tmp_path)])
    outcomes = [run_warm(other, data, dict(os.environ)).stdout for _ in range(3)]
    assert set(outcomes) == {run_cold(data, dict(os.environ)).stdout}
    assert b'"ping": "pong"' in outcomes[0]


def test_services_are_those_that_a_process_of_its_own_finds_also_such_as_are_added_meanwhile(tmp_path: Path) -> None:
    environment = {**os.environ, "HOME": str(tmp_path)}
    other = WarmPython(tmp_path / "warm", SHELL, PYTHON, ROOTS)
    source = program("import boto3; print(boto3.Session(region_name='eu-west-2').get_available_services())")
    for name in (None, None, "ours-to-begin-with", "ours-too"):
        if name is not None:
            model = tmp_path / ".aws" / "models" / name / "2026-01-01" / "service-2.json"
            model.parent.mkdir(parents=True)
            model.write_text("{}", encoding="utf-8")
        found = run_warm(other, source, environment).stdout
        assert found == run_cold(source, environment).stdout
        assert b"'s3'" in found
        assert name is None or name.encode() in found


def cpu_seconds_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def cpu_seconds(process: int) -> float:
    """Of a process and of those of its children that have ended."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, f"waited for {what}"
        time.sleep(0.01)


def wait_for_rest(process: int) -> None:
    """Until it has nothing more to do than to wait."""

    def rests() -> bool:
        return "\nState:\tS" in Path(f"/proc/{process}/status").read_text(encoding="utf-8")

    wait_for(rests, "the server's rest")


HOLDER = f"""
import os, sys
sys.path[:0] = {[str(ROOT), str(ROOT / "build" / "collections")]!r}
from pathlib import Path
from tests.unit.plugins.plugin_utils import test_warm_python as t
warm = t.WarmPython(Path(sys.argv[1]), t.SHELL, t.PYTHON, t.ROOTS)
t.run_warm(warm, t.program(
    "import os, pathlib, time\\n"
    f"pathlib.Path({{sys.argv[1]!r}}, 'said').write_text(f'{{{{os.getppid()}}}} {{{{os.getpid()}}}}')\\n"
    "time.sleep(300)\\n"), dict(os.environ))
"""


def test_server_and_modules_end_with_the_run_even_if_it_is_killed(tmp_path: Path) -> None:
    directory = tmp_path / "warm"
    run = subprocess.Popen([PYTHON, "-c", HOLDER, str(directory)], cwd=ROOT)
    said = directory / "said"
    wait_for(lambda: said.exists() and " " in said.read_text(encoding="utf-8"), "the module")
    # What has ended has no program, though its number may still await whoever inherits it.
    processes = [Path("/proc", number, "exe") for number in said.read_text(encoding="utf-8").split()]
    assert all(process.exists() for process in processes)
    run.kill()
    run.wait(30)
    wait_for(lambda: not any(process.exists() for process in processes), "their end")


def test_a_module_is_terminated_when_nobody_waits_for_it_any_more(warm: WarmPython, tmp_path: Path) -> None:
    waiting = program(
        "import os, pathlib, time\n"
        f"pathlib.Path({str(tmp_path / 'said')!r}).write_text(str(os.getpid()) + '.')\n"
        "time.sleep(300)\n"
    )
    # Started here, it ends with this process and not with the worker.
    run_warm(warm, program(""), dict(os.environ))
    worker = os.fork()
    if worker == 0:
        run_warm(warm, waiting, dict(os.environ))
        os._exit(0)
    said = tmp_path / "said"
    wait_for(lambda: said.exists() and said.read_text(encoding="utf-8").endswith("."), "the module")
    module = Path("/proc", said.read_text(encoding="utf-8").rstrip("."))
    os.kill(worker, 9)
    os.waitpid(worker, 0)
    wait_for(lambda: not module.exists(), "the module's end")
    run_warm(warm, program(""), dict(os.environ))
