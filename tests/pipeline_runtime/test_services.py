from pipeline_runtime.services import environment


def test_a_variable_that_is_set_replaces_the_embedded_default() -> None:
    mine = {"L1DB_URL": "sqlite:///mine.db", "L1DB_HOME": "/srv/l1db"}

    found = environment(mine)

    assert found["L1DB_URL"] == "sqlite:///mine.db"
    assert found["DAGSTER_HOME"] == "/srv/l1db/dagster"
