import subprocess
from pathlib import Path

import pytest

from archive_assets.simulation import (
    BuiltinScheduler,
    ConfigPlaces,
    ScriptFile,
    ScriptInRepository,
)
from archive_assets.simulation.config_script import checked_out_script
from archive_assets.simulation.errors import SchedulerConfigError

SCRIPT = "scheduler/config.py"


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=T", "-c", "user.email=t@example.org")
    return subprocess.run(
        ["git", *identity, *arguments],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with two versions of a configuration script."""
    folder = tmp_path_factory.mktemp("repositories") / "ts_config"
    (folder / "scheduler").mkdir(parents=True)
    git(folder, "init", "--quiet", "--initial-branch", "main")
    for version in ("old", "new"):
        (folder / SCRIPT).write_text(f"# {version}\n")
        git(folder, "add", ".")
        git(folder, "commit", "--quiet", "-m", version)
    git(folder, "tag", "v1", "HEAD~1")
    return folder


@pytest.fixture
def places(repository: Path) -> ConfigPlaces:
    return ConfigPlaces((str(repository.parent),))


@pytest.mark.parametrize(("ref", "text"), [("main", "# new\n"), ("v1", "# old\n")])
def test_a_script_comes_from_a_commit_that_is_recorded(
    repository: Path, places: ConfigPlaces, ref: str, text: str
) -> None:
    source = ScriptInRepository(repository=str(repository), script=SCRIPT, ref=ref)

    with checked_out_script(source, places) as found:
        assert found.script is not None
        content = found.script.read_text()

    assert content == text
    commit = git(repository, "rev-parse", ref)
    assert found.url == f"{repository}/blob/{commit}/{SCRIPT}"
    assert not found.script.exists()


def test_a_committed_script_on_disk_is_recorded_with_its_commit(
    repository: Path, places: ConfigPlaces
) -> None:
    with checked_out_script(ScriptFile(path=repository / SCRIPT), places) as found:
        pass

    commit = git(repository, "rev-parse", "HEAD")
    assert found.url == f"{(repository / SCRIPT).as_uri()}?commit={commit}"


def test_a_script_outside_git_is_recorded_without_commit(tmp_path: Path) -> None:
    (tmp_path / "config.py").touch()
    source = ScriptFile(path=tmp_path / "config.py")

    with checked_out_script(source, ConfigPlaces((str(tmp_path),))) as found:
        assert found.script == tmp_path / "config.py"

    assert found.url == (tmp_path / "config.py").as_uri()


def test_the_built_in_scheduler_needs_no_script() -> None:
    with checked_out_script(BuiltinScheduler(), ConfigPlaces(())) as found:
        assert found.script is None


@pytest.mark.parametrize(
    "place",
    [
        "/etc/passwd",
        "https://github.com/lsst-ts-evil/ts_config",
        "https://github.com/lsst-ts/../evil/x",
        "ext::sh -c touch% /tmp/x",
        "-oProxyCommand=x",
    ],
)
def test_scripts_come_from_allowed_places_only(tmp_path: Path, place: str) -> None:
    places = ConfigPlaces((str(tmp_path), "https://github.com/lsst-ts"))

    with pytest.raises(SchedulerConfigError, match="is not an allowed place"):
        places.check(place)


def test_a_link_out_of_an_allowed_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "allowed").mkdir()
    (tmp_path / "elsewhere.py").touch()
    (tmp_path / "allowed" / "link.py").symlink_to(tmp_path / "elsewhere.py")
    source = ScriptFile(path=tmp_path / "allowed" / "link.py")

    with (
        pytest.raises(SchedulerConfigError, match="is not an allowed place"),
        checked_out_script(source, ConfigPlaces((str(tmp_path / "allowed"),))),
    ):
        pass


@pytest.mark.parametrize(
    ("script", "ref", "match"),
    [
        ("scheduler/none.py", "main", "has no script scheduler/none.py at main"),
        ("../../../etc/passwd", "main", "has no script"),
        (SCRIPT, "nowhere", "git checkout failed"),
        (SCRIPT, "--orphan", "'--orphan' is not a branch, tag or commit"),
    ],
)
def test_a_script_that_is_not_in_the_repository_is_told(
    repository: Path, places: ConfigPlaces, script: str, ref: str, match: str
) -> None:
    source = ScriptInRepository(repository=str(repository), script=script, ref=ref)

    with (
        pytest.raises(SchedulerConfigError, match=match),
        checked_out_script(source, places),
    ):
        pass


def test_places_are_read_from_the_environment() -> None:
    places = ConfigPlaces.from_environment({"PRENIGHT_CONFIG_PLACES": "/a https://b/c"})

    assert places.allowed == ("/a", "https://b/c")
    assert "https://github.com/lsst-ts/" in ConfigPlaces.from_environment({}).allowed
