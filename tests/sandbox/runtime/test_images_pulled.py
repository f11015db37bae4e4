# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: ANN401  boto3's clients have no static types
"""A task runs what its execution role may fetch from ECR, at every start, and nothing else."""

from __future__ import annotations

import gzip
import json
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.conftest import Sandbox
from tests.sandbox.runtime import registry
from tests.sandbox.runtime.conftest import Account, account, eventually

EVERYTHING = {"Effect": "Allow", "Action": "ecr:*", "Resource": "*"}
PULL = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
MAIN = {"app/main.py": "import os; print(open('word').read(), os.environ['GREETING'])\n", "app/word": "fetched"}
CONFIG: dict[str, Any] = {"Cmd": ["python", "main.py"], "WorkingDir": "/app", "Env": ["GREETING=hello"]}


@dataclass
class Registry:
    """A repository of the organisation account, shared with one role name within the unit."""

    sandbox: Sandbox
    name: str
    role: str = field(init=False)

    def __post_init__(self) -> None:
        self.role = f"{self.name}-execution"
        self.ecr: Any = self.sandbox.client("ecr", self.sandbox.root("hub"))
        self.ecr.create_repository(repositoryName=self.name)
        self.share(PULL)

    def share(self, actions: list[str]) -> None:
        described = self.sandbox.description
        statement = {
            "Effect": "Allow",
            "Principal": {"AWS": "*"},
            "Action": actions,
            "Condition": {
                "StringEquals": {"aws:PrincipalOrgID": described["organisation_id"]},
                "ForAnyValue:StringLike": {"aws:PrincipalOrgPaths": [described["organisational_unit_path"]]},
                "ArnLike": {"aws:PrincipalArn": f"arn:*:iam::*:role/{self.role}"},
            },
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self.ecr.set_repository_policy(repositoryName=self.name, policyText=policy)

    def uri(self, what: str) -> str:
        """*what* is ``:tag`` or ``@sha256:...``."""
        region = self.sandbox.description["region"]
        return f"{self.sandbox.account('hub')}.dkr.ecr.{region}.amazonaws.com/{self.name}{what}"

    def push(self, image: registry.Image, tag: str | None = None) -> str:
        """The image's reference by digest."""
        return self.uri(f"@{registry.push(self.ecr, self.name, image, tag)}")

    def stored(self, blob: bytes) -> Path:
        """Where the sandbox keeps a layer."""
        digest = registry.digest_of(blob).removeprefix("sha256:")
        (path,) = self.sandbox.folder.glob(f"layers/{self.sandbox.account('hub')}/*/{self.name}/{digest}")
        return path


@pytest.fixture
def shared(machine: Sandbox, unique: str) -> Registry:
    return Registry(machine, unique)


def run(where: Account, shared: Registry, image: str, *, role: str | None = None, **more: Any) -> dict[str, Any]:
    """The ended task of an image, with the execution role that the repository lets in, or another."""
    arn = f"arn:aws:iam::{where.id}:role/{role or shared.role}"
    made = where.client("iam").list_roles()["Roles"]
    if arn not in [one["Arn"] for one in made]:
        where.role(role or shared.role, EVERYTHING)
    container = {"name": "main", "image": image}
    where.ecs.register_task_definition(
        family=where.cluster, networkMode="awsvpc", executionRoleArn=arn, containerDefinitions=[container], **more
    )
    return where.ended(where.run(where.cluster))


def said(where: Account, task: dict[str, Any]) -> str:
    assert task["containers"][0].get("exitCode") == 0, (task.get("stoppedReason"), where.log_of(task["taskArn"]))
    return where.log_of(task["taskArn"]).strip()


def refusal(task: dict[str, Any]) -> str:
    assert task["stopCode"] == "TaskFailedToStart", task
    reason = str(task["stoppedReason"])
    assert reason.startswith("CannotPullContainerError: "), reason
    return reason


# --- What runs ---


def test_the_process_runs_the_fetched_files_in_their_folder_with_their_environment(
    camden: Account, shared: Registry
) -> None:
    image = shared.push(registry.image([registry.layer(MAIN)], **CONFIG), "1")
    assert said(camden, run(camden, shared, image)) == "fetched hello"
    assert said(camden, run(camden, shared, shared.uri(":1"))) == "fetched hello"


def test_later_layers_replace_and_take_away_what_earlier_ones_had(camden: Account, shared: Registry) -> None:
    script = "import os; print(open('word').read(), sorted(os.listdir()), os.listdir('emptied'))\n"
    lower = registry.layer({"app/main.py": script, "app/word": "old", "app/gone": "x", "app/emptied/old": "x"})
    upper = registry.layer(
        {"app/word": "new", "app/.wh.gone": "", "app/emptied/.wh..wh..opq": "", "app/emptied/new": ""}
    )
    layers = [lower, upper]
    image = shared.push(registry.image(layers, **CONFIG))
    assert said(camden, run(camden, shared, image)) == "new ['emptied', 'main.py', 'word'] ['new']"


def test_a_compressed_layer_is_unpacked_like_any(camden: Account, shared: Registry) -> None:
    compressed = gzip.compress(registry.layer(MAIN))
    image = registry.image([compressed], layer_type="application/vnd.docker.image.rootfs.diff.tar.gzip", **CONFIG)
    assert said(camden, run(camden, shared, shared.push(image))) == "fetched hello"


def test_of_an_index_the_image_for_the_tasks_processor_runs(camden: Account, shared: Registry) -> None:
    made = {}
    for architecture in ("amd64", "arm64"):
        files = {**MAIN, "app/word": architecture}
        made[architecture] = registry.image([registry.layer(files)], **CONFIG)
        shared.push(made[architecture])
    index = registry.index(made)
    shared.ecr.put_image(repositoryName=shared.name, imageManifest=index, imageTag="all")
    image = shared.uri(f"@{registry.digest_of(index.encode())}")
    assert said(camden, run(camden, shared, image)) == "amd64 hello"


# --- What is refused ---


@pytest.mark.parametrize(
    ("where", "missing"),
    [("outsider", "is not in the organisational unit"), ("stranger", "does not belong to the organisation")],
)
def test_an_account_outside_pulls_nothing_with_the_same_role_name_and_its_service_says_what_is_missing(
    machine: Sandbox, shared: Registry, where: str, missing: str
) -> None:
    image = shared.push(registry.image([registry.layer(MAIN)], **CONFIG))
    outside = account(machine, where)
    refused = refusal(run(outside, shared, image))
    assert f"membership: account {outside.id} {missing}" in refused
    assert "role:" not in refused
    outside.serve(outside.cluster)
    events = eventually(
        lambda: [event["message"] for event in outside.service()["events"] if "stopped" in event["message"]],
        "the service's event",
    )
    outside.ecs.update_service(cluster=outside.cluster, service="service", desiredCount=0)
    assert "CannotPullContainerError" in events[-1]
    assert f"membership: account {outside.id} {missing}" in events[-1]


def test_another_role_of_a_member_pulls_nothing_and_hears_which_role_may(camden: Account, shared: Registry) -> None:
    image = shared.push(registry.image([registry.layer(MAIN)], **CONFIG))
    refused = refusal(run(camden, shared, image, role=f"{shared.name}-other"))
    assert f"role/{shared.name}-other is not arn:*:iam::*:role/{shared.role}" in refused
    assert "membership" not in refused


def test_a_role_whose_own_policies_do_not_allow_the_pull_hears_that(camden: Account, shared: Registry) -> None:
    image = shared.push(registry.image([registry.layer(MAIN)], **CONFIG))
    login = {"Effect": "Allow", "Action": "ecr:GetAuthorizationToken", "Resource": "*"}
    camden.role(shared.role, login)
    assert "The role's own policies do not allow it" in refusal(run(camden, shared, image))


def test_an_image_that_was_unpacked_before_is_refused_once_the_right_is_gone(camden: Account, shared: Registry) -> None:
    image = shared.push(registry.image([registry.layer(MAIN)], **CONFIG))
    said(camden, run(camden, shared, image))
    shared.share(["ecr:BatchGetImage"])
    assert "action: the policy does not allow ecr:GetDownloadUrlForLayer" in refusal(run(camden, shared, image))
    shared.ecr.delete_repository_policy(repositoryName=shared.name)
    assert "has no policy that lets another account in" in refusal(run(camden, shared, image))
    shared.share(PULL)
    said(camden, run(camden, shared, image))


def test_an_image_that_was_never_pushed_is_not_run_whatever_the_sources_are(camden: Account, shared: Registry) -> None:
    refused = refusal(run(camden, shared, shared.uri(f"@sha256:{'0' * 64}")))
    assert "not found" in refused
    assert "playbooks/images.yml" in refused
    assert "not found" in refusal(run(camden, shared, shared.uri("")))


# --- What is not trusted ---


def test_a_layer_that_the_registry_gives_with_another_content_is_not_run(camden: Account, shared: Registry) -> None:
    layer = registry.layer({**MAIN, "app/word": shared.name})
    image = shared.push(registry.image([layer], **CONFIG))
    shared.stored(layer).write_bytes(layer.replace(b"import os", b"import sys"))
    assert f"the layer {registry.digest_of(layer)} came with another content" in refusal(run(camden, shared, image))
    shared.stored(layer).write_bytes(layer)
    said(camden, run(camden, shared, image))


def _link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, target
    return entry


@pytest.mark.parametrize(
    "layer",
    [
        registry.layer({"../../escaped": "x"}),
        registry.layer({}, _link("app/out", "../../../..")),
        registry.layer({}, _link("app/out", "../../../../etc/passwd", tarfile.LNKTYPE)),
        registry.layer({}, _link("app/out", "/etc")),
        registry.layer({"../../.wh.references": ""}),
        b"no archive at all" * 100,
    ],
    ids=["a path", "a symbolic link", "a hard link", "an absolute link", "a whiteout", "no archive"],
)
def test_a_layer_that_leads_out_of_its_folder_is_not_unpacked(camden: Account, shared: Registry, layer: bytes) -> None:
    image = shared.push(registry.image([registry.layer(MAIN), layer], **CONFIG))
    assert "cannot be unpacked" in refusal(run(camden, shared, image))
    assert not list(camden.sandbox.folder.rglob("escaped"))
    assert (camden.sandbox.folder / "images").is_dir()


def test_a_configuration_that_cannot_be_read_is_a_refusal_and_no_crash(camden: Account, shared: Registry) -> None:
    made = registry.image([registry.layer(MAIN)], **CONFIG)
    manifest = json.loads(made.manifest)
    manifest["config"] |= {"digest": registry.digest_of(b"{"), "size": 1}
    broken = registry.Image(json.dumps(manifest), (b"{", *made.blobs[1:]))
    assert "its configuration cannot be read" in refusal(run(camden, shared, shared.push(broken)))
