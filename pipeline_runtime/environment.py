"""Every variable of the environment that the product reads: name, meaning, default.

A variable that is set and empty counts as not set. A value that cannot be used is an
`EnvironmentValueError` that names the variable, the value and what to do; nothing is
parsed before a value is asked for. ``python -m pipeline_runtime.environment`` prints
the table of ``docs/environment.md``.
"""

import math
import os
import re
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from datetime import date
from typing import Generic, TypeVar

from pipeline_runtime.errors import EnvironmentValueError
from pipeline_runtime.urls import CredentialsError, check_connection_word, check_url

__all__ = [
    "VARIABLES",
    "Variable",
    "check_environment",
    "count_of",
    "environment_table",
    "forget_empty",
    "is_set",
    "seconds_of",
    "text_of",
]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable(Generic[T]):
    """A variable of the environment.

    Attributes
    ----------
    name, meaning
        For people, too.
    default
        Value where it is not set.
    parse
        Gives the value of a text; a `ValueError` says what is expected instead.
    default_text
        The default in words, where the value does not say it.
    is_secret
        Whether it may hold a password: its text is in no message.
    """

    name: str
    meaning: str
    default: T
    parse: Callable[[str], T]
    default_text: str = ""
    is_secret: bool = False

    def read(self, environ: Mapping[str, str] | None = None) -> T:
        """Return the value.

        Parameters
        ----------
        environ
            Environment; the process's own by default.

        Raises
        ------
        EnvironmentValueError
            If the text cannot be used.
        """
        text = (os.environ if environ is None else environ).get(self.name, "").strip()
        if not text:
            return self.default
        try:
            return self.parse(text)
        except CredentialsError as error:
            raise EnvironmentValueError(str(error)) from None
        except ValueError as error:
            shown = "what it is set to" if self.is_secret else repr(text)
            raise EnvironmentValueError(
                f"{self.name} must be {error}, not {shown}: correct it, or unset it"
                f" (default: {self.default_words})"
            ) from None

    def is_set(self, environ: Mapping[str, str] | None = None) -> bool:
        """Tell whether the environment has a text for it."""
        environ = os.environ if environ is None else environ
        return bool(environ.get(self.name, "").strip())

    @property
    def default_words(self) -> str:
        """The default as the documents have it."""
        return self.default_text or str(self.default) or "none"


def _text(text: str) -> str:
    return text


def _checked(check: Callable[[object, str], None], name: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        check(text, name)
        return text

    return parse


def _source(text: str) -> str:
    if not re.fullmatch(r"https://[^\s/]*git(hub|lab)[^\s/]*/\S+/tree/\S+", text):
        raise ValueError("such as https://github.com/ORG/NAME/tree/BRANCH")
    return text


def _seconds(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not (math.isfinite(found) and found >= 0):
        raise ValueError("seconds, a finite number of at least 0")
    return found


def _whole(least: int, most: int | None = None) -> Callable[[str], int]:
    said = f"at least {least}" if most is None else f"{least} to {most}"

    def parse(text: str) -> int:
        if text.isdecimal() and least <= int(text) <= (most or int(text)):
            return int(text)
        raise ValueError(f"a whole number, {said}")

    return parse


def _day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise ValueError("a date, YYYY-MM-DD") from None


def _cron(text: str) -> str:
    if len(text.split()) != len(("minute", "hour", "day", "month", "weekday")):
        raise ValueError("five fields of cron, such as '55 6 * * *'")
    return text


def _time_zone(text: str) -> str:
    from zoneinfo import ZoneInfo  # noqa: PLC0415 - only where one is set

    try:
        ZoneInfo(text)
    except (KeyError, ValueError, OSError):
        raise ValueError("a time zone, such as America/Los_Angeles") from None
    return text


def _one_of(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"one of {', '.join(choices)}")
        return text

    return parse


def _url(example: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text):
            raise ValueError(f"a URL such as {example}")
        return text

    return parse


_HOME = ".l1db in the checkout, else ~/.l1db"
_SERVED = "the embedded PostgreSQL's, by l1db-services env"


def _place(name: str, meaning: str, folder: str) -> Variable[str]:
    return Variable(
        name=name,
        meaning=meaning,
        default="",
        parse=_checked(check_url, name),
        default_text=f"{folder} in L1DB_HOME, by l1db-services env",
    )


def _plain(name: str, meaning: str, default: str = "", text: str = "") -> Variable[str]:
    return Variable(
        name=name, meaning=meaning, default=default, parse=_text, default_text=text
    )


def _word(name: str, meaning: str) -> Variable[str]:
    return Variable(
        name=name,
        meaning=meaning,
        default="",
        parse=_checked(check_connection_word, name),
        default_text=_SERVED,
    )


def _database(name: str, meaning: str, driver: str) -> Variable[str]:
    return Variable(
        name=name,
        meaning=meaning,
        default="",
        parse=_url(f"postgresql+{driver}://host/database or sqlite:///file"),
        default_text=_SERVED,
        is_secret=True,
    )


def _timeout(name: str, meaning: str, default: float) -> Variable[float]:
    return Variable(name=name, meaning=meaning, default=default, parse=_seconds)


def _count(
    name: str, meaning: str, default: int, text: str = "", most: int | None = None
) -> Variable[int]:
    return Variable(
        name=name,
        meaning=meaning,
        default=default,
        parse=_whole(1, most),
        default_text=text,
    )


VARIABLES: tuple[Variable[str] | Variable[int] | Variable[float], ...] = (
    _plain("L1DB_HOME", "Folder of the services and of all data", text=_HOME),
    _place("DAGSTER_HOME", "The Dagster instance", "dagster"),
    _database("DAGSTER_POSTGRES_URL", "Database of the Dagster instance", "psycopg2"),
    _place("DAGSTER_COMPUTE_LOGS", "What steps print", "dagster/compute_logs"),
    Variable(
        name="DAGSTER_EXECUTOR",
        meaning="What runs the steps of a run",
        default="multiprocess",
        parse=_one_of("multiprocess", "in_process", "dask"),
    ),
    _count(
        "DAGSTER_GRPC_TIMEOUT_SECONDS", "Maximum wait for a code server, s", 60,
        "300, by l1db-services env",
    ),
    _database("L1DB_URL", "L1 database; state the driver", "psycopg"),
    _plain("L1DB_CONFIG", "INI file of the L1 commands"),
    _timeout("L1DB_LOCK_TIMEOUT_S", "Maximum wait for a lock, s; 0 for unlimited", 60),
    _timeout(
        "L1DB_STATEMENT_TIMEOUT_S",
        "Maximum time per statement, s; 0 for unlimited",
        3600,
    ),
    _plain(
        "CASSANDRA_HOSTS",
        "Nodes of Cassandra for an L1DB_URL without hosts, with commas between them",
        text="those of l1db-services cassandra start",
    ),
    _place("L1DB_SOURCES", "Files of variable sources", "sources"),
    _place("L1DB_REPORTS", "Report pages", "reports"),
    _word("VSARCHIVE_PGHOST", "Server of the archive's metadata"),
    _count(
        "VSARCHIVE_PGPORT", "Its port", 0, "PGPORT, else 5432", most=65_535
    ),
    _word("VSARCHIVE_PGDATABASE", "Its database"),
    _plain("VSARCHIVE_PGUSER", "Its role", text=_SERVED),
    _plain("VSARCHIVE_PGSCHEMA", "Its schema", "vsmd"),
    _timeout("VSARCHIVE_CONNECT_TIMEOUT_S", "Maximum wait for a connection, s", 10),
    _timeout(
        "VSARCHIVE_STATEMENT_TIMEOUT_S",
        "Maximum time per statement, s; 0 for unlimited",
        60,
    ),
    _timeout("VSARCHIVE_STORE_TIMEOUT_S", "Maximum wait for an S3 server, s", 10),
    _timeout(
        "VSARCHIVE_STORE_DEADLINE_S",
        "Maximum time of one request to S3 or by HTTP with its repetitions, s",
        120,
    ),
    _place("ARCHIVE_URL", "Object store of the archive", "archive"),
    _place("PRENIGHT_INDEX_URL", "Where pre-night indexes are", "prenight_index"),
    _place("SIMULATIONS_DIR", "Finished simulations", "simulations"),
    _place("RUBIN_SIM_DATA_DIR", "Site data of rubin_scheduler", "rubin_sim_data"),
    Variable(
        name="NIGHTS_START",
        meaning="First night, a partition of each asset",
        default="2025-06-20",
        parse=_day,
    ),
    Variable(
        name="NIGHTLY_CRON",
        meaning="When the schedule simulates the night",
        default="55 6 * * *",
        parse=_cron,
    ),
    Variable(
        name="NIGHT_DUE_CRON",
        meaning="When the schedule checks that tonight's index is published",
        default="0 8 * * *",
        parse=_cron,
    ),
    Variable(
        name="NIGHT_REPORT_CRON",
        meaning="When the schedule writes the pages of tonight and last night",
        default="30 8 * * *",
        parse=_cron,
    ),
    Variable(
        name="UPKEEP_DAILY_CRON",
        meaning="When the schedules verify last night and observe the archive",
        default="0 13 * * *",
        parse=_cron,
    ),
    Variable(
        name="UPKEEP_WEEKLY_CRON",
        meaning="When the schedules verify everything, list garbage and compact",
        default="0 14 * * 6",
        parse=_cron,
    ),
    Variable(
        name="NIGHTLY_TIMEZONE",
        meaning="Time zone of the schedules",
        default="America/Los_Angeles",
        parse=_time_zone,
    ),
    _count("SENSOR_INTERVAL_S", "Seconds between the ticks of a sensor", 30),
    _count(
        "SCHEDULER_SLOTS", "Simulations at once", 0,
        "one a processor with 3 GB of memory each",
    ),
    _plain("PRENIGHT_VARIANTS", "Variants file", text="the one of the package"),
    _plain(
        "PRENIGHT_WORK", "Work folder of the commands prenight and scheduler_snapshot",
        text="prenight in L1DB_HOME",
    ),
    _plain(
        "PRENIGHT_CONFIG_PLACES",
        "Folders and beginnings of repository URLs that scheduler scripts may come "
        "from, with spaces between them",
        text="those of lsst-ts and lsst-sims on GitHub",
    ),
    _plain(
        "SIMULATION_COMMAND",
        "Program of the site's own instead of rubin_scheduler, such as "
        "`run_sim {day_obs} {n_nights} {opsim}`; with `{site_data}` it gets the site "
        "data",
    ),
    _plain(
        "COMPLETED_VISITS_SIMONYI",
        "Opsim file or `visits.h5` of the visits made so far, from which simulations "
        "start",
        text="none: they start empty",
    ),
    _plain("COMPLETED_VISITS_AUXTEL", "The same of the auxiliary telescope"),
    _plain(
        "CONSDB_URL",
        "Services of ConsDB, such as https://usdf-rsp.slac.stanford.edu, where the "
        "visits made on a night are asked for if there is no file of them",
    ),
    _plain("STATUS_URL", "End point of the nightly status"),
    Variable(
        name="ALARM_URLS",
        meaning="Where alarms go: URLs of Apprise with spaces between them, such as "
        "`slack://...`, `mailto://...`, `json://...`",
        default="",
        parse=_url("slack://..., mailto://... or json://..."),
        default_text="none: they are in the log of the sensor `alarm` alone",
        is_secret=True,
    ),
    Variable(
        name="DAGSTER_URL",
        meaning="Address of the web UI that alarms and night pages link to",
        default="http://127.0.0.1:3000",
        parse=_url("https://dagster.site.org"),
    ),
    _plain(
        "DAGSTER_HOSTS",
        "Further names and addresses that the web UI answers to, with spaces between "
        "them",
        text="those of this machine's loopback, the host of DAGSTER_URL",
    ),
    Variable(
        name="SOURCE_URL",
        meaning="Branch of the repository that the pages of assets link to: "
        "https://github.com/ORG/NAME/tree/BRANCH, or GitLab's",
        default="",
        parse=_source,
        default_text="the path of the file, without a link",
    ),
    _plain("CONDA_PREFIX", "Set by conda: its packages go into the provenance"),
)  # fmt: skip
_BY_NAME = {known.name: known for known in VARIABLES}


def text_of(name: str, environ: Mapping[str, str] | None = None) -> str:
    """Return the text of a variable, or its default; as `Variable.read`."""
    return str(_BY_NAME[name].read(environ))


def count_of(name: str, environ: Mapping[str, str] | None = None) -> int:
    """Return the whole number of a variable, or its default; as `Variable.read`."""
    return int(_BY_NAME[name].read(environ))


def seconds_of(name: str, environ: Mapping[str, str] | None = None) -> float:
    """Return the seconds of a variable, or its default; as `Variable.read`."""
    return float(_BY_NAME[name].read(environ))


def is_set(name: str, environ: Mapping[str, str] | None = None) -> bool:
    """Tell whether a variable is set, and not to an empty text."""
    return _BY_NAME[name].is_set(environ)


def check_environment(environ: Mapping[str, str] | None = None) -> None:
    """Refuse the first variable that has a value which cannot be used.

    Raises
    ------
    EnvironmentValueError
        With variable, value and remedy.
    """
    for known in VARIABLES:
        known.read(environ)


def forget_empty(environ: MutableMapping[str, str]) -> None:
    """Take away the variables that are set and empty, for those who read by name."""
    for known in VARIABLES:
        if known.name in environ and not known.is_set(environ):
            del environ[known.name]


def environment_table() -> str:
    """Return the variables as a table of Markdown."""
    rows = ["| variable | meaning | default |", "| --- | --- | --- |"]
    rows += [
        f"| `{known.name}` | {known.meaning}"
        f"{' (may hold a password)' if known.is_secret else ''}"
        f" | {known.default_words} |"
        for known in VARIABLES
    ]
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    import sys

    sys.stdout.write(environment_table())
