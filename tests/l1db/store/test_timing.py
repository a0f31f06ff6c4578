from l1db_pipeline.store.timing import Timings


def test_the_steps_since_a_moment_are_those_that_ended_after_it() -> None:
    timings = Timings()
    with timings.step("before"):
        pass
    moment = timings.n_ended
    for name in ("one", "two"):
        with timings.step(name):
            pass

    assert [step.step for step in timings.since(moment)] == ["one", "two"]
    timings.steps.clear()
    assert timings.since(moment) == ()


def test_a_long_run_keeps_the_latest_steps_only() -> None:
    timings = Timings()
    for number in range(12_000):
        with timings.step(str(number)):
            pass

    assert len(timings.steps) == 4_000
    assert [step.step for step in timings.since(timings.n_ended - 2)] == [
        "11998", "11999"
    ]  # fmt: skip
