# SPDX-License-Identifier: GPL-3.0-or-later
"""EFS as folders below the state folder, and who may mount one.

A container's path under which a file system is mounted becomes the folder of the access point, as other paths of a
container do. What a mount asks for is judged by the policies of the role and of the file system, with the access point
and TLS in the request's context; what is read and written afterwards is not, and a read-only mount is none here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sandbox.settings import Settings

NEEDS = (
    "ministack.core.iam_evaluator.EvalContext",
    "ministack.core.iam_evaluator._gather_role_policies",
    "ministack.core.iam_evaluator.evaluate",
    "ministack.core.iam_evaluator.evaluate_resource_policy",
    "ministack.services.efs._access_points",
    "ministack.services.efs._file_systems",
)

_MOUNT, _WRITE = "elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"


class MountError(Exception):
    """Why a file system cannot be mounted."""


def mounts(settings: Settings, account: str, definition: dict[str, Any], container: dict[str, Any]) -> dict[str, Path]:
    """Folders by the paths at which the container has them. *definition* is the task's, in either service's words."""
    volumes = {_word(volume, "name"): volume for volume in definition.get("volumes") or []}
    found = {}
    for mount in container.get("mountPoints") or []:
        wanted = _word(volumes.get(_word(mount, "sourceVolume"), {}), "efsVolumeConfiguration")
        if wanted:
            access_point = _word(_word(wanted, "authorizationConfig") or {}, "accessPointId") or ""
            found[str(_word(mount, "containerPath"))] = folder(settings, account, access_point)
    return found


def check(account: str, region: str, role: str | None, definition: dict[str, Any], container: dict[str, Any]) -> None:
    """Raise MountError when one of the container's file systems does not let its role in."""
    volumes = {_word(volume, "name"): volume for volume in definition.get("volumes") or []}
    for mount in container.get("mountPoints") or []:
        wanted = _word(volumes.get(_word(mount, "sourceVolume"), {}), "efsVolumeConfiguration")
        if not wanted:
            continue
        authorization = _word(wanted, "authorizationConfig") or {}
        tls = str(_word(wanted, "transitEncryption") or "DISABLED") == "ENABLED"
        named = role if str(_word(authorization, "iam") or "DISABLED") == "ENABLED" else None
        asks = [_MOUNT] if _word(mount, "readOnly") else [_MOUNT, _WRITE]
        judge(account, region, named, str(_word(authorization, "accessPointId") or ""), asks, tls=tls)


def judge(account: str, region: str, role: str | None, access_point: str, asks: list[str], *, tls: bool) -> None:
    """Raise MountError unless the role may do all of *asks* through the access point."""
    from ministack.core import iam_evaluator as evaluator

    record = _access_point(access_point)
    system = _file_system(record["FileSystemId"])
    name = (role or "").rsplit("/", 1)[-1]
    for action in asks:
        context = evaluator.EvalContext(
            principal_arn=f"arn:aws:sts::{account}:assumed-role/{name}/mount" if role else "*",
            principal_type="AssumedRole",
            principal_account=account,
            action=action,
            resource_arn=system.get("FileSystemArn", "*"),
            region=region,
            secure_transport=tls,
            service_context={"elasticfilesystem:accesspointarn": record.get("AccessPointArn", "")},
        )
        own = evaluator.evaluate(context, evaluator._gather_role_policies(name, account)).decision if role else ""
        policy = system.get("FileSystemPolicy")
        resource = evaluator.evaluate_resource_policy(policy, context).decision if policy else "Allow"
        if "Deny" in (own, resource) or "Allow" not in (own, resource):
            raise MountError(
                f"failed to invoke EFS utils commands to set up EFS volumes: mount.nfs4: access denied by server while "
                f"mounting {record['FileSystemId']} through {access_point}: {role or 'nobody'} may not {action}"
            )


def folder(settings: Settings, account: str, access_point: str) -> Path:
    """The access point's root, which is made when it is first mounted."""
    record = _access_point(access_point)
    root = str((record.get("RootDirectory") or {}).get("Path") or "/").strip("/")
    path: Path = settings.state / "file-systems" / account / record["FileSystemId"] / root
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def _access_point(reference: str) -> dict[str, Any]:
    """By its id or its ARN, of the account and region at work."""
    from ministack.services import efs

    found: dict[str, Any] | None = efs._access_points.get(reference.rsplit("/", 1)[-1])
    if found is None:
        raise MountError(
            f"there is no access point {reference or 'named'}; the sandbox mounts file systems by one only"
        )
    return found


def _file_system(identifier: str) -> dict[str, Any]:
    from ministack.services import efs

    found: dict[str, Any] = efs._file_systems.get(identifier) or {}
    return found


def _word(document: Any, name: str) -> Any:  # noqa: ANN401 - any value of a task definition
    """A key as ECS writes it or as CloudFormation does, which capitalises some words otherwise."""
    if not isinstance(document, dict):
        return None
    return next((value for key, value in document.items() if key.lower() == name.lower()), None)
