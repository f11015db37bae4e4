# SPDX-License-Identifier: GPL-3.0-or-later
"""What of an inventory cannot be meant: for each account the variable, what it says, and what is expected.

Values only; nothing here calls AWS. A variable that is not looked at here is one of a role, and is held to the role's
own argument specification.
"""

from __future__ import annotations

import difflib
import importlib.util
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.localgov.platform.plugins.plugin_utils._addressing import AddressError, account_range, overlaps
from ansible_collections.localgov.platform.plugins.plugin_utils._declared_faults import declared_faults, said
from ansible_collections.localgov.platform.plugins.plugin_utils._session_request import (
    InvalidRequestError,
    session_request,
)
from ansible_collections.localgov.platform.plugins.plugin_utils._working_hours import CalendarError, calendar

Variables = Mapping[str, Any]
Specification = dict[str, dict[str, Any]]

# What playbooks/images.yml pushes unless platform_images says otherwise.
OWN_IMAGES = ("code-server", "dagit", "daemon", "frontend")
# What says which images there are.
IMAGE_VARIABLES = ("platform_images", "platform_image_digests")

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_IMAGE = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")
_ARN = r"arn:[a-z-]+:{service}:{region}:[0-9]{{12}}:.+"
_MARKUP = re.compile(r"[COVI]\((.*?)\)")


class Form(NamedTuple):
    """How a variable has to be written."""

    fits: Callable[[Any], bool]
    expected: str
    needed: bool = False


def _text(pattern: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None


def _one_of(*choices: object) -> Form:
    return Form(lambda value: value in choices, " or ".join(map(str, choices)))


def _texts(pattern: str, *, least: int = 0) -> Callable[[Any], bool]:
    fits = _text(pattern)
    return lambda value: isinstance(value, list) and len(value) >= least and all(map(fits, value))


def _is_date(value: object) -> bool:
    if isinstance(value, date) or value in ("", None):
        return True
    try:
        date.fromisoformat(str(value)[:10])
    except ValueError:
        return False
    return True


@cache
def _regions() -> set[str]:
    """All that botocore knows; read from its files, because to load it takes longer than all the rest."""
    package = importlib.util.find_spec("botocore")
    folder = Path(package.submodule_search_locations[0] if package and package.submodule_search_locations else "")
    partitions = json.loads((folder / "data" / "partitions.json").read_text(encoding="utf-8"))["partitions"]
    return {region for partition in partitions for region in partition["regions"]}


_ROLE_NAME = Form(_text(r"[A-Za-z0-9_+=,.@/-]+"), "the name of a role")
# An account's own, which its roles are told by the playbooks. The last part is what an operator is told to write.
FORMS: dict[str, Form] = {
    "platform_region": Form(
        lambda value: isinstance(value, str) and value in _regions(),
        "the name of a region, such as eu-west-2",
        needed=True,
    ),
    "platform_organisation_id": Form(
        _text(r"o-[a-z0-9]{10,32}"), "the organisation's id, such as o-a1b2c3d4e5", needed=True
    ),
    "platform_organisational_unit_paths": Form(
        _texts(r"o-[a-z0-9]{10,32}/r-[a-z0-9]{4,32}/(ou-[a-z0-9]{4,32}-[a-z0-9]{8,32}/)+\*", least=1),
        "a list of paths, each of which ends in /*, such as [o-a1b2c3d4e5/r-ab12/ou-ab12-11111111/*]",
        needed=True,
    ),
    "platform_name_prefix": Form(
        _text(r"[a-z][a-z0-9-]{0,18}[a-z0-9]"), "2 to 20 lower-case letters, digits and hyphens, such as localgov"
    ),
    "platform_zones": _one_of(2, 3),
    "platform_egress": _one_of("endpoints", "nat", "none"),
    "platform_share": _one_of("granted", "revoked"),
    "platform_share_prefixes": Form(_texts(r"[^/*].*"), "a list of prefixes without * and without a first /"),
    "platform_share_expires": Form(_is_date, "a date, such as 2027-03-31"),
    "platform_shared_encryption": _one_of("AES256", "aws:kms", "keep"),
    "platform_sign_in": _one_of("cognito", "none"),
    "platform_sign_in_mfa": _one_of("required", "optional", "none"),
    "platform_sign_in_saml": Form(
        lambda value: (
            value == {}
            or (
                isinstance(value, dict)
                and _text(r"[A-Za-z0-9-]{1,32}")(value.get("provider"))
                and _text(r"https://.+")(value.get("metadata_url"))
            )
        ),
        "provider, a name of letters, digits and hyphens, and metadata_url, an https address",
    ),
    "platform_sign_in_mail": Form(
        lambda value: (
            value == {}
            or (
                isinstance(value, dict)
                and _text(_ARN.format(service="ses", region="[a-z0-9-]+"))(value.get("identity_arn"))
                and bool(value.get("from"))
            )
        ),
        "identity_arn, the ARN of an identity of SES, and from, the sender",
    ),
    "platform_public_url": Form(
        _text(r"https://[^/@]+|http://(127[.]0[.]0[.]1|0[.]0[.]0[.]0|localhost)(:[0-9]+)?|"),
        "an https address without a path, such as https://upload.camden.example.gov.uk",
    ),
    "platform_alarm_topics": Form(
        _texts(_ARN.format(service="sns", region="[a-z0-9-]+")), "a list of ARNs of SNS topics"
    ),
    "platform_operators": Form(
        _texts(r"arn:[a-z-]+:(iam|sts)::[0-9]{12}:.+"), "a list of ARNs of those who deploy, users or roles"
    ),
    "platform_access_role": _ROLE_NAME,
    "platform_restore_role": _ROLE_NAME,
    "platform_image_digests": Form(
        lambda value: isinstance(value, dict) and all(map(_text(_DIGEST.pattern), value.values())),
        "a mapping of images to digests, each sha256: and 64 hexadecimal digits",
    ),
    "platform_images": Form(
        lambda value: isinstance(value, dict) and all(isinstance(image, dict) for image in value.values()),
        "a mapping of images to mappings, such as {frontend: {context: files/frontend}}",
    ),
    "platform_add_users_image": Form(
        lambda value: (
            isinstance(value, str)
            and bool(_IMAGE.fullmatch(value) or re.fullmatch(r"[^@\s]+@" + _DIGEST.pattern, value))
        ),
        "the name of one of the organisation's images, or an image by its digest, <registry>/<name>@sha256:...",
    ),
    "platform_buckets": Form(_texts(r"[a-z][a-z0-9_]*"), "a list of names of lower-case letters, digits and _"),
    "platform_share_agreement": _one_of("keep_published"),
    "platform_check_thresholds": Form(
        lambda value: isinstance(value, dict) and all(isinstance(checks, dict) for checks in value.values()),
        "a mapping of datasets to mappings of checks to numbers",
    ),
    "platform_prices": Form(
        lambda value: isinstance(value, dict), "a mapping as in playbooks/prices, such as {nat_gateway_hour: 0.05}"
    ),
    "platform_cost_assumptions": Form(
        lambda value: isinstance(value, dict) and all(isinstance(use, int | float) for use in value.values()),
        "a mapping of what is used in a month to numbers, such as {run_hours: 40}",
    ),
    "platform_lock_seconds": Form(
        lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= 900,
        "a number of seconds, 900 or more",
    ),
}
# Looked at on their own, or read by playbooks of other kinds than a rollout.
_OTHERS = {
    "platform_cidr", "platform_configuration", "platform_hours", "platform_image_layouts", "platform_images_archives",
    "platform_images_build", "platform_images_engine", "platform_images_platform", "platform_plain_http_endpoint_url",
    "platform_principals", "platform_sample", "platform_take_lock_from", "platform_verify_at_once",
    "platform_verify_service", "platform_versions", "platform_way_in", "platform_webserver_longest",
}  # fmt: skip
KNOWN = {*FORMS, *_OTHERS}


def images_of(accounts: Iterable[Variables]) -> set[str]:
    """The names of the images that the inventory has pushed or pins, by the variables of all its accounts."""
    named: dict[str, set[str]] = {name: set() for name in IMAGE_VARIABLES}
    for variables in accounts:
        for name, images in named.items():
            if _says_images(variables, name):
                images.update(map(str, variables.get(name, ())))
    return (named["platform_images"] or set(OWN_IMAGES)) | named["platform_image_digests"]


def _says_images(variables: Variables, name: str) -> bool:
    """Whether what a variable says of images, if anything, is as expected."""
    return name not in variables or FORMS[name].fits(variables[name])


def faults_of(variables: Variables, specifications: Mapping[str, Specification], images: set[str]) -> Iterator[str]:
    """What is wrong with one account's variables; `specifications` are the roles' options by the role's name, `images`
    the names of those that there are."""
    yield from _connection_faults(variables)
    yield from _platform_faults(variables)
    yield from _range_faults(variables)
    yield from _hours_faults(variables)
    yield from _people_faults(variables)
    for role, options in specifications.items():
        yield from _role_faults(role, options, variables)
    known = all(_says_images(variables, name) for name in IMAGE_VARIABLES)
    yield from declared_faults(variables, images if known else None)


def faults_between(accounts: Mapping[str, Variables]) -> Iterator[tuple[str, str]]:
    """(host, what is wrong) of what accounts may not have in common."""
    seen: dict[str, str] = {}
    for host, variables in accounts.items():
        account = str(variables.get("ansible_aws_account_id"))
        if account in seen:
            yield (
                host,
                (
                    f"ansible_aws_account_id is {account!r}, as that of {seen[account]} is; "
                    "expected is a number that no other host of the inventory has"
                ),
            )
        seen.setdefault(account, host)
    ranges = {
        host: str(variables.get("platform_cidr")) for host, variables in accounts.items() if _has_range(variables)
    }
    for pair in overlaps(ranges):
        (first, second), (one, other) = pair["hosts"], pair["cidrs"]
        yield (
            second,
            f"platform_cidr is {other}, which overlaps {one} of {first}; expected is a range that no other account "
            "has, as networks that overlap can never be connected",
        )


def _connection_faults(variables: Variables) -> Iterator[str]:
    prefix = "ansible_aws_account_"
    options = {name.removeprefix(prefix): value for name, value in variables.items() if name.startswith(prefix)}
    try:
        session_request({**options, "account_id": options.get("id")})
    except InvalidRequestError as error:
        yield str(error)
    yield from _misspelt(variables, prefix, {prefix + option for option in _CONNECTION_OPTIONS})


_CONNECTION_OPTIONS = (
    "id", "role", "external_id", "session_name", "duration", "region", "profile", "shared_credentials_file",
    "config_file", "endpoint_url", "ca_bundle", "warm", "pipelining",
)  # fmt: skip


def _platform_faults(variables: Variables) -> Iterator[str]:
    for name, form in FORMS.items():
        if name not in variables:
            if form.needed:
                yield f"{name} is missing; expected is {form.expected}"
        elif not form.fits(variables[name]):
            yield _not_as_expected(name, variables[name], form.expected)
    yield from _misspelt(variables, "platform_", KNOWN)
    yield from _unit_faults(variables)


def _unit_faults(variables: Variables) -> Iterator[str]:
    organisation, name = variables.get("platform_organisation_id"), "platform_organisational_unit_paths"
    paths = variables.get(name)
    if not FORMS["platform_organisation_id"].fits(organisation) or not FORMS[name].fits(paths):
        return  # That is said already.
    for path in paths or []:
        if path.partition("/")[0] != organisation:
            yield _not_as_expected(name, path, f"a path of the organisation platform_organisation_id, {organisation}")


def _has_range(variables: Variables) -> bool:
    return not list(_range_faults(variables))


def _range_faults(variables: Variables) -> Iterator[str]:
    if variables.get("platform_cidr") is None:
        yield "platform_cidr is missing; expected is the account's own private range, such as 10.0.16.0/20"
        return
    try:
        account_range(str(variables["platform_cidr"]))
    except AddressError as error:
        yield f"platform_cidr: {error}"


def _hours_faults(variables: Variables) -> Iterator[str]:
    if variables.get("platform_hours"):
        try:
            calendar(variables["platform_hours"])
        except CalendarError as error:
            yield f"platform_hours: {error}"


def _people_faults(variables: Variables) -> Iterator[str]:
    """Operatives add people to the account's own user pool, where people sign in."""
    if variables.get("platform_add_users_image") != "frontend":
        return
    own = variables.get("platform_images")
    if own is not None and not FORMS["platform_images"].fits(own):
        return  # That is said already.
    if own is not None and (own.get("frontend") or {}).get("context") != "files/frontend":
        return
    if variables.get("platform_sign_in", "cognito") != "cognito" or variables.get("platform_sign_in_saml"):
        yield (
            "platform_add_users_image is 'frontend', by which operatives add people to the account's user pool, but "
            "its people sign in otherwise; expected is platform_sign_in: cognito without platform_sign_in_saml, or no "
            "such image"
        )


def _role_faults(role: str, options: Specification, variables: Variables) -> Iterator[str]:
    yield from _misspelt(variables, f"{role}_", set(options))
    for name, option in options.items():
        if name in variables and not _fits(option, variables[name]):
            yield _not_as_expected(name, variables[name], _form_of(option))


def _fits(option: Mapping[str, Any], value: object) -> bool:
    specification = {key: option[key] for key in ("type", "choices", "elements") if key in option}
    if specification.get("type") in ("dict", "list"):
        # Text that looks like one is taken for one by modules; who wrote it meant something else.
        kind = {"dict": Mapping, "list": list}[specification["type"]]
        if not isinstance(value, kind):
            return False
    return not ArgumentSpecValidator({"value": specification}).validate({"value": value}).error_messages


def _form_of(option: Mapping[str, Any]) -> str:
    if "choices" in option:
        return " or ".join(map(str, option["choices"]))
    kind = {
        "str": "text",
        "int": "a whole number",
        "float": "a number",
        "bool": "true or false",
        "list": "a list",
        "dict": "a mapping",
    }[option.get("type", "str")]
    description = option.get("description", "")
    first = description[0] if isinstance(description, list) else description
    return f"{kind}: {_MARKUP.sub(lambda found: found[1], ' '.join(first.split()))}"


def _misspelt(variables: Variables, prefix: str, known: set[str]) -> Iterator[str]:
    for name in variables:
        if name.startswith(prefix) and name not in known:
            near = difflib.get_close_matches(name, known, 1)
            meant = f"; expected is perhaps {near[0]}" if near else f"; expected are {', '.join(sorted(known))}"
            yield f"{name} is no variable that is read{meant}"


def _not_as_expected(name: str, value: object, expected: str) -> str:
    # Who puts a secret where its ARN belongs does not find it in the log as well.
    told = "not as expected" if "secret" in name else said(value)
    return f"{name} is {told}; expected is {expected}"
