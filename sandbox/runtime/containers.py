# SPDX-License-Identifier: GPL-3.0-or-later
"""A container as a local process, with the surface of the ``docker`` package's containers that the emulator uses.

No process outlives its container: the leader of its session is recorded in a file before anything else happens, its
session ends with it as a container ends with its first process, and every descendant carries a mark in its environment
by which one that left the session is found.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sandbox import processes
from sandbox.processes import ProcessIdentity
from sandbox.runtime import errors

MARK = "LOCALGOV_SANDBOX_PROCESS"

# How long a killed process may take to disappear: it may be waiting for a disk.
_KILL_SECONDS = 10.0
_LOG_PAUSES = (0.05, 0.5)


@dataclass(frozen=True)
class Launch:
    """How a process is started and ended."""

    arguments: list[str]
    environment: dict[str, str]
    folder: Path
    log: Path
    address: str = "127.0.0.1"
    stop_signal: int = signal.SIGTERM
    stop_seconds: float = 30.0
    leader_only: bool = False  # the stop signal is for the leader alone: PostgreSQL ends its children itself
    user: int | None = None
    umask: int = 0o022


@dataclass(frozen=True)
class Record:
    """What is known of a process on disk, for when the emulator is killed."""

    what: str
    identity: ProcessIdentity
    stop_signal: int
    stop_seconds: float
    leader_only: bool


@dataclass
class Container:
    """One process, from its start to its removal. The names of attributes and methods are the ``docker`` package's."""

    name: str
    labels: dict[str, str]
    image_name: str
    what: str  # for a person to read
    launch: Launch
    state: Path
    id: str = field(default_factory=lambda: uuid.uuid4().hex * 2)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = threading.Event()
        self._exit_code: int | None = None
        self._finished_at = ""
        self._on_start: list[Callable[[], None]] = []
        self._on_end: list[Callable[[], None]] = []

    @property
    def short_id(self) -> str:
        return self.id[:12]

    @property
    def status(self) -> str:
        if self._process is None:
            return "created"
        return "exited" if self._ended.is_set() else "running"

    @property
    def exit_code(self) -> int | None:
        return self._exit_code

    @property
    def attrs(self) -> dict[str, Any]:
        return {
            "Id": self.id,
            "Config": {"Image": self.image_name, "Labels": self.labels},
            "State": {
                "Status": self.status,
                "Running": self.status == "running",
                "ExitCode": self._exit_code or 0,
                "FinishedAt": self._finished_at,
            },
            "NetworkSettings": {"Networks": {"sandbox": {"IPAddress": self.launch.address}}, "Ports": {}},
        }

    def on_start(self, action: Callable[[], None]) -> None:
        self._on_start.append(action)

    def on_end(self, action: Callable[[], None]) -> None:
        self._on_end.append(action)

    def start(self) -> None:
        with self._lock:
            if self._process is not None and not self._ended.is_set():
                return
            self._ended.clear()
            self._exit_code = None
            self._process = self._spawn()
            _write_record(self._record_file, self._record(self._process.pid))
        threading.Thread(target=self._await_end, name=f"sandbox-process-{self.short_id}", daemon=True).start()
        for action in self._on_start:
            action()

    def stop(self, timeout: float | None = None, **_: object) -> None:
        """Ask the process to end, force it after its own time. The emulator's *timeout* is not the task's."""
        if self.status != "running":
            return
        self._signal(self.launch.stop_signal, leader_only=self.launch.leader_only)
        if not self._ended.wait(self.launch.stop_seconds):
            self.kill()

    def kill(self, *_: object, **__: object) -> None:
        self._signal(signal.SIGKILL)
        self._ended.wait(_KILL_SECONDS)

    def remove(self, v: bool = False, force: bool = False, **_: object) -> None:
        if self.status == "running":
            if not force:
                raise errors.APIError(f"{self.name} is running: stop it before removing it")
            self.stop()

    def reload(self) -> None:
        """Nothing to do: the status is always the present one."""

    def wait(self, timeout: float | None = None, **_: object) -> dict[str, int]:
        """Wait for the end; the exit code is 128 + n after signal n, as ``docker wait`` reports it."""
        if not self._ended.wait(timeout):
            raise errors.APIError(f"{self.name} still runs after {timeout} s")
        return {"StatusCode": self._exit_code or 0}

    def logs(
        self, stream: bool = False, follow: bool = False, tail: object = "all", **_: object
    ) -> bytes | Iterator[bytes]:
        if stream:
            return self._lines(follow)
        content = self.launch.log.read_bytes()
        return b"\n".join(content.splitlines()[-tail:]) if isinstance(tail, int) else content

    def exec_run(self, *_: object, **__: object) -> None:
        raise errors.APIError("ECS Exec is not available in the sandbox: tasks are processes of this machine")

    def put_archive(self, *_: object, **__: object) -> bool:
        return False

    @property
    def _record_file(self) -> Path:
        return _records_folder(self.state) / f"{self.short_id}.json"

    def _spawn(self) -> subprocess.Popen[bytes]:
        launch = self.launch
        launch.log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(launch.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        identity: dict[str, Any] = {}
        if launch.user is not None:
            identity = {"user": launch.user, "group": launch.user, "extra_groups": []}
        try:
            return subprocess.Popen(
                launch.arguments,
                env={**launch.environment, MARK: f"{self.state}:{self.id}"},
                cwd=launch.folder,
                stdin=subprocess.DEVNULL,
                stdout=descriptor,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                umask=launch.umask,
                **identity,
            )
        except OSError as reason:
            raise errors.APIError(f"CannotStartContainerError: {launch.arguments[0]}: {reason.strerror}") from reason
        finally:
            os.close(descriptor)

    def _record(self, pid: int) -> Record | None:
        identity = processes.identify(pid)
        launch = self.launch
        if identity is None:  # it ended already, and nothing is left to record
            return None
        return Record(self.what, identity, launch.stop_signal, launch.stop_seconds, launch.leader_only)

    def _signal(self, number: int, *, leader_only: bool = False) -> None:
        with self._lock:
            # The lock keeps the leader from being reaped meanwhile, so its number and its group's are still its own.
            if self._process is None or self._ended.is_set():
                return
            send = os.kill if leader_only else os.killpg
            with suppress(ProcessLookupError):
                send(self._process.pid, number)

    def _await_end(self) -> None:
        process = self._process
        assert process is not None  # noqa: S101  started by start()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        with self._lock:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            code = process.wait()
            self._exit_code = code if code >= 0 else 128 - code
            self._finished_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        end_marked(f"{self.state}:{self.id}", exact=True)
        self._record_file.unlink(missing_ok=True)
        for action in self._on_end:
            action()
        self._ended.set()

    def _lines(self, follow: bool) -> Iterator[bytes]:
        """The log in whole lines, so that no line is forwarded in two halves."""
        shortest, longest = _LOG_PAUSES
        pause, rest = shortest, b""
        with self.launch.log.open("rb") as log:
            while True:
                ended = self._ended.is_set()  # before reading, so that the last words are not missed
                chunk = log.read(65536)
                whole, newline, rest = (rest + chunk).rpartition(b"\n")
                if newline:
                    yield whole + newline
                if chunk:
                    pause = shortest
                elif ended or not follow:
                    break
                else:
                    self._ended.wait(pause)
                    pause = min(longest, pause * 1.5)
        if rest:
            yield rest


def end_recorded(state: Path, *, seconds: float) -> list[str]:
    """End every process that the state folder's records or a mark tell of, and wait. What they were.

    Databases end last: what still uses them may have something to write.
    """
    ended = []
    records = _read_records(state)
    for last in (False, True):
        group = {file: record for file, record in records.items() if record.leader_only is last}
        ended += _end_records(list(group.values()), seconds)
        for file in group:
            file.unlink(missing_ok=True)
    ended += [f"a stray process {pid}" for pid in end_marked(f"{state}:")]
    return ended


def end_marked(mark: str, *, exact: bool = False) -> list[int]:
    """Kill processes that carry the mark: what left its container's session. Their numbers."""
    found = [
        identity
        for identity in map(processes.identify, _all_pids())
        if identity is not None and _carries(identity.pid, mark, exact)
    ]
    for identity in found:
        processes.end(identity, seconds=1.0)
    return [identity.pid for identity in found]


def _end_records(records: list[Record], seconds: float) -> list[str]:
    members = {record.identity: _session(record.identity) for record in records}
    for record in records:
        chosen = [record.identity] if record.leader_only else members[record.identity]
        for identity in chosen:
            _signal_exactly(identity, record.stop_signal)
    deadline = time.monotonic() + max([0.0, *(min(seconds, record.stop_seconds) for record in records)])
    for record in records:
        for identity in members[record.identity]:
            if not processes.wait_for_end(identity, max(0.0, deadline - time.monotonic())):
                processes.end(identity, seconds=0.0)
    return [record.what for record in records if members[record.identity]]


def _session(leader: ProcessIdentity) -> list[ProcessIdentity]:
    """The leader and the other processes of its session that still live."""
    present = processes.identify(leader.pid)
    if present is not None and present != leader:
        return []  # the number belongs to a stranger now
    found = [present] if present else []
    for pid in _all_pids():
        with suppress(OSError):
            if pid != leader.pid and os.getsid(pid) == leader.pid:
                found += filter(None, [processes.identify(pid)])
    return found


def _signal_exactly(identity: ProcessIdentity, number: int) -> None:
    with suppress(OSError):
        descriptor = os.pidfd_open(identity.pid)
        try:
            if processes.is_alive(identity):
                signal.pidfd_send_signal(descriptor, number)
        finally:
            os.close(descriptor)


def _all_pids() -> list[int]:
    own = os.getpid()
    return [int(name) for name in os.listdir("/proc") if name.isdecimal() and int(name) != own]  # noqa: PTH208


def _carries(pid: int, mark: str, exact: bool) -> bool:
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False
    wanted = f"{MARK}={mark}".encode()
    return wanted in environment if exact else any(entry.startswith(wanted) for entry in environment)


def _records_folder(state: Path) -> Path:
    return state / "processes"


def _write_record(file: Path, record: Record | None) -> None:
    if record is None:
        return
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = file.with_suffix(".new")
    draft.write_text(json.dumps(asdict(record)) + "\n", encoding="utf-8")
    draft.replace(file)


def _read_records(state: Path) -> dict[Path, Record]:
    found = {}
    for file in sorted(_records_folder(state).glob("*.json")):
        with suppress(OSError, ValueError, TypeError, KeyError):
            content = json.loads(file.read_text(encoding="utf-8"))
            found[file] = Record(**{**content, "identity": ProcessIdentity(**content["identity"])})
    return found
