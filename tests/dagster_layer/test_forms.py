"""Run configuration with impossible values is refused before there is a run."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster_graphql.schema import create_schema

from archive_assets.defs.names import NOMINAL, simulation_key
from pipeline_runtime.services import environment

ROOT = Path(__file__).resolve().parents[2]
NIGHT = {"dagster/partition": "2026-10-10"}
SIMULATION = "__".join(simulation_key(NOMINAL).path)
VALID = """query($job: PipelineSelector!, $config: RunConfigData!) {
  isPipelineConfigValid(pipeline: $job, runConfigData: $config, mode: "default") {
    __typename ... on RunConfigValidationInvalid { errors { message } } } }"""
LAUNCH = """mutation($params: ExecutionParams!) {
  launchPipelineExecution(executionParams: $params) {
    __typename ... on PythonError { message }
    ... on RunConfigValidationInvalid { errors { message } } } }"""
# job, op, partition tags, field, value, what the launch says
IMPOSSIBLE = [
    ("nominal_night", SIMULATION, NIGHT, "n_nights", -1, "greater than or equal to 0"),
    ("nominal_night", SIMULATION, NIGHT, "n_nights", 500, "less than or equal to 400"),
    ("gc", "collect", {}, "trash_days", 0, "greater than or equal to 1"),
    ("verify", "archive__archive_verification", {}, "sequences", ["x"], "UUID"),
    ("ap_prototype", "l1db_write_batches", NIGHT, "n_noise", -5, "equal to 0"),
    ("set_up", "l1db__variable_sources", {}, "hemisphere", 2, "equal to 1"),
    ("timing_report", "l1db__timing_report", {}, "most_seconds", 0, "greater than 0"),
    ("night_visits", "l1db__night_visits", NIGHT, "keep_nights", 0, "equal to 1"),
]
LOCATIONS = {
    **dict.fromkeys(("nominal_night", "gc", "verify"), "archive_assets"),
    **dict.fromkeys(
        ("ap_prototype", "set_up", "timing_report", "night_visits"), "l1db_pipeline"
    ),
}


class Launchpad:
    """What the web UI asks when somebody fills a form and launches it."""

    def __init__(self, process: WorkspaceProcessContext) -> None:
        self._process = process
        self._schema = create_schema()

    def _ask(self, query: str, **variables: object) -> Any:
        context = self._process.create_request_context()
        answer = asyncio.run(
            self._schema.execute_async(
                query, context_value=context, variable_values=variables
            )
        )
        assert not answer.errors
        return next(iter(answer.data.values()))

    @staticmethod
    def _selector(job: str) -> dict[str, str]:
        return {
            "repositoryLocationName": LOCATIONS[job],
            "repositoryName": "__repository__",
            "pipelineName": job,
        }

    def validate(self, job: str, config: object) -> Any:
        return self._ask(VALID, job=self._selector(job), config=config)

    def launch(self, job: str, config: object, tags: dict[str, str]) -> Any:
        listed = [{"key": key, "value": value} for key, value in tags.items()]
        params = {
            "selector": self._selector(job),
            "runConfigData": config,
            "mode": "default",
            "executionMetadata": {"tags": listed},
        }
        return self._ask(LAUNCH, params=params)


@pytest.fixture(scope="module")
def stored_instance(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dg.DagsterInstance]:
    """An instance in files, which a code server can open too."""
    folder = tmp_path_factory.mktemp("instance")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment({"L1DB_HOME": str(folder)}).items():
            patch.setenv(name, value)
        patch.setenv("PYTHONPATH", str(ROOT))
        with dg.DagsterInstance.local_temp(str(folder)) as made:
            yield made


@pytest.fixture(scope="module")
def launchpad(stored_instance: dg.DagsterInstance) -> Iterator[Launchpad]:
    """Both code locations in code servers of their own, as in the web UI."""
    workspace = WorkspaceFileTarget([str(ROOT / "workspace.yaml")])
    with WorkspaceProcessContext(stored_instance, workspace) as process:
        yield Launchpad(process)


def _config(op: str, field: str, value: object) -> dict[str, Any]:
    return {"ops": {op: {"config": {field: value}}}}


@pytest.mark.parametrize(
    ("job", "op", "tags", "field", "value", "message"),
    IMPOSSIBLE,
    ids=[f"{job}-{field}-{value}" for job, _, _, field, value, _ in IMPOSSIBLE],
)
def test_the_launch_of_an_impossible_form_is_refused_in_its_terms(
    launchpad: Launchpad,
    stored_instance: dg.DagsterInstance,
    job: str,
    op: str,
    tags: dict[str, str],
    field: str,
    value: object,
    message: str,
) -> None:
    refused = launchpad.launch(job, _config(op, field, value), tags)

    assert refused["__typename"] == "PythonError"
    assert f"PostProcessingError: {field}: " in refused["message"]
    assert message in refused["message"]
    assert not stored_instance.get_runs_count()


@pytest.mark.parametrize(
    ("job", "op", "field", "value", "message"),
    [
        ("nominal_night", SIMULATION, "seed", "a", "seed"),
        ("timing_report", "l1db__timing_report", "most_secs", 1, "most_secs"),
        ("gc", "collect", "trash_days", "many", "trash_days"),
    ],
)
def test_the_launchpad_marks_wrong_types_and_unknown_fields(
    launchpad: Launchpad, job: str, op: str, field: str, value: object, message: str
) -> None:
    found = launchpad.validate(job, _config(op, field, value))

    assert found["__typename"] == "RunConfigValidationInvalid"
    assert message in found["errors"][0]["message"]


def test_a_possible_form_is_valid(launchpad: Launchpad) -> None:
    found = launchpad.validate("gc", _config("collect", "trash_days", 3))

    assert found["__typename"] == "PipelineConfigValidationValid"


def test_the_command_line_refuses_an_impossible_form(
    stored_instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    (tmp_path / "form.yaml").write_text("ops: {collect: {config: {trash_days: 0}}}")

    done = subprocess.run(
        [
            sys.executable, "-m", "dagster", "job", "execute",
            "-m", "archive_assets.definitions", "-j", "gc",
            "-c", str(tmp_path / "form.yaml"),
        ],
        env={**os.environ, "DAGSTER_HOME": stored_instance.root_directory},
        cwd=tmp_path, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip

    assert done.returncode
    assert (
        "trash_days: Input should be greater than or equal to 1, not 0" in done.stderr
    )
    assert not stored_instance.get_runs_count()
