# SPDX-License-Identifier: GPL-3.0-or-later
"""Lambda functions with a file system, failures under the names of their exceptions, and events that are tried again.

As shipped a function's file system is ignored, and every failure is called ``Runtime.HandlerError``, so that no state
of a workflow can tell one from another. An event of EventBridge is given to a function once, whatever comes of it.
"""

from __future__ import annotations

import functools
import json
import re
from typing import Any

from sandbox.emulator.internals import find
from sandbox.runtime import file_systems
from sandbox.settings import Settings

_HANDLERS = "ministack.services.cloudformation.provisioners._RESOURCE_HANDLERS"
_TYPE = "AWS::Lambda::Function"
_EXCEPTION = re.compile(r"^(?:\w+\.)*(\w+)(?::|$)")

NEEDS = (
    _HANDLERS,
    "ministack.core.lambda_runtime.Worker",
    "ministack.core.responses.request_scope",
    "ministack.services.eventbridge._dispatch_to_lambda",
    "ministack.services.lambda_svc._execute_function_warm",
    "ministack.services.lambda_svc._functions",
    "ministack.services.lambda_svc._get_func_record_for_ref",
    "ministack.services.lambda_svc.invoke_async_with_retry",
    *file_systems.NEEDS,
)


def install(settings: Settings) -> None:
    handlers = find(_HANDLERS)
    handlers[_TYPE] = {
        **handlers[_TYPE],
        "create": _remembering(handlers[_TYPE]["create"], properties=1),
        "update": _remembering(handlers[_TYPE]["update"], properties=2),
    }
    _mount(settings)
    _name_failures()
    find("ministack.services.eventbridge")._dispatch_to_lambda = _dispatch


def _remembering(shipped: Any, properties: int) -> Any:  # noqa: ANN401 - a handler of CloudFormation
    """Keep which file systems the function has, from the argument of that number."""

    @functools.wraps(shipped)
    def handle(*arguments: Any, **more: Any) -> Any:  # noqa: ANN401
        answer = shipped(*arguments, **more)
        function = find("ministack.services.lambda_svc._functions").get(answer[0])
        if function is not None:
            function["config"]["FileSystemConfigs"] = arguments[properties].get("FileSystemConfigs") or []
        return answer

    return handle


def _mount(settings: Settings) -> None:
    worker = find("ministack.core.lambda_runtime.Worker")
    shipped = worker._spawn

    @functools.wraps(shipped)
    def spawn(self: Any) -> Any:  # noqa: ANN401 - a worker of ministack
        systems = self.config.get("FileSystemConfigs") or []
        if systems:
            _, _, _, region, account, _ = self.config["FunctionArn"].split(":", 5)
            with find("ministack.core.responses.request_scope")(account, region):
                self.config = _mounted(settings, account, region, self.config, systems)
        return shipped(self)

    worker._spawn = spawn


def _mounted(
    settings: Settings, account: str, region: str, config: dict[str, Any], systems: list[dict[str, Any]]
) -> dict[str, Any]:
    """The configuration with the folder wherever the environment has the path of the mount."""
    values = dict((config.get("Environment") or {}).get("Variables") or {})
    for system in systems:
        point, path = system["Arn"], system["LocalMountPath"]
        asks = ["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"]
        file_systems.judge(account, region, config["Role"], point, asks, tls=True)
        folder = str(file_systems.folder(settings, account, point))
        for name, value in values.items():
            if value == path or value.startswith(f"{path}/"):
                values[name] = folder + value[len(path) :]
    return {**config, "Environment": {"Variables": values}}


def _name_failures() -> None:
    functions = find("ministack.services.lambda_svc")
    shipped = functions._execute_function_warm

    @functools.wraps(shipped)
    def execute(*arguments: Any, **more: Any) -> Any:  # noqa: ANN401
        result = shipped(*arguments, **more)
        body = result.get("body")
        if result.get("error") and isinstance(body, dict) and body.get("errorType") == "Runtime.HandlerError":
            last = (str(result.get("log") or "").strip().splitlines() or [""])[-1]
            named = _EXCEPTION.match(last)
            if named:
                body["errorType"] = named[1]
        return result

    functions._execute_function_warm = execute


def _dispatch(arn: str, payload: str) -> None:
    """An event of EventBridge is an asynchronous call: tried again, and then sent where failures go."""
    functions = find("ministack.services.lambda_svc")
    function, config, _ = functions._get_func_record_for_ref(arn)
    if function and config:
        functions.invoke_async_with_retry(function, json.loads(payload))
