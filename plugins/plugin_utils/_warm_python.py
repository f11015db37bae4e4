# SPDX-License-Identifier: GPL-3.0-or-later
"""A Python that is kept warm for one run: modules are run by forks of it, instead of by processes of their own.

Whatever it cannot do as a process of its own would, it declines, and the caller takes the ordinary way.
"""

from __future__ import annotations

import json
import os
import re
import select
import selectors
import shlex
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.localgov.platform.plugins.plugin_utils import _warm_server as server
from ansible_collections.localgov.platform.plugins.plugin_utils._run_cache import Entry, RunCache
from ansible_collections.localgov.platform.plugins.plugin_utils._run_directory import controller_pid, process_started

_SOCKET = "socket"
_MODULE = b"\n_ANSIBALLZ_WRAPPER = True"
_END_OF_COMMAND = " && sleep 0"
_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)
# What shapes a process when it starts, or a library when it is loaded: later it would come too late.
_SHAPING = ("PYTHON", "LC_", "LD_", "MALLOC_", "OPENSSL_", "BOTO")
_SHAPING_NAMES = frozenset(
    {"AWS_NEW_RETRIES_2026", "GCONV_PATH", "GLIBC_TUNABLES", "HOME", "LANG", "LANGUAGE", "LOCPATH", "TZ", "TZDIR"}
)
_LONGEST_START_SECONDS = 60
_STREAM_BYTES = 65536


class WarmRunLostError(Exception):
    """The warm Python ended while a module ran; what the module did until then is not known."""


@dataclass(frozen=True)
class ModuleCommand:
    """A command of Ansible's that runs a module which it hands to Python through standard input."""

    shell: str
    python: str
    assigned: dict[str, str]
    """Variables that the task's `environment` sets."""

    def with_program(self, program: str) -> str:
        """The same command with another program in Python's place, and without the assignments."""
        return f"{self.shell} -c {shlex.quote(program + _END_OF_COMMAND)}"


def module_command(command: str, data: bytes | None) -> ModuleCommand | None:
    """What the command says, if it is one that runs a module and nothing else."""
    if not data or _MODULE not in data[:500]:
        return None
    try:
        shell, option, script = shlex.split(command)
        words = shlex.split(script.removesuffix(_END_OF_COMMAND))
    except ValueError:
        return None
    *assignments, python = words or [""]
    found = [_ASSIGNMENT.fullmatch(word) for word in assignments]
    assigned = {match[1]: match[2] for match in found if match}
    written = " ".join([*(f"{name}={shlex.quote(value)}" for name, value in assigned.items()), python])
    # Written anew it has to be the same, or a shell would read more from it than is read here.
    if command != f"{shell} {option} {shlex.quote(written + _END_OF_COMMAND)}" or option != "-c":
        return None
    return ModuleCommand(shell, python, assigned)


class WarmPython:
    """The warm Python of this run, started by whichever fork of Ansible first has use for it."""

    def __init__(self, directory: Path, executable: str, python: str, roots: list[str]) -> None:
        self._directory = directory
        self._executable = executable
        self._python = python
        self._roots = roots

    def run(
        self, command: ModuleCommand, program: bytes, environment: Mapping[str, str]
    ) -> subprocess.CompletedProcess[bytes] | None:
        """What came of the module, or None where it was not begun and has to be run in a process of its own.

        Raises WarmRunLostError.
        """
        if command.python != self._python or not hasattr(os, "pidfd_open"):
            return None
        connection = self._connection(command, environment)
        if connection is None:
            return None
        with connection, _pipes() as (streams, output, error):
            described = {"environment": dict(environment), "assigned": command.assigned}
            if not _begun(connection, streams, json.dumps(described).encode(), program):
                return None
            for stream in streams:
                os.close(stream)
            streams.clear()
            printed = _read_to_end(output, error)
            status = connection.recv(server.STATUS.size, socket.MSG_WAITALL)
        if len(status) < server.STATUS.size:
            raise WarmRunLostError
        return self._completed(command, server.STATUS.unpack(status)[0], *printed)

    def _connection(self, command: ModuleCommand, environment: Mapping[str, str]) -> socket.socket | None:
        try:
            here = str(Path.cwd())
        except FileNotFoundError:
            return None
        self._directory.mkdir(mode=0o700, exist_ok=True)
        entry = RunCache(self._directory).entry(
            "start", lambda _entry: True, lambda: self._start(command, here, environment)
        )
        shaping = _shaping({**environment, **command.assigned})
        if entry != {"ready": True, "folder": here, "shell": command.shell, "shaping": shaping}:
            return None
        connection = socket.socket(socket.AF_UNIX)
        holder = os.open(self._directory, os.O_PATH | os.O_DIRECTORY)
        try:
            connection.connect(f"/proc/self/fd/{holder}/{_SOCKET}")
        except OSError:
            connection.close()
            return None
        finally:
            os.close(holder)
        return connection

    def _start(self, command: ModuleCommand, here: str, environment: Mapping[str, str]) -> Entry:
        controller = controller_pid()
        settings = {
            "controller": controller,
            "controller_started": process_started(controller),
            "directory": str(self._directory),
            "name": _SOCKET,
            "roots": self._roots,
        }
        program = Path(server.__file__).read_text(encoding="utf-8") + f"\n\nmain({settings!r})\n"
        # Its own session, or the signal that ends a worker would end it too.
        process = subprocess.Popen(
            [self._executable, "-c", command.with_program(self._python)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=_start_environment(environment),
            start_new_session=True,
        )
        ready = _is_ready(process, program.encode())
        if not ready:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        return {"ready": ready, "folder": here, "shell": command.shell, "shaping": _shaping(environment)}

    def _completed(
        self, command: ModuleCommand, status: int, output: bytes, error: bytes
    ) -> subprocess.CompletedProcess[bytes]:
        if status < 0:
            # How a signal is told is the shell's own: it is shown a program that ends by the same.
            dying = f"{command.shell} -c {shlex.quote(f'kill -{-status} $$')}"
            told = subprocess.run(
                [self._executable, "-c", command.with_program(dying)],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
            )
            return subprocess.CompletedProcess("", told.returncode, output, error + told.stderr)
        return subprocess.CompletedProcess("", status, output, error)


def _shaping(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(_SHAPING) or name in _SHAPING_NAMES}


def _start_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """No more than shapes the process: the session, and perhaps the operator's secrets, are in the rest."""
    kept = {name: environment[name] for name in ("PATH", *server.SHELL_SETS) if name in environment}
    return {**_shaping(environment), **kept, server.ODD_NAME: "kept"}


def _is_ready(process: subprocess.Popen[bytes], program: bytes) -> bool:
    """Whether it says that it is ready, in time and without a word besides: a warning would be missed by its forks."""
    if process.stdin is None or process.stdout is None or process.stderr is None:
        return False
    with process.stdin, process.stdout, process.stderr:
        with suppress(BrokenPipeError):
            process.stdin.write(program)
            process.stdin.close()
        readable = select.select([process.stdout], [], [], _LONGEST_START_SECONDS)[0]
        if not readable or os.read(process.stdout.fileno(), len(server.READY)) != server.READY:
            return False
        os.set_blocking(process.stderr.fileno(), False)
        return not process.stderr.read()


@contextmanager
def _pipes() -> Iterator[tuple[list[int], int, int]]:
    """The streams of a module, and the ends from which its output and its errors are read."""
    nothing, writer = os.pipe()
    # A module's own process has read its program from standard input, to the end.
    os.close(writer)
    output, output_end = os.pipe()
    error, error_end = os.pipe()
    streams = [nothing, output_end, error_end]
    try:
        yield streams, output, error
    finally:
        for descriptor in (*streams, output, error):
            os.close(descriptor)


def _begun(connection: socket.socket, streams: list[int], described: bytes, program: bytes) -> bool:
    try:
        socket.send_fds(connection, [server.START.pack(len(described), len(program))], streams)
        connection.sendall(described)
        connection.sendall(program)
        return connection.recv(1) == server.BEGUN
    except OSError:
        return False


def _read_to_end(*descriptors: int) -> list[bytes]:
    """All that is written to pipes until nobody can write to them any more, from all of them at once."""
    read: dict[int, list[bytes]] = {descriptor: [] for descriptor in descriptors}
    with selectors.DefaultSelector() as selector:
        for descriptor in descriptors:
            selector.register(descriptor, selectors.EVENT_READ)
        while selector.get_map():
            for key, _events in selector.select():
                part = os.read(key.fd, _STREAM_BYTES)
                read[key.fd].append(part)
                if not part:
                    selector.unregister(key.fd)
    return [b"".join(read[descriptor]) for descriptor in descriptors]
