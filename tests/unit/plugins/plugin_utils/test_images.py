# SPDX-License-Identifier: GPL-3.0-or-later
"""Other images come into a template of services, and nothing else of it changes."""

from __future__ import annotations

import json

import pytest
from ansible_collections.localgov.platform.plugins.filter.with_images import with_images
from ansible_collections.localgov.platform.plugins.plugin_utils import _images

OLD, NEW, OTHER = (f"sha256:{letter * 64}" for letter in "abc")
REGISTRY = "200000000001.dkr.ecr.eu-west-2.amazonaws.com"
TEMPLATE = f"""\
Description: daemon@{OLD} in a text of somebody's
DaemonTaskDefinition:
  Image: {REGISTRY}/localgov/daemon@{OLD}
CodeServerTaskDefinition:
  Image: {REGISTRY}/localgov/code-server@{OLD}
  Environment:
    - {{Name: DAGSTER_CURRENT_IMAGE, Value: "{REGISTRY}/localgov/code-server@{OLD}"}}
WorkflowTaskDefinition:
  Image: {REGISTRY}/somebody/daemon@{OLD}
"""


def test_an_image_gets_its_digest_wherever_the_template_names_it() -> None:
    changed = _images.with_images(TEMPLATE, {"code-server": NEW}, "localgov")
    assert changed.count(f"localgov/code-server@{NEW}") == 2
    assert changed.replace(NEW, OLD) == TEMPLATE


def test_a_name_that_another_begins_or_ends_with_is_another_image() -> None:
    changed = _images.with_images(TEMPLATE, {"daemon": NEW, "server": OTHER, "code": OTHER}, "localgov")
    assert f"localgov/daemon@{NEW}" in changed
    assert f"somebody/daemon@{OLD}" in changed
    assert OTHER not in changed
    assert changed.startswith(f"Description: daemon@{OLD}")


def test_back_again_is_the_template_of_before_to_the_letter() -> None:
    there = _images.with_images(TEMPLATE, {"daemon": NEW, "code-server": OTHER}, "localgov")
    assert _images.with_images(there, {"daemon": OLD, "code-server": OLD}, "localgov") == TEMPLATE


@pytest.mark.parametrize("digest", ["latest", "sha256:short", f"sha256:{'A' * 64}"])
def test_what_is_no_digest_is_refused_by_the_images_name(digest: str) -> None:
    with pytest.raises(ValueError, match=r"no digest.*daemon"):
        _images.with_images(TEMPLATE, {"daemon": digest}, "localgov")


def test_a_template_without_images_of_the_platform_is_refused() -> None:
    with pytest.raises(ValueError, match="names no image of platform/"):
        _images.with_images(TEMPLATE, {"daemon": NEW}, "platform")


def test_a_template_that_was_written_in_json_and_comes_as_an_object_is_text_again() -> None:
    image = f"{REGISTRY}/localgov/daemon@"
    changed = with_images({"Image": f"{image}{OLD}", "Essential": True}, {"daemon": NEW}, "localgov")
    assert json.loads(changed) == {"Image": f"{image}{NEW}", "Essential": True}
