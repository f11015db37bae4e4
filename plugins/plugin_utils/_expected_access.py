# SPDX-License-Identifier: GPL-3.0-or-later
"""Which trials of access there are to make, and what is expected of each, see `docs/concepts.md`, section 6.

Expectations come from the declarations, the inventory, and what an authority has decided by its bucket's tag. Of a
deployed policy nothing is known here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, TypedDict

from ansible_collections.localgov.platform.plugins.module_utils._access_probe import FOLDER
from ansible_collections.localgov.platform.plugins.module_utils._policy_resources import RefusedError
from ansible_collections.localgov.platform.plugins.module_utils._policy_trust import expiry
from ansible_collections.localgov.platform.plugins.plugin_utils._declaration import DeclarationError, Service

ORGANISATION, LOCAL_AUTHORITY, OUTSIDER = "organisation", "local_authority", "outsider"

# The arrows that let a service do something with a folder of a bucket. None is for reading old versions.
_ARROWS: dict[str, tuple[str, ...]] = {
    "list": ("reads", "lists"),
    "list_versions": ("versions",),
    "get": ("reads",),
    "get_version": (),
    "put": ("writes",),
    "delete": ("deletes",),
    "delete_version": ("erases",),
}
_LISTS = ("list", "list_versions")
_ACTIONS_OF_REPOSITORY = ("pull", "push")
# What the trials call in AWS, for the policies that roles borrow.
_CALLS = {
    "list": ["s3:ListBucket"],
    "list_versions": ["s3:ListBucketVersions"],
    "get": ["s3:GetObject"],
    "get_version": ["s3:GetObjectVersion"],
    "put": ["s3:PutObject"],
    "delete": ["s3:DeleteObject"],
    "delete_version": ["s3:DeleteObjectVersion"],
    "pull": ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
    "push": ["ecr:PutImage"],
}
# How long what is lent may count, for the case that nobody comes to take it back.
_LENT_FOR = timedelta(hours=1)
# Of the names in another account's bucket, too, nothing but probes may be seen.
_ONLY_PROBES = {"StringLike": {"s3:prefix": f"*{FOLDER}/"}}

Trial = dict[str, str]
Statement = dict[str, Any]


class Share(TypedDict, total=False):
    """What the inventory says of an authority's share: `state` granted or revoked, `prefixes`, `expires` (ISO 8601).

    `decided` is what the authority itself says, by the tag `share` of its bucket; empty when it has said nothing.
    """

    state: str
    prefixes: list[str]
    expires: str
    decided: str


class Host(TypedDict, total=False):
    """An account: its kind, what it declares to run, and where its services' locations lie."""

    account_id: str
    kind: str
    services: dict[str, Service]
    locations: dict[str, Any]
    share: Share
    images: list[str]  # of the organisation: the repositories' names without the prefix


class Estate(TypedDict):
    """Every account that takes part, by inventory host."""

    prefix: str
    region: str
    hosts: dict[str, Host]


class Principal(TypedDict):
    """A role and its trials; `statements` is what it borrows for them. Without a role it is the deployer."""

    role: str | None
    trials: list[Trial]
    statements: list[Statement]


class Folder(NamedTuple):
    """A place in a bucket: `location` is the declaration's name of the bucket, `prefix` is empty for its top."""

    owner: str
    location: str
    bucket: str
    prefix: str


class Verdict(NamedTuple):
    allowed: bool
    because: str
    # Whether the caller's own policies are the only thing that refuses, so that there is nothing to borrow.
    by_own_policy: bool = False


def principals(estate: Estate, host: str, now: datetime | None = None) -> list[Principal]:
    """The roles of *host* with what each is to try, in the declaration's order; the deployer's own session first."""
    account = estate["hosts"][host]
    moment = now or datetime.now(UTC)
    if account["kind"] == OUTSIDER:
        return [_outsider(estate, host, role, moment) for role in every_role(estate)]
    found = [_deployer(estate, host)]
    for name, service in account["services"].items():
        found.append(_principal(estate, host, _role(estate, name, "task"), (name, service, "task"), moment))
        found.append(_principal(estate, host, _role(estate, name, "execution"), (name, service, "execution"), moment))
    return found


def probed_folders(estate: Estate, host: str) -> list[dict[str, Any]]:
    """The buckets of *host* with the prefixes at which a probe has to lie: `[{name, prefixes}]`."""
    found: dict[str, list[str]] = {}
    for folder in _folders_of(estate, host):
        found.setdefault(folder.bucket, []).append(folder.prefix)
    return [{"name": bucket, "prefixes": prefixes} for bucket, prefixes in found.items()]


def with_versions(found: Iterable[Principal], probes: Mapping[str, str]) -> list[Principal]:
    """Name the probe's version in trials that read a version. *probes* is its S3 URI to its version."""
    return [{**each, "trials": [_with_version(trial, probes) for trial in each["trials"]]} for each in found]


def _with_version(trial: Trial, probes: Mapping[str, str]) -> Trial:
    if trial["action"] != "get_version":
        return trial
    parts = [trial["resource"].rpartition(":")[2], trial["prefix"], FOLDER, "probe"]
    version = probes.get(f"s3://{'/'.join(filter(None, parts))}")
    return {**trial, "version": version} if version else trial


# --- Whose trials ---


def _principal(estate: Estate, host: str, role: str, who: tuple[str, Service, str], moment: datetime) -> Principal:
    name, service, kind = who
    trials = []
    for folder in _folders(estate):
        for action in _ARROWS:
            verdict = (
                _on_folder(estate, host, (name, service), folder, action, moment)
                if kind == "task"
                else Verdict(False, "ECS itself needs no bucket to start a task")
            )
            trials.append(_trial(host, role, folder.owner, _bucket_arn(folder), action, folder.prefix, verdict))
    for owner, image in _repositories(estate):
        for action in _ACTIONS_OF_REPOSITORY:
            verdict = _on_repository(estate, host, (name, service, kind), (owner, image), action)
            trials.append(_trial(host, role, owner, _repository_arn(estate, owner, image), action, "", verdict))
    return {"role": role, "trials": trials, "statements": _borrowed(estate, host, trials, moment)}


def _deployer(estate: Estate, host: str) -> Principal:
    """The deployer keeps buckets and repositories of its own account, reads no data, and has no say in another."""
    role = "deployer"
    trials = []
    for folder in _folders(estate):
        arn = _bucket_arn(folder)
        if folder.owner != host:
            verdict = Verdict(False, "deployers work in their own account", by_own_policy=True)
            trials.append(_trial(host, role, folder.owner, arn, "list", folder.prefix, verdict))
        else:
            verdict = Verdict(False, "deployers read no data", by_own_policy=True)
            trials += [
                _trial(host, role, host, arn, action, folder.prefix, verdict) for action in ("get", "get_version")
            ]
            if not folder.prefix:
                verdict = Verdict(False, "nothing crosses a network in clear", by_own_policy=True)
                trials.append(_trial(host, role, folder.owner, arn, "list_without_tls", "", verdict))
    for owner, image in _repositories(estate):
        if owner != host:
            verdict = Verdict(False, "only execution roles pull", by_own_policy=True)
            arn = _repository_arn(estate, owner, image)
            trials += [_trial(host, role, owner, arn, action, "", verdict) for action in _ACTIONS_OF_REPOSITORY]
    return {"role": None, "trials": trials, "statements": []}


def _outsider(estate: Estate, host: str, role: str, moment: datetime) -> Principal:
    """A role of the right name in the wrong account: it has every right that its own account can give."""
    verdict = Verdict(False, "outside the organisational unit")
    trials = [
        _trial(host, role, folder.owner, _bucket_arn(folder), action, folder.prefix, verdict)
        for folder in _folders(estate)
        for action in _ARROWS
    ]
    trials += [
        _trial(host, role, owner, _repository_arn(estate, owner, image), action, "", verdict)
        for owner, image in _repositories(estate)
        for action in _ACTIONS_OF_REPOSITORY
    ]
    every_right = {
        "Sid": "EveryRight",
        "Effect": "Allow",
        "Action": ["ecr:*", "s3:*"],
        "Resource": "*",
        "Condition": _lent(moment),
    }
    return {"role": role, "trials": trials, "statements": [every_right]}


def every_role(estate: Estate) -> list[str]:
    """The names of all roles that any account's services have."""
    names = {name: None for account in estate["hosts"].values() for name in account.get("services", {})}
    return [_role(estate, name, kind) for name in names for kind in ("task", "execution")]


def sign(estate: Estate, host: str, now: datetime | None = None) -> Principal | None:
    """The role that shows that a run is at work outside, whatever it tries; inside, an object does.

    It is the same for all runs, so that those with no other role in common see each other. It may do nothing.
    """
    if estate["hosts"][host]["kind"] != OUTSIDER:
        return None
    nothing = {
        "Sid": "Nothing",
        "Effect": "Deny",
        "Action": "*",
        "Resource": "*",
        "Condition": _lent(now or datetime.now(UTC)),
    }
    return {"role": f"{estate['prefix']}-access-probe", "trials": [], "statements": [nothing]}


def _role(estate: Estate, service: str, kind: str) -> str:
    return f"{estate['prefix']}-{service.replace('_', '-')}-{kind}"


def _trial(account: str, role: str, owner: str, resource: str, action: str, prefix: str, verdict: Verdict) -> Trial:
    borrowed = account != owner and not verdict.allowed and not verdict.by_own_policy
    return {
        "account": account,
        "role": role,
        "owner": owner,
        "resource": resource,
        "action": action,
        "prefix": prefix,
        "expected": "allowed" if verdict.allowed else "refused",
        "because": verdict.because,
        "rights": "borrowed" if borrowed else "own",
    }


# --- On what ---


def _folders(estate: Estate) -> Iterator[Folder]:
    for host in estate["hosts"]:
        yield from _folders_of(estate, host)


def _folders_of(estate: Estate, host: str) -> Iterator[Folder]:
    """The top of each bucket, and every folder that an arrow or the share names."""
    account = estate["hosts"][host]
    for location, bucket in account.get("locations", {}).items():
        if not bucket or not isinstance(bucket, str):  # those of members are theirs
            continue
        named = {prefix for arrow in _arrows(account) for name, prefix in [_parts(arrow)] if name == location}
        if location == "shared":
            named |= {prefix.strip("/") for prefix in account.get("share", {}).get("prefixes") or []}
        for prefix in sorted(named | {""}):
            yield Folder(host, location, bucket, prefix)


def _arrows(account: Host) -> Iterator[str]:
    for service in account.get("services", {}).values():
        for key in ("lists", "versions", "reads", "writes", "resumes", "deletes", "erases"):
            yield from service.get(key) or []


def _parts(arrow: str) -> tuple[str, str]:
    location, _separator, prefix = arrow.partition("/")
    return location, prefix.strip("/")


def _repositories(estate: Estate) -> Iterator[tuple[str, str]]:
    for host, account in estate["hosts"].items():
        for image in account.get("images") or []:
            yield host, image


def _bucket_arn(folder: Folder) -> str:
    return f"arn:aws:s3:::{folder.bucket}"


def _repository_arn(estate: Estate, owner: str, image: str) -> str:
    account = estate["hosts"][owner]["account_id"]
    return f"arn:aws:ecr:{estate['region']}:{account}:repository/{estate['prefix']}/{image}"


# --- With what expectation ---


def _on_folder(
    estate: Estate, host: str, who: tuple[str, Service], folder: Folder, action: str, moment: datetime
) -> Verdict:
    name, service = who
    if folder.owner == host:
        arrow = _covering(service, action, folder.location, folder.prefix)
        return Verdict(arrow is not None, f"{name} {arrow}" if arrow else f"no arrow of {name} asks for it")
    owner = estate["hosts"][folder.owner]
    reads_members = folder.location == "shared" and folder.owner in (
        estate["hosts"][host].get("locations", {}).get("member_shared") or {}
    )
    arrow = _covering(service, action, "member_shared", folder.prefix) if reads_members else None
    if arrow is None:
        return Verdict(False, f"no arrow of {name} goes there")
    try:
        closed = _closed(owner.get("share", {}), folder.prefix, moment)
    except RefusedError as error:
        raise DeclarationError(f"platform_share_expires of {folder.owner}: {error}") from error
    if closed:
        return Verdict(False, f"{folder.owner}'s share {closed}")
    return Verdict(True, f"{name} {arrow}, and {folder.owner} shares")


def _covering(service: Service, action: str, location: str, prefix: str) -> str | None:
    """The arrow that lets the service do it, such as `reads data_store/results`."""
    for key in _ARROWS[action]:
        for arrow in service.get(key) or []:
            name, limit = _parts(arrow)
            if name == location and _within(prefix, limit):
                return f"{key} {arrow}"
    return None


def _within(prefix: str, limit: str) -> bool:
    return not limit or prefix == limit or prefix.startswith(f"{limit}/")


def _closed(share: Share, prefix: str, moment: datetime) -> str | None:
    """Why a share does not let anybody into the folder; None when it does."""
    if share.get("state", "granted") != "granted":
        return "is revoked"
    if share.get("decided") == "revoked":
        return "is revoked by itself: the tag share=revoked of its bucket counts, whatever the inventory says"
    expires = share.get("expires")
    if expires and datetime.fromisoformat(str(expiry(str(expires)))) <= moment:
        return f"ended at {expires}"
    limits = [limit.strip("/") for limit in share.get("prefixes") or []]
    if limits and not any(_within(prefix, limit) for limit in limits):
        return f"is limited to {', '.join(limits)}"
    return None


def _on_repository(
    estate: Estate, host: str, who: tuple[str, Service, str], repository: tuple[str, str], action: str
) -> Verdict:
    name, service, kind = who
    owner, image = repository
    if action == "push":
        return Verdict(False, "only deployers push")
    if kind != "execution":
        return Verdict(False, "only execution roles pull")
    if owner == host:
        # Within one account the repository's policy is enough, and it names no service.
        return Verdict(True, "execution roles of the unit may pull")
    if service.get("image") == image:
        return Verdict(True, f"{name} runs this image")
    return Verdict(False, f"{name} runs another image", by_own_policy=True)


# --- What is borrowed for it ---


def _lent(moment: datetime) -> dict[str, Any]:
    """A condition that lets what is lent count for a while only."""
    return {"DateLessThan": {"aws:CurrentTime": (moment + _LENT_FOR).strftime("%Y-%m-%dT%H:%M:%SZ")}}


def _borrowed(estate: Estate, host: str, trials: list[Trial], moment: datetime) -> list[Statement]:
    """Statements that allow the borrowed trials.

    They never hold in the role's own account, end by themselves, and let nothing be seen, read or written but probes.
    Where all buckets of a kind are tried one pattern stands for them, so that the policy does not grow with the number
    of accounts.
    """
    kinds = _kinds(estate)
    resources: dict[str, set[str]] = {}
    whole = _wholly_borrowed(host, trials, kinds)
    for trial in trials:
        if trial["rights"] == "borrowed":
            kind = kinds.get(trial["resource"], "")
            pattern = f"arn:aws:s3:::{estate['prefix']}-*-{kind}" if kind and whole[trial["action"], kind] else None
            resources.setdefault(trial["action"], set()).add(_borrowed_resource(trial, pattern))
    own = estate["hosts"][host]["account_id"]
    condition = {"StringNotEquals": {"aws:ResourceAccount": own}, **_lent(moment)}
    # Most actions are tried at the same places: one statement for them, as a role's policies must not be long.
    actions: dict[tuple[bool, tuple[str, ...]], list[str]] = {}
    for action, found in sorted(resources.items()):
        actions.setdefault((action in _LISTS, tuple(sorted(found))), []).append(action)
    return [
        {
            "Sid": "Try" + "".join(action.title().replace("_", "") for action in together),
            "Effect": "Allow",
            "Action": [call for action in together for call in _CALLS[action]],
            "Resource": list(found),
            "Condition": {**condition, **_ONLY_PROBES} if is_list else condition,
        }
        for (is_list, found), together in actions.items()
    ]


def _wholly_borrowed(host: str, trials: Iterable[Trial], kinds: dict[str, str]) -> dict[tuple[str, str], bool]:
    """By action and kind of bucket, whether each trial in another account is one with borrowed rights."""
    whole: dict[tuple[str, str], bool] = {}
    for trial in trials:
        key = (trial["action"], kinds.get(trial["resource"], ""))
        if trial["owner"] != host:
            whole[key] = whole.get(key, True) and trial["rights"] == "borrowed"
    return whole


def _kinds(estate: Estate) -> dict[str, str]:
    """Bucket ARN to its kind, for buckets that are named after it."""
    kinds = {_bucket_arn(folder): folder.location.replace("_", "-") for folder in _folders(estate)}
    start = f"arn:aws:s3:::{estate['prefix']}-"
    return {arn: kind for arn, kind in kinds.items() if arn.startswith(start) and arn.endswith(f"-{kind}")}


def _borrowed_resource(trial: Trial, pattern: str | None) -> str:
    if trial["action"] in (*_LISTS, *_ACTIONS_OF_REPOSITORY):
        return pattern or trial["resource"]
    folder = f"{trial['prefix']}/" if trial["prefix"] else ""
    return f"{pattern}/*{FOLDER}/*" if pattern else f"{trial['resource']}/{folder}{FOLDER}/*"
