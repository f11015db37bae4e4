# SPDX-License-Identifier: GPL-3.0-or-later
"""What the parts of the runtime share within the emulator's process."""

from __future__ import annotations

from dataclasses import dataclass, field

from sandbox.runtime.addresses import Addresses
from sandbox.runtime.backoff import BackOff
from sandbox.runtime.endpoint import Endpoint
from sandbox.settings import Settings

Answer = tuple[int, dict[str, str], bytes]
"""What a function of the emulator answers a request with: status, headers, body."""


@dataclass
class Runtime:
    settings: Settings
    addresses: Addresses
    endpoint: Endpoint
    back_off: BackOff = field(default_factory=BackOff)
    closing: bool = False  # the sandbox is being stopped: nothing is started any more

    @classmethod
    def of(cls, settings: Settings) -> Runtime:
        return cls(
            settings,
            Addresses(settings.state / "addresses.json", settings.task_network),
            Endpoint(f"{settings.task_network}.0.1"),
        )
