# SPDX-License-Identifier: GPL-3.0-or-later
"""What of an inventory's own declaration of services (`la_services_services`) cannot be meant."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from ansible_collections.localgov.platform.plugins.plugin_utils._balancers import DEFAULTS, MEMBER_DEFAULTS, balancers
from ansible_collections.localgov.platform.plugins.plugin_utils._declaration import (
    STORES,
    Declaration,
    DeclarationError,
    Service,
    connections,
)

_NAME, _BALANCERS, _LOCATIONS = "la_services_services", "la_services_balancers", "la_services_code_locations"
_TIERS = ("frontend", "dagit", "private")
_KEYS = {
    "image", "tier", "port", "desired_count", "alone", "on_demand", "command", "cpu", "memory", "environment",
    "stop_timeout", "user", "capacity_provider", "connects_to", "balancer", "launches", "follows", "health_check",
    "lists", "versions", "reads", "writes", "resumes", "deletes", "erases", "knows", "inspects", "secrets", "alarm_at",
    "drains", "roots", "signs_in", "init", "migration",
}  # fmt: skip
_ARROWS = ("knows", "inspects", "lists", "versions", "reads", "writes", "resumes", "deletes", "erases")
_LISTS = ("connects_to", "launches", "follows", *_ARROWS)
_MAPPINGS = ("environment", "secrets", "roots", "migration")
_PIPELINE_LOCATIONS = ("data_store", "workspace", "shared", "member_shared")
_SECRET = re.compile(
    r"(database|database_admin):(username|password)|cache:token|sign_in:client_secret|session:(current|previous)"
    r"|pseudonym:own|arn:[a-z-]+:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:.+"
)


def declared_faults(variables: Mapping[str, Any], images: set[str] | None) -> Iterator[str]:
    """Faults of the services that an account declares; of those of the roles' own declaration there are none. Where it
    is not known which `images` there are, nothing is said of those that services have."""
    locations = variables.get(_LOCATIONS)
    # The role's argument specification says what they are.
    for name, location in locations.items() if isinstance(locations, dict) else ():
        yield from (f"{_LOCATIONS}: {fault}" for fault in _image_faults(name, location, images))
    services = variables.get(_NAME)
    if not isinstance(services, dict):
        return  # The role's argument specification says what it is.
    known = variables.get("platform_buckets", _PIPELINE_LOCATIONS)
    declared = variables.get(_BALANCERS) or {}
    faults = [
        f"{_NAME}: {fault}"
        for name, service in services.items()
        for fault in chain(_service_faults(name, service, known), _image_faults(name, service, images))
    ]
    if isinstance(declared, dict):
        faults += [
            f"{_BALANCERS}: {fault}"
            for name, settings in declared.items()
            for fault in _form_faults(str(name), {} if settings is None else settings, DEFAULTS)
        ]
    yield from faults
    # The role's argument specification says what the balancers are.
    if not faults and isinstance(declared, dict):
        yield from (f"{_NAME}: {fault}" for fault in _faults_between(services, declared))


def said(value: object) -> str:
    """A value as it may be told: of what may hold a password among other things, its kind alone."""
    if isinstance(value, Mapping):
        return "a mapping"
    return "a list" if isinstance(value, (list, tuple)) else repr(value)


def _service_faults(name: object, service: object, locations: object) -> Iterator[str]:
    if not isinstance(name, str):
        yield f"the service {said(name)} is named by no text; expected is a name in quotes"
        return
    if not isinstance(service, dict):
        yield f"{name} is {said(service)}; expected is a mapping of what it needs, image and tier at least"
        return
    for key in service.keys() - _KEYS:
        yield f"{name} has {key!r}, which is not known; expected are {', '.join(sorted(_KEYS))}"
    yield from _value_faults(name, service)
    for arrow in (arrow for key in _ARROWS for arrow in _texts(service.get(key))):
        if isinstance(locations, (list, tuple)) and arrow.partition("/")[0] not in locations:
            yield f"{name} names the location {arrow!r}; expected is one of {', '.join(map(str, locations))}"
    for arrow in _texts(service.get("inspects")):
        if "/" in arrow:
            yield f"{name} inspects {arrow!r}; expected is a whole bucket, whose policy and tags are meant"
    secrets = service.get("secrets")
    for variable, secret in secrets.items() if isinstance(secrets, dict) else ():
        if not _SECRET.fullmatch(str(secret)):
            yield (
                f"{name} has the secret {variable}, which names none; expected is the ARN of a secret, or a key "
                "such as database:password (never the secret itself)"
            )


def _image_faults(name: object, service: object, images: set[str] | None) -> Iterator[str]:
    """Also of what runs beside or before the service."""
    if images is None or not isinstance(service, dict):
        return  # That is said already.
    others = service.get("init")
    for container in [service, *(others if isinstance(others, list) else [])]:
        image = container.get("image") if isinstance(container, dict) else None
        if isinstance(image, str) and image and image not in images:
            yield (
                f"{name} has the image {image!r}, which nobody pushes; expected is one of {', '.join(sorted(images))}, "
                "or that platform_images names it too"
            )


def _texts(value: object) -> list[str]:
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []


def _form_faults(name: str, given: object, defaults: Mapping[str, Any]) -> Iterator[str]:
    """Of settings of which each is of the same kind as its default."""
    if not isinstance(given, dict):
        yield f"{name} is {said(given)}; expected is a mapping of its settings"
        return
    for key, default in defaults.items():
        if key not in given or isinstance(default, bool):
            continue
        value = given[key]
        if isinstance(default, list):
            fits, expected = isinstance(value, list), "a list"
        elif isinstance(default, int):
            fits, expected = _is_number(value) or str(value).isdecimal(), "a whole number"
        else:
            # Codes of HTTP are text or one number.
            fits, expected = isinstance(value, str) or (key == "health_codes" and _is_number(value)), "text"
        if not fits:
            yield f"{name} has {key}: {said(value)}; expected is {expected}"


def _value_faults(name: str, service: Service) -> Iterator[str]:
    if not service.get("image"):
        yield f"{name} has no image; expected is the name of one of the organisation's images"
    if service.get("tier") not in _TIERS:
        yield f"{name} has the tier {said(service.get('tier'))}; expected is {' or '.join(_TIERS)}"
    for key, least, most in (
        ("port", 1, 65535),
        ("desired_count", 0, 5000),
        ("cpu", 256, 16384),
        ("memory", 512, 122880),
    ):
        if key in service and not (_is_number(service[key]) and least <= service[key] <= most):
            yield f"{name} has {key}: {said(service[key])}; expected is a whole number from {least} to {most}"
    for key in _LISTS:
        if service.get(key) is not None and _texts(service[key]) != service[key]:
            yield f"{name} has {key}: {said(service[key])}; expected is a list of texts, such as [api]"
    for key in _MAPPINGS:
        if service.get(key) is not None and not isinstance(service[key], dict):
            yield f"{name} has {key}: {said(service[key])}; expected is a mapping"
    if isinstance(service.get("balancer"), dict):
        yield from _form_faults(f"the balancer of {name}", service["balancer"], MEMBER_DEFAULTS)


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _faults_between(services: Declaration, declared: dict[str, dict[str, Any]]) -> Iterator[str]:
    try:
        connections(services)
        balancers(services, declared)
    except DeclarationError as error:
        yield str(error)
        return
    if circle := _circle(services):
        yield (
            f"connects_to goes in a circle, {' to '.join(circle)}; expected is that one of them does without the next, "
            "as none of them could start first"
        )


def _circle(services: Declaration) -> list[str]:
    """The services of one circle, the first of them at both ends; empty when there is none."""
    done: set[str] = set()

    def follow(name: str, way: list[str]) -> list[str]:
        if name in way:
            return [*way[way.index(name) :], name]
        if name in done or name in STORES:
            return []
        for target in services[name].get("connects_to") or []:
            if found := follow(target, [*way, name]):
                return found
        done.add(name)
        return []

    for name in services:
        if found := follow(name, []):
            return found
    return []
