# SPDX-License-Identifier: GPL-3.0-or-later
"""Trying what a session may do, without leaving anything behind, see `docs/concepts.md`, section 6.

This file is also sent to ECS tasks as their program, so it needs no more than Python and botocore, and imports nothing
of Ansible.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

try:
    import botocore.session
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
    from botocore.exceptions import ConnectionError as NoConnectionError
except ImportError:  # AnsibleAWSModule says so; a task says so by its traceback
    if __name__ == "__main__":
        raise

ALLOWED, REFUSED, FAILED = "allowed", "refused", "failed"
MARK = "access-probe "  # begins each line with a result
FOLDER = ".access-probe"
KNOWN_SECONDS = 60  # within which IAM makes a new policy known everywhere

_LONGEST_REASON = 400
_NO_SUCH_DIGEST = "sha256:" + 64 * "0"
# The version of what was written without versioning: a bucket with versioning has none in our folder.
_NO_VERSION = "null"
_NO_PROBE = ("NoSuchKey", "NoSuchVersion")
# What refuses, where AWS says so: "because no <kind> policy allows ...", "with an explicit deny in a <kind> policy".
_CAUSE = re.compile(r"\b(?:because|explicit deny in)\b.*", re.DOTALL)
_NOTHING_THERE = ("ImageNotFoundException", "LayerInaccessibleException", "LayersNotFoundException")
_NO_MANIFEST = (
    "ImageDigestDoesNotMatchException",
    "InvalidParameterException",
    "LayersNotFoundException",
    "ReferencedImagesNotFoundException",
    "UnsupportedImageTypeException",
)

Trial = Mapping[str, Any]
# Makes a client of botocore by the service's name; keyword arguments as create_client takes them.
Connect = Callable[..., Any]


class Outcome(NamedTuple):
    outcome: str
    reason: str


class Result(NamedTuple):
    """What came of the trial with this number."""

    number: int
    outcome: str
    reason: str


class Place(NamedTuple):
    """Where a trial is made: a client, and the repository with its registry, or the bucket with the folder in it."""

    client: Any
    where: dict[str, str]
    prefix: str = ""
    version: str = _NO_VERSION
    is_borrowed: bool = False

    def key(self, name: str) -> str:
        return f"{self.prefix}/{FOLDER}/{name}" if self.prefix else f"{FOLDER}/{name}"

    @property
    def listed(self) -> str:
        """The prefix that is listed. Borrowed rights reach no further than the probes."""
        if self.is_borrowed:
            return self.key("")
        return f"{self.prefix}/" if self.prefix else ""


class Prober:
    """One session. Remembers which endpoints do not answer, so that they are waited for only once."""

    def __init__(self, connect: Connect, plain_http_endpoint_url: str | None = None) -> None:
        self._connect = connect
        self._plain = plain_http_endpoint_url
        self._clients: dict[tuple[str, str], Any] = {}
        self._silent: dict[str, str] = {}

    def results(self, trials: Iterable[tuple[int, Trial]], known_seconds: float = KNOWN_SECONDS) -> Iterator[Result]:
        """Make the numbered trials, those with borrowed rights last."""
        numbered = list(trials)
        borrowed = [one for one in numbered if one[1].get("rights") == "borrowed"]
        for number, trial in numbered:
            if trial.get("rights") != "borrowed":
                yield Result(number, *self.made(trial))
        unknown = self._wait_until_known(known_seconds) if borrowed else None
        for number, trial in borrowed:
            yield Result(number, *(unknown or self.made(trial)))

    def made(self, trial: Trial) -> Outcome:
        """What comes of one trial."""
        try:
            place = self._place(trial)
            endpoint = place.client.meta.endpoint_url
            if endpoint in self._silent:
                return Outcome(FAILED, self._silent[endpoint])
            try:
                return _TRIALS[trial["action"]](place)
            except ClientError as error:
                return _judged(error, place.is_borrowed)
            except (HTTPClientError, NoConnectionError) as error:
                self._silent[endpoint] = _unreached(endpoint, error)
                return Outcome(FAILED, self._silent[endpoint])
        except (BotoCoreError, ValueError) as error:  # no credentials, no such region, not a name
            return Outcome(FAILED, _short(f"{type(error).__name__}: {error}"))

    def _place(self, trial: Trial) -> Place:
        partition, service, region, owner, name = str(trial["resource"]).split(":", 5)[1:]
        is_borrowed = trial.get("rights") == "borrowed"
        if service == "ecr":
            where = {"registryId": owner, "repositoryName": name.removeprefix("repository/")}
            return Place(self._client("ecr", region_name=region), where, is_borrowed=is_borrowed)
        in_clear = trial["action"] == "list_without_tls"
        client = self._client("s3", endpoint_url=self._plain_endpoint(partition)) if in_clear else self._client("s3")
        prefix = str(trial.get("prefix") or "").strip("/")
        return Place(client, {"Bucket": name}, prefix, str(trial.get("version") or _NO_VERSION), is_borrowed)

    def _plain_endpoint(self, partition: str) -> str:
        domain = "amazonaws.com.cn" if partition == "aws-cn" else "amazonaws.com"
        return self._plain or f"http://s3.{self._client('s3').meta.region_name}.{domain}"

    def _client(self, service: str, **more: str) -> Any:  # noqa: ANN401  botocore's clients have no types
        key = (service, "".join(more.values()))
        if key not in self._clients:
            # An endpoint that does not answer must not use up the time of all other trials.
            patience = Config(connect_timeout=5, read_timeout=20, retries={"mode": "standard", "total_max_attempts": 2})
            self._clients[key] = self._connect(service, config=patience, **more)
        return self._clients[key]

    def _wait_until_known(self, seconds: float) -> Outcome | None:
        """Wait until the borrowed policy counts: it lets the session list buckets. Otherwise why nothing is learned."""
        deadline = time.monotonic() + seconds
        while True:
            answer = self.made({"action": "list_all", "resource": "arn:aws:s3:::"})
            if answer.outcome == ALLOWED:
                return None
            if answer.outcome == FAILED or time.monotonic() > deadline:
                text = f"The borrowed policy did not come to count within {seconds:g} seconds: {answer.reason}"
                return Outcome(FAILED, _short(text))
            time.sleep(1)


# --- Trials ---


def _list(place: Place) -> Outcome:
    return _answered("ListObjectsV2", place.client.list_objects_v2(**place.where, Prefix=place.listed, MaxKeys=1))


def _list_versions(place: Place) -> Outcome:
    answer = place.client.list_object_versions(**place.where, Prefix=place.listed, MaxKeys=1)
    return _answered("ListObjectVersions", answer)


def _list_all(place: Place) -> Outcome:
    return _answered("ListAllMyBuckets", place.client.list_buckets())


def _get(place: Place, **version: str) -> Outcome:
    try:
        answer = place.client.get_object(**place.where, Key=place.key("probe"), **version)
    except ClientError as error:
        # To a session that may not list, S3 does not say that there is no such object, but that it may not list.
        missing = _code(error) in _NO_PROBE or (_is_refusal(error) and "perform: s3:ListBucket" in str(error))
        if missing:
            return Outcome(FAILED, _short(f"There is no probe {place.key('probe')} to read: {_words(error)}"))
        raise
    answer["Body"].close()
    return _answered("GetObject", answer)


def _get_version(place: Place) -> Outcome:
    return _get(place, VersionId=place.version)


def _put(place: Place) -> Outcome:
    """It lies among the probes, where access_probe removes all versions of everything."""
    return _answered("PutObject", place.client.put_object(**place.where, Key=place.key("put"), Body=b"access probe\n"))


def _delete(place: Place) -> Outcome:
    """Of what is not there. A delete marker is left among the probes, and removed with them."""
    return _answered("DeleteObject", place.client.delete_object(**place.where, Key=place.key("none")))


def _delete_version(place: Place) -> Outcome:
    """Of what is not there: nothing is left of it."""
    answer = place.client.delete_object(**place.where, Key=place.key("none"), VersionId=_NO_VERSION)
    return _answered("DeleteObject", answer)


def _pull(place: Place) -> Outcome:
    digests = {"layerDigests": [_NO_SUCH_DIGEST]}
    refusals = {
        "BatchGetImage": _refusal(
            place.client.batch_get_image, **place.where, imageIds=[{"imageDigest": _NO_SUCH_DIGEST}]
        ),
        "GetDownloadUrlForLayer": _refusal(
            place.client.get_download_url_for_layer, **place.where, layerDigest=_NO_SUCH_DIGEST
        ),
        "BatchCheckLayerAvailability": _refusal(place.client.batch_check_layer_availability, **place.where, **digests),
    }
    refused = {name: error for name, error in refusals.items() if error}
    if not refused:
        return Outcome(ALLOWED, f"let in by {', '.join(refusals)}")
    if len(refused) == len(refusals):
        # One that says nothing of the repository is enough to learn nothing.
        raise next((error for error in refused.values() if _own_side(error)), next(iter(refused.values())))
    let_in = ", ".join(name for name in refusals if name not in refused)
    first = _words(next(iter(refused.values())))
    return Outcome(FAILED, _short(f"partly: {', '.join(refused)} refused, {let_in} let in. {first}"))


def _push(place: Place) -> Outcome:
    try:
        answer = place.client.put_image(**place.where, imageManifest="{}", imageTag="access-probe")
    except ClientError as error:
        if _code(error) in _NO_MANIFEST:
            return Outcome(ALLOWED, _words(error))
        raise
    image = [{"imageDigest": answer["image"]["imageId"]["imageDigest"]}]
    return _stored("the image access-probe", lambda: place.client.batch_delete_image(**place.where, imageIds=image))


_TRIALS: dict[str, Callable[[Place], Outcome]] = {
    "delete": _delete,
    "delete_version": _delete_version,
    "get": _get,
    "get_version": _get_version,
    "list": _list,
    "list_all": _list_all,
    "list_versions": _list_versions,
    "list_without_tls": _list,
    "pull": _pull,
    "push": _push,
    "put": _put,
}


def _answered(operation: str, answer: Mapping[str, Any]) -> Outcome:
    return Outcome(ALLOWED, f"{operation}: HTTP status {answer['ResponseMetadata']['HTTPStatusCode']}")


def _stored(what: str, remove: Callable[[], object]) -> Outcome:
    """What AWS should not have stored goes away again, where the session may do that."""
    try:
        remove()
    except (BotoCoreError, ClientError) as error:
        return Outcome(ALLOWED, _short(f"Stored, and left behind: remove {what}. {error}"))
    return Outcome(ALLOWED, f"Stored {what}, and removed it again")


def _refusal(call: Callable[..., object], **arguments: object) -> ClientError | None:
    """How the call is refused; None when it is let in, whether it finds something or not."""
    try:
        call(**arguments)
    except ClientError as error:
        if _is_refusal(error):
            return error
        if _code(error) not in _NOTHING_THERE:
            raise
    return None


# --- AWS's words ---


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _is_refusal(error: ClientError) -> bool:
    """S3 also says so when it is KMS that refuses."""
    return "AccessDenied" in _code(error)


def _judged(error: ClientError, is_borrowed: bool) -> Outcome:
    """With borrowed rights a refusal counts only if it is the other account's: otherwise its policy was not asked."""
    if not _is_refusal(error):
        return Outcome(FAILED, _words(error))
    if is_borrowed and _own_side(error):
        return Outcome(FAILED, _short(f"The borrowed rights do not come that far: {_words(error)}"))
    return Outcome(REFUSED, _words(error))


def _own_side(error: ClientError) -> bool:
    """Whether AWS ascribes the refusal to anything but a resource's policy: the caller's own policies, a boundary, the
    session, the endpoint of a VPC, or the organisation. S3 often ascribes it to nothing, and that is no such thing.
    """
    cause = _CAUSE.search(_message(error))
    return cause is not None and "resource-based policy" not in cause[0]


def _words(error: ClientError) -> str:
    message = _message(error)
    return _short(f"{_code(error)}: {message}" if message else _code(error))


def _message(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Message", ""))


def _unreached(endpoint: str, error: BotoCoreError) -> str:
    text = f"{endpoint} did not answer ({type(error).__name__}: {error})"
    return _short(f"{text}. Is there a way to it: route, endpoint of the VPC, security group?")


def _short(text: str) -> str:
    """In one line, without its middle where it is long: AWS says last which policy it was."""
    text = " ".join(text.split())
    half = (_LONGEST_REASON - 5) // 2
    return text if len(text) <= _LONGEST_REASON else f"{text[:half]} ... {text[-half:]}"


# --- As the program of a task ---


def run(trials: list[tuple[int, Trial]], region: str, plain_http_endpoint_url: str | None) -> None:
    """Make the trials with the session that the environment gives, and write one line for each."""
    session = botocore.session.get_session()
    session.set_config_variable("region", region)
    for result in Prober(session.create_client, plain_http_endpoint_url).results(trials):
        sys.stdout.write(MARK + json.dumps(result) + "\n")
        sys.stdout.flush()
