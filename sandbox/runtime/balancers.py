# SPDX-License-Identifier: GPL-3.0-or-later
"""Application load balancers that answer: each listens on a loopback address of its own.

The emulator has rules, actions and targets of balancers, and answers requests to those of its default account alone.
Here every account's balancer gets an address, which is its DNS name too, and listens on its listeners' ports; TLS is
the sandbox's own, whichever certificate the listener names. What a request meets there is the emulator's work. Targets
are asked after their health as their target group says, and requests go to those that are healthy, in turn.
"""

from __future__ import annotations

import asyncio
import http.client
import itertools
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from sandbox.runtime.state import Answer, Runtime

NEEDS = (
    "ministack.core.responses.StreamingResponse",
    "ministack.core.responses.request_scope",
    "ministack.services.alb._ACTION_MAP",
    "ministack.services.alb._describe_target_health",
    "ministack.services.alb._lbs",
    "ministack.services.alb._listeners",
    "ministack.services.alb._p",
    "ministack.services.alb._proxy_http_target",
    "ministack.services.alb._targets",
    "ministack.services.alb._tgs",
    "ministack.services.alb._xml",
    "ministack.services.alb.dispatch_request",
    "ministack.services.cloudformation.provisioners._RESOURCE_HANDLERS",
    "ministack.services.cloudformation.provisioners._elbv2_load_balancer_create",
)

_log = logging.getLogger("sandbox.balancers")

_LOOK_SECONDS = 0.3  # between looks at what there is: listeners that came or went, checks that are due
_FIRST_CHECKS = 1.0  # seconds between checks of a target that was never healthy, so that nobody waits long
_LARGEST_BODY = 16 * 1024 * 1024  # of a request, which is held in memory; files go to S3 directly

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Key = tuple[str, str, str, int]  # of a listener: account, region, ARN, port; of a target: account, ARN, host, port
Created = tuple[str, dict[str, Any]]


@dataclass
class Health:
    """What is known of a target."""

    state: str = "initial"
    agreeing: int = 0  # checks in a row that ask for another state
    due: float = 0.0
    asking: bool = False


class Balancers:
    """The listeners and health checks of all accounts, in one event loop of its own thread."""

    def __init__(self, runtime: Runtime) -> None:
        from ministack.services import alb

        self._runtime = runtime
        self._alb = alb
        self._forward = alb._proxy_http_target
        self._listening: dict[Key, asyncio.Event] = {}
        self._health: dict[Key, Health] = {}
        self._turns = itertools.count()
        self._work: set[asyncio.Task[None]] = set()

    def patch(self) -> None:
        from ministack.services.cloudformation import provisioners

        self._alb._proxy_http_target = self.forward
        self._alb._ACTION_MAP["DescribeTargetHealth"] = self.describe_health
        handlers = provisioners._RESOURCE_HANDLERS["AWS::ElasticLoadBalancingV2::LoadBalancer"]
        shipped = handlers["create"]

        def create(logical_id: str, properties: dict[str, Any], stack: str) -> Created:
            arn, attributes = shipped(logical_id, properties, stack)
            record = self._alb._lbs[arn]
            record["DNSName"] = self._address(record)
            return arn, {**attributes, "DNSName": record["DNSName"]}

        handlers["create"] = create
        # A replacement calls it by name.
        provisioners._elbv2_load_balancer_create = create
        threading.Thread(target=lambda: asyncio.run(self._watch()), name="sandbox-balancers", daemon=True).start()

    def _address(self, balancer: dict[str, Any]) -> str:
        """Kept for the balancer's name, so that it is the same after a removal and a return."""
        _, _, _, region, account, _ = balancer["LoadBalancerArn"].split(":", 5)
        return self._runtime.addresses.own(f"{account}/{region}/balancer/{balancer['LoadBalancerName']}")

    # --- Listeners ---

    async def _watch(self) -> None:
        while not self._runtime.closing:
            try:
                await self._listen()
                self._check_targets()
            except Exception:
                _log.exception("looking after balancers failed; it is tried again")
            await asyncio.sleep(_LOOK_SECONDS)

    async def _listen(self) -> None:
        """Open what listeners there are, close those that are gone."""
        wanted = {
            (account, region, arn, int(listener["Port"])): listener
            for (account, region, arn), listener in list(self._alb._listeners._data.items())
        }
        for key in [key for key in self._listening if key not in wanted]:
            self._listening.pop(key).set()
        for key, listener in wanted.items():
            balancer = self._alb._lbs.get_scoped(key[0], key[1], listener["LoadBalancerArn"])
            if key not in self._listening and balancer is not None:
                self._listening[key] = asyncio.Event()
                self._start(self._serve(key, listener, balancer))

    async def _serve(self, key: Key, listener: dict[str, Any], balancer: dict[str, Any]) -> None:
        from hypercorn.asyncio import serve
        from hypercorn.config import Config

        settings, config = self._runtime.settings, Config()
        config.bind = [f"{balancer['DNSName']}:{key[3]}"]
        config.graceful_timeout = 1
        config.loglevel = "WARNING"
        if listener["Protocol"] == "HTTPS":
            config.certfile, config.keyfile = str(settings.server_certificate), str(settings.server_key)
        # hypercorn's own types are narrower than ASGI's plain mappings.
        application: Any = self._application(key, balancer["LoadBalancerArn"])
        try:
            await serve(application, config, shutdown_trigger=self._listening[key].wait)
        except OSError as reason:
            _log.warning("%s cannot listen on %s: %s", balancer["LoadBalancerName"], config.bind[0], reason)

    def _application(self, key: Key, balancer_arn: str) -> Callable[[Message, Receive, Send], Awaitable[None]]:
        from ministack.core.responses import request_scope

        account, region, _, port = key

        async def answer(scope: Message, receive: Receive, send: Send) -> None:
            if scope["type"] == "lifespan":
                await _live(receive, send)
                return
            if scope["type"] != "http":
                return
            body = await _body(receive)
            if body is None:
                await _respond(send, receive, (413, {}, b"The request is too large for the sandbox's balancer.\n"))
                return
            with request_scope(account, region):
                balancer = self._alb._lbs.get(balancer_arn)
                response = (503, {}, b"") if balancer is None else await self._dispatch(balancer, scope, body, port)
                await _respond(send, receive, response)

        return answer

    async def _dispatch(self, balancer: dict[str, Any], scope: Message, body: bytes, port: int) -> Any:  # noqa: ANN401
        query = scope["query_string"].decode("latin-1")
        return await self._alb.dispatch_request(
            balancer,
            scope["method"],
            scope["path"],
            _headers(scope),
            body,
            parse_qs(query, keep_blank_values=True),
            port=port,
            client_ip=(scope.get("client") or ("127.0.0.1", 0))[0],
            raw_query_string=query,
            raw_path=scope["raw_path"].decode("latin-1"),
        )

    def _start(self, work: Any) -> None:  # noqa: ANN401 - a coroutine
        task = asyncio.get_running_loop().create_task(work)
        self._work.add(task)  # or it might be collected while it runs
        task.add_done_callback(self._work.discard)

    # --- Targets ---

    async def forward(self, chosen: dict[str, Any], group: dict[str, Any], *rest: Any, **more: Any) -> Any:  # noqa: ANN401
        """To a healthy target, in turn; to any when none is healthy, as AWS does, which fails open."""
        del chosen
        arn = group["TargetGroupArn"]
        targets = list(self._alb._targets.get(arn, []))
        healthy = [target for target in targets if self._state(arn, group, target) == "healthy"]
        candidates = healthy or targets
        return await self._forward(candidates[next(self._turns) % len(candidates)], group, *rest, **more)

    def describe_health(self, parameters: dict[str, Any]) -> Answer:
        arn = self._alb._p(parameters, "TargetGroupArn")
        group = self._alb._tgs.get(arn)
        if group is None:
            answer: Answer = self._alb._describe_target_health(parameters)
            return answer
        members = "".join(
            f"<member><Target><Id>{escape(target['Id'])}</Id><Port>{_port(target, group)}</Port></Target>"
            f"<TargetHealth><State>{self._state(arn, group, target)}</State></TargetHealth></member>"
            for target in self._alb._targets.get(arn, [])
        )
        told: Answer = self._alb._xml(
            200, "DescribeTargetHealth", f"<TargetHealthDescriptions>{members}</TargetHealthDescriptions>"
        )
        return told

    def _state(self, arn: str, group: dict[str, Any], target: dict[str, Any]) -> str:
        return self._health.get(_key(arn, group, target), Health()).state

    def _check_targets(self) -> None:
        now, present = time.monotonic(), dict(self._targets())
        for key in [key for key in self._health if key not in present]:
            del self._health[key]
        for key, group in present.items():
            health = self._health.setdefault(key, Health())
            if health.due <= now and not health.asking:
                health.asking = True
                self._start(self._check(key, group, health))

    def _targets(self) -> Iterator[tuple[Key, dict[str, Any]]]:
        for (account, _, arn), group in list(self._alb._tgs._data.items()):
            for target in list(self._alb._targets._data.get((account, arn), [])):
                yield _key(arn, group, target), group

    async def _check(self, key: Key, group: dict[str, Any], health: Health) -> None:
        judge(health, await asyncio.to_thread(_answers, key[2], key[3], group), group)
        pause = float(group["HealthCheckIntervalSeconds"])
        health.due = time.monotonic() + (pause if health.state == "healthy" else min(pause, _FIRST_CHECKS))
        health.asking = False


_THRESHOLDS = {True: "HealthyThresholdCount", False: "UnhealthyThresholdCount"}


def judge(health: Health, answered: bool, group: dict[str, Any]) -> None:
    """One check more: a state changes when enough checks in a row disagree with it; a first answer is enough."""
    if health.state != "initial" and answered == (health.state == "healthy"):
        health.agreeing = 0
        return
    health.agreeing += 1
    if health.agreeing >= (1 if answered and health.state == "initial" else int(group[_THRESHOLDS[answered]])):
        health.state, health.agreeing = "healthy" if answered else "unhealthy", 0


def _key(arn: str, group: dict[str, Any], target: dict[str, Any]) -> Key:
    return arn.split(":")[4], arn, str(target["Id"]), _port(target, group)


def _port(target: dict[str, Any], group: dict[str, Any]) -> int:
    return int(target.get("Port") or group["Port"])


def _answers(host: str, port: int, group: dict[str, Any]) -> bool:
    """Whether the target answers its health check with a code that the group wants."""
    connection = http.client.HTTPConnection(host, port, timeout=float(group["HealthCheckTimeoutSeconds"]))
    try:
        connection.request("GET", group["HealthCheckPath"], headers={"User-Agent": "ELB-HealthChecker/2.0"})
        return _is_wanted(connection.getresponse().status, group["Matcher"]["HttpCode"])
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _is_wanted(status: int, codes: str) -> bool:
    """`codes` as a target group has them: `200`, `200,302`, `200-299`."""
    ranges = (part.strip().split("-") for part in str(codes).split(","))
    return any(int(ends[0]) <= status <= int(ends[-1]) for ends in ranges)


def _headers(scope: Message) -> dict[str, str]:
    """By lower-case name; several of one name are one, as HTTP has it."""
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        separator = "; " if key == "cookie" else ", "
        headers[key] = f"{headers[key]}{separator}{text}" if key in headers else text
    return headers


async def _body(receive: Receive) -> bytes | None:
    """The whole body; None when it is too large."""
    body: bytes = b""
    while True:
        message = await receive()
        body = body + bytes(message.get("body", b""))
        if len(body) > _LARGEST_BODY:
            return None
        if not message.get("more_body"):
            return body


async def _respond(send: Send, receive: Receive, response: Any) -> None:  # noqa: ANN401 - as the emulator answers
    from ministack.core.responses import StreamingResponse

    status, headers, body = response
    lines = [
        (name.lower().encode("latin-1"), str(value).encode("latin-1"))
        for name, values in headers.items()
        for value in (values if isinstance(values, list) else [values])
        if name.lower() not in ("connection", "transfer-encoding")
    ]
    await send({"type": "http.response.start", "status": status, "headers": lines})
    if isinstance(body, StreamingResponse):
        await body.runner(send, receive)
    else:
        await send({"type": "http.response.body", "body": body, "more_body": False})


async def _live(receive: Receive, send: Send) -> None:
    """ASGI's start and end, at which there is nothing to do."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
