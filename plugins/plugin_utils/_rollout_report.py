# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rollout did in each account, gathered from the results of its tasks. Nothing here prints or writes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

_STACKS = "amazon.aws.cloudformation"
# Stacks end what goes on elsewhere when one resource fails; that is no cause.
_CANCELLED = "cancelled"
_LONGEST_REASON = 2000


@dataclass
class Account:
    """One account's part of the rollout, as the report has it."""

    name: str
    outcome: str = "unfinished"  # done, failed, unreachable, or unfinished where the rollout stopped before its end
    changes: int = 0
    seconds: float = 0.0  # of its own tasks; an account also waits for others
    stacks: list[dict[str, Any]] = field(default_factory=list)
    """`name`, `outcome` (unchanged, changed, failed, absent or removed) and `seconds` of each, in order."""
    failure: dict[str, str] | None = None
    """`task` and `reason`; the reason is AWS's own where AWS gave one."""


class Rollout:
    """Is told of tasks as they begin and end, of who has finished which plays, and at last of who was to have which."""

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self._finished: set[tuple[str, str]] = set()
        self._begun: dict[tuple[str, str], float] = {}
        self._said: dict[str, str] = {}

    def finish(self, play: str, hosts: Iterable[str]) -> None:
        """These hosts have come to the end of this play."""
        self._finished.update((play, host) for host in hosts)

    def has_failed(self, host: str) -> bool:
        """Whether any of its tasks has failed until now, rescued or not."""
        account = self.accounts.get(host)
        return account is not None and account.failure is not None

    def begin(self, host: str, task: str, now: float) -> None:
        """Task is the task's own id, not its name."""
        self.accounts.setdefault(host, Account(host))
        self._begun[host, task] = now

    def end(self, host: str, task: str, action: str, result: Mapping[str, Any], now: float) -> None:
        account = self.accounts.setdefault(host, Account(host))
        seconds = now - self._begun.pop((host, task), now)
        account.seconds += seconds
        account.changes += bool(result.get("changed"))
        if action == _STACKS and (stack := _stack(result, seconds)):
            account.stacks.append(stack)

    def fail(self, host: str, task_name: str, action: str, result: Mapping[str, Any], *, reached: bool = True) -> None:
        """The last failure of an account is the one that ended it: what came before was rescued.

        One in the very words of the last is the same one, which a rescue has passed on.
        """
        said = str(result.get("msg") or "")
        if said and said == self._said.get(host):
            return
        self._said[host] = said
        account = self.accounts.setdefault(host, Account(host))
        account.outcome = "failed" if reached else "unreachable"
        account.failure = {"task": task_name, "reason": reason(action, result)}

    def close(self, expected: Mapping[str, Iterable[str]], failed: Iterable[str]) -> None:
        """Settles the outcomes.

        `expected` are the hosts of each play, also of those whose turn never came; `failed` are accounts that ended so.
        Others are done if they have finished all their plays.
        """
        ahead = {host for play, hosts in expected.items() for host in hosts if (play, host) not in self._finished}
        ended = set(failed)
        for host in {host for hosts in expected.values() for host in hosts}:
            self.accounts.setdefault(host, Account(host))
        for account in self.accounts.values():
            if account.name not in ended:
                account.outcome = "unfinished" if account.name in ahead else "done"
                account.failure = None

    def report(self, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever JSON takes
        """As it is written to JSON, accounts by name."""
        accounts = sorted(self.accounts.values(), key=lambda account: account.name)
        return {**more, "accounts": [asdict(account) | {"seconds": round(account.seconds, 1)} for account in accounts]}


def reason(action: str, result: Mapping[str, Any]) -> str:
    """Why a task failed, in AWS's own words where there are any.

    Of a stack it is what became of the first resource that failed: the others were given up because of it.
    """
    for item in result.get("results") or []:
        if isinstance(item, Mapping) and (item.get("failed") or item.get("unreachable")):
            return reason(action, item)
    if action == _STACKS and result.get("output"):
        # CloudFormation tells of the latest event first.
        causes = [line for line in result.get("log") or [] if _CANCELLED not in line.lower()]
        said = f"{_stack_name(result)}: {causes[-1] if causes else result['output']}"
    else:
        said = str(result.get("msg") or result.get("stderr") or "no reason was given").strip()
    return said[:_LONGEST_REASON]


def _stack(result: Mapping[str, Any], seconds: float) -> dict[str, Any] | None:
    name = _stack_name(result)
    if not name or result.get("skipped"):
        return None
    wanted = _arguments(result).get("state") != "absent"
    if result.get("failed"):
        outcome = "failed"
    elif wanted:
        outcome = "changed" if result.get("changed") else "unchanged"
    else:
        outcome = "removed" if result.get("changed") else "absent"
    return {"name": name, "outcome": outcome, "seconds": round(seconds, 1)}


def _stack_name(result: Mapping[str, Any]) -> str:
    return str(_arguments(result).get("stack_name") or "")


def _arguments(result: Mapping[str, Any]) -> Mapping[str, Any]:
    arguments = (result.get("invocation") or {}).get("module_args") or {}
    return arguments if isinstance(arguments, Mapping) else {}
