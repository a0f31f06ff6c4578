"""Errors of what both systems run on: one base class."""

__all__ = ["EnvironmentValueError", "PipelineRuntimeError", "interrupt_behind"]


class PipelineRuntimeError(Exception):
    """Base of every error that this package raises on purpose.

    Command-line programs print its text after ``Error:`` and exit with 1.
    """


class EnvironmentValueError(PipelineRuntimeError, ValueError):
    """A variable of the environment has a value that cannot be used."""


def interrupt_behind(error: BaseException | None) -> BaseException | None:
    """Return the interrupt during whose handling an error was raised, if so.

    A driver that is interrupted in a query may fail while it cleans up; Python then
    tells of that failure, and who sees only it tries again what was to end.
    """
    seen, todo = set(), [error]
    while todo:
        error = todo.pop()
        if error is None or id(error) in seen:
            continue
        if not isinstance(error, Exception | GeneratorExit):
            return error
        seen.add(id(error))
        todo += [error.__cause__, error.__context__]
    return None
