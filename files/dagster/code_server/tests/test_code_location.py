# SPDX-License-Identifier: GPL-3.0-or-later
"""The code location as Dagster loads and serves it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import dagster as dg
import pytest
from buckets import client
from dagster import SensorEvaluationContext
from dagster._core.instance import InstanceRef
from localgov_pipeline.__main__ import PORT, command
from localgov_pipeline.definitions import definitions
from localgov_pipeline.defs import local_authority
from localgov_pipeline.lib.declarations import declared, declared_datasets, declared_years

SOURCE = Path(__file__).parent.parent / "src"
DOCKERFILE = SOURCE.parent / "Dockerfile"


def environment(**variables: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}}
    return {**kept, "PYTHONPATH": str(SOURCE), **variables}


def dagster(arguments: list[str], folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dagster", *arguments],
        env=environment(**variables),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


VALIDATE = ["definitions", "validate", "-m", "localgov_pipeline.definitions"]


@pytest.mark.parametrize("pipeline", ["local_authority", "organisation"])
def test_the_definitions_of_both_pipelines_are_valid(tmp_path: Path, pipeline: str) -> None:
    outcome = dagster(VALIDATE, tmp_path, PIPELINE=pipeline)
    assert outcome.returncode == 0, outcome.stderr


def test_an_unknown_pipeline_is_named_in_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE", "no_such")
    with pytest.raises(ValueError, match="PIPELINE is 'no_such': set it to local_authority or organisation"):
        definitions.load_fn()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("configured", "said"),
    [
        ('{"ssda903": {"one_hedaer": 1}}', "'one_hedaer', which ssda903 has in no year: use .*one_header_per_child"),
        ('{"ssda904": {}}', "the dataset 'ssda904': use one of cin, school_places, ssda903"),
        ('{"ssda903": {"one_header_per_child": "many"}}', "not of the form"),
        ("{", "not of the form"),
    ],
)
def test_thresholds_of_what_there_is_not_are_refused_before_any_file_is_processed(
    monkeypatch: pytest.MonkeyPatch, configured: str, said: str
) -> None:
    monkeypatch.setenv("CHECK_THRESHOLDS", configured)
    with pytest.raises(ValueError, match=f"CHECK_THRESHOLDS .*{said}"):
        local_authority.definitions()


def test_a_rule_of_the_workspace_that_undercuts_a_declaration_is_refused_and_a_longer_one_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    longest = max(declared(name, declared_years(name)[-1]).retention.workspace for name in declared_datasets())
    monkeypatch.setenv("WORKSPACE_DAYS", str(longest - 1))
    with pytest.raises(ValueError, match=rf"{longest - 1}: .* ssda903 .*la_services_workspace_days to {longest} or"):
        local_authority.definitions()
    monkeypatch.setenv("WORKSPACE_DAYS", str(longest))
    assert local_authority.definitions()


@pytest.mark.parametrize("pipeline", ["local_authority", "organisation"])
def test_loading_the_code_location_does_not_load_polars_or_botocore(pipeline: str) -> None:
    """The code server and the start of every run pay for what is imported here."""
    code = (
        "import sys; from localgov_pipeline.definitions import definitions; definitions.load_fn(); "
        "print(*{'polars', 'botocore'} & set(sys.modules))"
    )
    outcome = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(PIPELINE=pipeline),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (outcome.returncode, outcome.stdout.strip()) == (0, ""), outcome.stderr


@pytest.mark.parametrize(
    ("pipeline", "expected", "said"),
    [
        ("local_authority", ["ssda903/2026/20260401t101500-aa", None], "left for the dead letters"),
        ("organisation", [], "betaford: "),
    ],
)
def test_sensors_need_no_database_for_the_code_server_has_none(
    locations: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    pipeline: str,
    expected: list[str | None],
    said: str,
) -> None:
    """Not for a run of a partition either, which Dagster would look up."""
    monkeypatch.setenv("PIPELINE", pipeline)
    members = {"alphaton": f"s3://{locations['shared']}", "betaford": "no bucket"}
    monkeypatch.setenv("MEMBER_SHARED_LOCATIONS", json.dumps(members))
    sqs = client(service="sqs")
    monkeypatch.setenv("UPLOADS_QUEUE_URL", sqs.create_queue(QueueName=locations["data-store"])["QueueUrl"])
    sqs.send_message(QueueUrl=os.environ["UPLOADS_QUEUE_URL"], MessageBody="who are you?")
    monkeypatch.delenv("NO_DATABASE_HERE", raising=False)
    unreachable = "storage: {postgres: {postgres_url: {env: NO_DATABASE_HERE}}}"
    (tmp_path / "dagster.yaml").write_text(unreachable)
    asked = json.dumps({"who": "an operator", "when": "2026-04-05T09:00:00Z"}).encode()
    for key in ("uploads/ssda903/2026/20260401t101500-aa.csv", "withdrawals/ssda903/2026/20260401t101500-bb.json"):
        client().put_object(Bucket=locations["data-store"], Key=key, Body=asked)
    requested: list[dg.RunRequest] = []
    for sensor in definitions.load_fn().sensors or []:  # type: ignore[attr-defined]
        assert isinstance(sensor, dg.SensorDefinition)
        with SensorEvaluationContext(InstanceRef.from_dir(str(tmp_path)), None, None, None, None) as context:
            requested += sensor.evaluate_tick(context).run_requests or []
    assert [request.partition_key for request in requested] == expected
    assert said in caplog.text, "what a sensor has to say is said, too"


def test_the_code_server_answers_its_health_check_on_its_address_and_ends_when_told(tmp_path: Path) -> None:
    address = "127.44.0.1"
    assert command({"BIND_ADDRESS": address})[-4:] == ["--host", address, "--port", PORT]
    server = subprocess.Popen(
        [sys.executable, "-m", "localgov_pipeline"],
        env=environment(PIPELINE="local_authority", BIND_ADDRESS=address),
        cwd=tmp_path,
    )
    try:
        deadline = time.monotonic() + 60
        while (outcome := asked(address)).returncode != 0:
            assert server.poll() is None, "the code server ended by itself"
            assert time.monotonic() < deadline, outcome.stderr
    finally:
        server.terminate()
        assert server.wait(30) is not None
    assert asked(address).returncode != 0


def asked(address: str) -> subprocess.CompletedProcess[str]:
    """The health check of the image, of a server on that address."""
    (written,) = re.findall(r"^HEALTHCHECK .*\\\n\s+CMD (.*)$", DOCKERFILE.read_text(), flags=re.MULTILINE)
    _python, *arguments = [part.replace("localhost", address) for part in json.loads(written)]
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False, timeout=60)
