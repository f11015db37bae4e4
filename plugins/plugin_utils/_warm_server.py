# SPDX-License-Identifier: GPL-3.0-or-later
"""The program of the warm Python: a process that has boto3 loaded, and forks for each run of a module.

`_warm_python` hands it to Python as Ansible hands a module: through standard input, by the same command of the shell.
So a fork finds everything that a process shapes at its start - flags, search path, streams, locale, limits - as a
module's own process would. It is complete in itself, for the collection is not on that Python's search path.

The server reads no request. The kernel holds it until the fork reads it, so that neither a module's parameters nor an
account's session are ever in the memory of the server. What forks tell it are names: of Python modules, of botocore's
models, of files of collections. It reads these from the disk itself, for the forks that follow.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import importlib.machinery
import json
import os
import re
import select
import signal
import socket
import struct
import sys
import threading
import types
import zipimport
from pathlib import Path
from typing import Any

START = struct.Struct("!II")
STATUS = struct.Struct("!i")
BEGUN = b"\1"
# What a shell sets for its commands. The server was started by one, in the same folder, and passes its own on.
SHELL_SETS = ("PWD", "OLDPWD", "SHLVL", "_")
# Some shells withhold variables whose names they could not use. This one tells whether the shell at hand does.
ODD_NAME = "no-name-for-a-shell"
READY = b"ready\n"
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

# Third-party packages that may be loaded on behalf of forks to come. Of the standard library all may, but for what
# keeps an identity of its process or acts when it is imported.
_PACKAGES = frozenset({"boto3", "botocore", "certifi", "dateutil", "jmespath", "s3transfer", "urllib3"})
_NOT_BEFORE_A_FORK = frozenset({"__main__", "antigravity", "asyncio", "idlelib", "multiprocessing", "readline", "this"})
_LONGEST_NOTE = 150_000
# What Python gives the main module, besides what every module has.
_MAIN = ("__builtins__", "__cached__", "__file__", "__loader__")


class Pantry:
    """What is loaded before it is asked for, and in a fork the names of what was found missing."""

    def __init__(self, roots: list[str]) -> None:
        self.roots = [Path(root) for root in roots]
        self.code: dict[bytes, types.CodeType] = {}
        self.models: dict[str, Any] = {}
        self.services: dict[str, list[str]] = {}
        """Which services have a model of one kind, by the kind and the folders that botocore looks into."""
        self.missing: dict[str, set[str]] = {"code": set(), "models": set(), "services": set()}
        # A cycle that the collector never sees (`gc.freeze`) is not taken apart when a fork ends, which would cost it
        # as much as the loading that it saved.
        self.models[""] = self.models

    def note(self, loaded: frozenset[str]) -> bytes:
        """What a fork had to load itself, in one datagram."""
        modules = {name for name in sys.modules.keys() - loaded if _may_be_shared(name)}
        names = {"modules": modules, **self.missing}
        return json.dumps({kind: sorted(of) for kind, of in names.items()}).encode()

    def take_in(self, note: dict[str, list[str]]) -> None:
        """Loads what a fork had to load itself."""
        for name in note["modules"]:
            if _may_be_shared(name) and name not in sys.modules:
                _import_quietly(name)
        for name in note["models"]:
            self._take_in_model(name)
        for name in note["services"]:
            self._take_in_services(name)
        for name in note["code"]:
            self._take_in_code(name)

    def _take_in_model(self, name: str) -> None:
        from botocore.loaders import JSONFileLoader, Loader

        if name not in self.models and Path(name).is_relative_to(Loader.BUILTIN_DATA_PATH) and ".." not in name:
            self.models[name] = JSONFileLoader().load_file(name)

    def _take_in_services(self, name: str) -> None:
        from botocore.loaders import Loader

        kind, *folders = name.split(os.pathsep)
        if name not in self.services and all(_is_packaged(folder) for folder in folders):
            loader = Loader(extra_search_paths=folders, include_default_search_paths=False)
            self.services[name] = loader.list_available_services(kind)

    def _take_in_code(self, name: str) -> None:
        for path in (root / name for root in self.roots):
            if ".." in name or not path.is_file():
                continue
            source = path.read_bytes()
            if source not in self.code and b"\r" not in source:
                module = name.removesuffix(".py").replace("/", ".")
                code = importlib.machinery.SourceFileLoader(module, str(path)).get_code(module)
                if isinstance(code, types.CodeType):
                    self.code[source] = code


def _is_packaged(folder: str) -> bool:
    """Whether the models in a folder are those that boto3 and botocore were installed with."""
    return any(Path(folder) == Path(sys.modules[name].__path__[0]) / "data" for name in ("boto3", "botocore"))


def _may_be_shared(name: str) -> bool:
    package = name.partition(".")[0]
    return package in _PACKAGES or (package in sys.stdlib_module_names and package not in _NOT_BEFORE_A_FORK)


def _import_quietly(name: str) -> None:
    with contextlib.suppress(Exception):  # a fork that needs it meets the same, where it can be told
        importlib.import_module(name)


def use_models_of(pantry: Pantry) -> None:
    """Has botocore look for its models in the pantry first."""
    from botocore.loaders import JSONFileLoader, Loader

    class PantryLoader(JSONFileLoader):
        def load_file(self, file_path: str) -> Any:  # noqa: ANN401  # a JSON document
            # Given once: botocore changes models in place, and a second session of the same process gets its own.
            model = pantry.models.pop(file_path, None)
            if model is None:
                model = super().load_file(file_path)
                if model is not None:
                    pantry.missing["models"].add(file_path)
            return model

    listed = Loader.list_available_services

    def list_available_services(self: Loader, type_name: str) -> list[str]:
        # Each session would look into all of some four hundred folders, twice.
        name = os.pathsep.join([type_name, *filter(os.path.isdir, self.search_paths)])
        services = pantry.services.get(name)
        if services is None:
            services = listed(self, type_name)
            pantry.missing["services"].add(name)
        return list(services)

    Loader.FILE_LOADER_CLASS = PantryLoader
    Loader.list_available_services = list_available_services  # type: ignore[method-assign]


def use_code_of(pantry: Pantry) -> None:
    """Has imports from a module's payload look for compiled code in the pantry first.

    The payload stays what is imported: code is taken only where the source is the same, byte for byte, and it is run
    anew in each fork. So a payload with another version of a collection simply finds nothing here.
    """

    class PantryImporter(zipimport.zipimporter):
        def get_filename(self, fullname: str) -> str:
            # The stock one compiles to find out. A payload holds nothing but sources.
            ending = "/__init__.py" if self.is_package(fullname) else ".py"
            return f"{self.archive}/{self.prefix}{fullname.rpartition('.')[2]}{ending}"

        def get_code(self, fullname: str) -> types.CodeType:
            path = self.get_filename(fullname)
            code = pantry.code.get(self.get_data(path))
            if code is None:
                pantry.missing["code"].add(path.removeprefix(f"{self.archive}/"))
                return super().get_code(fullname)
            return _renamed(code, path)

    def importer(path: str) -> PantryImporter:
        if "_payload.zip" not in path:
            raise ImportError(path)
        return PantryImporter(path)

    sys.path_hooks.insert(0, importer)


def _renamed(code: types.CodeType, path: str) -> types.CodeType:
    """The code as if it had been compiled from that file, which tracebacks name."""
    constants = tuple(_renamed(value, path) if isinstance(value, types.CodeType) else value for value in code.co_consts)
    return code.replace(co_filename=path, co_consts=constants)


class Server:
    """Forks for each connection, tells it how the fork ended, and ends with the run."""

    def __init__(self, listener: socket.socket, controller: int, pantry: Pantry) -> None:
        self._listener = listener
        self._controller = controller
        self._pantry = pantry
        self._notes, self._to_notes = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._forks: dict[int, tuple[int, socket.socket]] = {}
        """Of each fork, by the descriptor that tells its end: its number, and the connection that waits for it."""
        self._poll = select.poll()
        for descriptor in (listener.fileno(), controller, self._notes.fileno()):
            self._poll.register(descriptor, select.POLLIN)

    def serve(self) -> socket.socket | None:
        """In each fork the connection that asked for it; in the server None, once the run has ended."""
        while True:
            events = dict(self._poll.poll())
            if self._controller in events:
                self._terminate_forks(set(self._waiting()))
                return None
            for ending in self._forks.keys() & events.keys():
                self._ended(ending)
            # Nobody waits for these any more: a worker was told to stop, or its task took too long.
            self._terminate_forks(self._waiting().keys() & events.keys())
            if self._notes.fileno() in events:
                self._take_in()
            # Last, as it may give a descriptor of the above again.
            if self._listener.fileno() in events:
                connection = self._forked()
                if connection is not None:
                    return connection

    def _waiting(self) -> dict[int, int]:
        """The descriptors of the connections that wait for a fork, and the fork's number."""
        return {connection.fileno(): number for number, connection in self._forks.values()}

    def _take_in(self) -> None:
        # What cannot be loaded here, a fork loads itself or fails at, as it would without the pantry.
        with contextlib.suppress(Exception):
            self._pantry.take_in(json.loads(self._notes.recv(_LONGEST_NOTE)))
        gc.freeze()

    def _forked(self) -> socket.socket | None:
        connection = self._listener.accept()[0]
        try:
            number = os.fork()
        except OSError:
            # Too many processes, or too little memory: the module is then run the other way, which says so.
            connection.close()
            return None
        if number == 0:
            os.setpgid(0, 0)
            self._leave()
            return connection
        ending = os.pidfd_open(number)
        self._forks[ending] = (number, connection)
        self._poll.register(ending, select.POLLIN)
        self._poll.register(connection.fileno(), 0)
        return None

    def _leave(self) -> None:
        """In a fork: lets go of all that is the server's."""
        self._listener.close()
        self._notes.close()
        os.close(self._controller)
        for ending, (_number, connection) in self._forks.items():
            os.close(ending)
            connection.close()
        self._forks.clear()
        # The first that is registered is the last that runs: then everything is loaded that ever will be.
        atexit.register(self._send_note, frozenset(sys.modules), os.fstat(self._to_notes.fileno()))

    def _send_note(self, loaded: frozenset[str], to_notes: os.stat_result) -> None:
        # Without a note the next fork loads as well: the run may have ended, or a module have closed what is not its.
        with contextlib.suppress(OSError):
            if os.path.samestat(os.fstat(self._to_notes.fileno()), to_notes):
                self._to_notes.send(self._pantry.note(loaded), socket.MSG_DONTWAIT)

    def _ended(self, ending: int) -> None:
        number, connection = self._forks.pop(ending)
        self._poll.unregister(ending)
        self._forget(connection.fileno())
        os.close(ending)
        status = os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])
        with contextlib.suppress(OSError):
            connection.sendall(STATUS.pack(status))
        connection.close()

    def _terminate_forks(self, connections: set[int]) -> None:
        waiting = self._waiting()
        for descriptor in connections:
            self._forget(descriptor)
            _terminate(waiting[descriptor])

    def _forget(self, connection: int) -> None:
        with contextlib.suppress(KeyError):  # it is forgotten already
            self._poll.unregister(connection)


def _terminate(number: int) -> None:
    try:
        os.killpg(number, signal.SIGTERM)
    except ProcessLookupError:
        # It has not yet a group of its own.
        os.kill(number, signal.SIGTERM)


def _received(connection: socket.socket) -> tuple[list[int], dict[str, Any], bytes]:
    """In a fork: standard input, output and error; the environment; the module's program."""
    start, streams, _flags, _sender = socket.recv_fds(connection, START.size, 3)
    with connection.makefile("rb") as reader:
        described, program = START.unpack(start + reader.read(START.size - len(start)))
        return streams, json.loads(reader.read(described)), reader.read(program)


def _become(streams: list[int], environment: dict[str, str], assigned: dict[str, str]) -> None:
    """In a fork: takes on the streams and the environment that a process of its own would have got from the shell."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    by_shell = {name: os.environ[name] for name in SHELL_SETS if name in os.environ}
    if ODD_NAME not in os.environ:
        environment = {name: value for name, value in environment.items() if _IDENTIFIER.fullmatch(name)}
    os.environ.clear()
    os.environ.update({**environment, **by_shell, **assigned})


def _run(program: bytes, main: dict[str, Any]) -> None:
    """Runs the module's program as Python runs what it reads from standard input."""
    module = types.ModuleType("__main__")
    vars(module).update(main)
    sys.modules["__main__"] = module
    try:
        exec(compile(program, "<stdin>", "exec", dont_inherit=True), vars(module))  # noqa: S102  # as Python itself does
    except SystemExit:
        raise
    except BaseException as error:
        # Without the frame of this function, which a process of its own has not.
        trace = error.__traceback__.tb_next if error.__traceback__ else None
        sys.excepthook(type(error), error.with_traceback(trace), trace)
        if isinstance(error, KeyboardInterrupt):
            sys.stdout.flush()
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
        sys.exit(1)


def _listener(directory: str, name: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    holder = os.open(directory, os.O_PATH | os.O_DIRECTORY)
    # By way of the folder's descriptor, as the path of a socket may have no more than 107 bytes.
    address = f"/proc/self/fd/{holder}/{name}"
    umask = os.umask(0o177)
    listener.bind(address)
    os.umask(umask)
    os.close(holder)
    listener.listen(1024)
    return listener


def _open_controller(number: int, started: str) -> int:
    """A descriptor that tells when Ansible's main process has ended."""
    descriptor = os.pidfd_open(number)
    # Only now is it certain that the number has not been given to a later process.
    if (
        Path(f"/proc/{number}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
        != started
    ):
        sys.exit("The run has ended.")
    return descriptor


def main(settings: dict[str, Any]) -> None:
    pristine: dict[str, Any] = {name: globals()[name] for name in _MAIN if name in globals()}
    if "__annotations__" in globals():
        pristine["__annotations__"] = {}
    search_path = list(sys.path)
    # Nothing is loaded from the folder in which Ansible happens to be started; a module's program does the same.
    sys.path[:] = [entry for entry in sys.path if entry not in ("", ".")]
    controller = _open_controller(settings["controller"], settings["controller_started"])
    pantry = Pantry(settings["roots"])
    if sys.warnoptions or sys.flags.dev_mode or sys.flags.verbose:
        sys.exit("What is loaded here would not be reported by the modules.")
    importlib.import_module("boto3")
    use_models_of(pantry)
    use_code_of(pantry)
    if threading.active_count() > 1:
        sys.exit("Something that boto3 loads starts a thread, which a fork would lose.")
    server = Server(_listener(settings["directory"], settings["name"]), controller, pantry)
    gc.freeze()
    os.write(1, READY)
    for stream, flags in enumerate((os.O_RDONLY, os.O_WRONLY, os.O_WRONLY)):
        nothing = os.open(os.devnull, flags)
        os.dup2(nothing, stream)
        os.close(nothing)
    connection = server.serve()
    if connection is None:
        return
    with connection:
        streams, described, program = _received(connection)
        _become(streams, described["environment"], described["assigned"])
        connection.sendall(BEGUN)
    sys.path[:] = search_path
    _run(program, pristine)
