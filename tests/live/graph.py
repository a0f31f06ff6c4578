"""The web server's GraphQL, as the web UI uses it."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import requests

_STARTED_PROCESS = re.compile(r"Started process for run \(pid: (\d+)\)")
_LOCATIONS = """{ workspaceOrError { ... on Workspace { locationEntries {
  name locationOrLoadError { __typename } } } } }"""
_RUNS = """query($filter: RunsFilter!) { runsOrError(filter: $filter) {
  ... on Runs { results { runId jobName status tags { key value }
    assetSelection { path }
    stats { ... on RunStatsSnapshot { materializations } } } } } }"""
_EVENTS = """query($run: ID!) { logsForRun(runId: $run) {
  ... on EventConnection { events { ... on MessageEvent { message } } } } }"""
_START = """mutation($selector: ScheduleSelector!) {
  startSchedule(scheduleSelector: $selector) { __typename } }"""
_LAUNCH = """mutation($parameters: ExecutionParams!) {
  launchRun(executionParams: $parameters) { __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on RunConfigValidationInvalid { errors { message } }
    ... on PythonError { message } } }"""
_BACKFILL = """mutation($parameters: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $parameters) { __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message } } }"""
_BACKFILL_STATUS = """query($id: String!) {
  partitionBackfillOrError(backfillId: $id) { __typename
    ... on PartitionBackfill { status } } }"""
_TERMINATE = """mutation($run: String!) { terminateRun(runId: $run) {
  __typename ... on TerminateRunFailure { message } } }"""


@dataclass(frozen=True)
class Graph:
    """Questions to a web server, and what its buttons do."""

    url: str

    def ask(self, query: str, **variables: object) -> dict[str, Any]:
        """Return the data of an answer."""
        answer = requests.post(
            f"{self.url}/graphql",
            json={"query": query, "variables": variables},
            timeout=60,
        ).json()
        assert "errors" not in answer, answer
        data: dict[str, Any] = answer["data"]
        return data

    def locations(self) -> list[str]:
        """Return the code locations that are loaded."""
        entries = self.ask(_LOCATIONS)["workspaceOrError"]["locationEntries"]
        return [
            entry["name"]
            for entry in entries
            if (entry["locationOrLoadError"] or {}).get("__typename")
            == "RepositoryLocation"
        ]

    def runs(self, job: str) -> list[dict[str, Any]]:
        """Return the runs of a job, newest first; tags by name."""
        return self._runs(pipelineName=job)

    def all_runs(self) -> list[dict[str, Any]]:
        """Return the runs of all jobs."""
        return self._runs()

    def status(self, run_id: str) -> str:
        """Return how a run stands."""
        (run,) = self._runs(runIds=[run_id])
        return str(run["status"])

    def _runs(self, **chosen: object) -> list[dict[str, Any]]:
        found = self.ask(_RUNS, filter=chosen)["runsOrError"]["results"]
        return [
            run | {"tags": {tag["key"]: tag["value"] for tag in run["tags"]}}
            for run in found
        ]

    def has_succeeded(self, job: str) -> bool:
        """Tell whether a run of a job succeeded."""
        return any(run["status"] == "SUCCESS" for run in self.runs(job))

    def has_made(self, *path: str) -> bool:
        """Tell whether a run that was to make an asset succeeded."""
        return any(
            run["status"] == "SUCCESS"
            and list(path) in [key["path"] for key in run["assetSelection"] or ()]
            for run in self.all_runs()
        )

    def n_materialized(self, job: str) -> int:
        """Return how many assets the newest run of a job has materialized."""
        (newest, *_) = self.runs(job)
        return int((newest["stats"] or {}).get("materializations", 0))

    def messages(self, run_id: str) -> list[str]:
        """Return the messages of a run's events."""
        events = self.ask(_EVENTS, run=run_id)["logsForRun"]["events"]
        return [event.get("message") or "" for event in events]

    def worker(self, run_id: str) -> int | None:
        """Return the process that executes a run, once it has started."""
        for message in self.messages(run_id):
            if found := _STARTED_PROCESS.search(message):
                return int(found.group(1))
        return None

    def start_schedule(self, location: str, name: str) -> None:
        """Switch a schedule on."""
        selector = _repository(location) | {"scheduleName": name}
        self.ask(_START, selector=selector)

    def launch(
        self,
        location: str,
        job: str,
        config: dict[str, Any] | None = None,
        tags: dict[str, str] | None = None,
    ) -> str:
        """Launch a run as the launchpad does; return its id."""
        parameters = {
            "selector": _repository(location) | {"pipelineName": job},
            "runConfigData": config or {},
            "executionMetadata": {
                "tags": [{"key": k, "value": v} for k, v in (tags or {}).items()]
            },
        }
        answer = self.ask(_LAUNCH, parameters=parameters)["launchRun"]
        assert answer["__typename"] == "LaunchRunSuccess", answer
        return str(answer["run"]["runId"])

    def launch_backfill(self, assets: Iterable[Sequence[str]], keys: list[str]) -> str:
        """Launch a backfill of assets as their page does; return its id."""
        parameters = {
            "assetSelection": [{"path": list(path)} for path in assets],
            "partitionNames": keys,
        }
        answer = self.ask(_BACKFILL, parameters=parameters)["launchPartitionBackfill"]
        assert answer["__typename"] == "LaunchBackfillSuccess", answer
        return str(answer["backfillId"])

    def backfill_status(self, backfill_id: str) -> str:
        """Return how a backfill stands."""
        answer = self.ask(_BACKFILL_STATUS, id=backfill_id)
        return str(answer["partitionBackfillOrError"]["status"])

    def launch_again(self, run_id: str) -> str:
        """Launch a run of the same job over the same partitions; return its id."""
        (run,) = self._runs(runIds=[run_id])
        kept = ("dagster/asset_partition_range", "dagster/partition", "l1db/night")
        tags = {name: v for name, v in run["tags"].items() if name.startswith(kept)}
        return self.launch("l1db_pipeline", run["jobName"], tags=tags)

    def terminate(self, run_id: str) -> None:
        """Cancel a run as the button of its page does."""
        answer = self.ask(_TERMINATE, run=run_id)["terminateRun"]
        assert answer["__typename"] == "TerminateRunSuccess", answer


def _repository(location: str) -> dict[str, str]:
    return {
        "repositoryName": "__repository__",
        "repositoryLocationName": location,
    }
