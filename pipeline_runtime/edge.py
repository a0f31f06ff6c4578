"""The edge of every command: its common options, one line for each error, logging.

What a command raises on purpose has its own text. Everything else that can fail,
a full disk under standard output too, becomes one line that says where it happened.
"""

import errno
import logging
import os
import re
import stat
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from difflib import get_close_matches
from functools import wraps
from io import TextIOWrapper
from pathlib import Path
from traceback import extract_tb
from typing import Any, ParamSpec, TypeVar

import click
from typing_extensions import override

from pipeline_runtime.errors import PipelineRuntimeError
from pipeline_runtime.extras import missing_extra

__all__ = [
    "DAY_OBS",
    "EdgeCommand",
    "EdgeGroup",
    "InputFile",
    "finish",
    "finish_original",
    "is_quiet",
    "note",
    "one_line",
    "plain_end",
    "plain_errors",
    "set_up_logging",
    "turned_into_text",
]

P = ParamSpec("P")
R = TypeVar("R")
_LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)
_ROOT = Path(__file__).resolve().parent.parent
_LONGEST = 2000
_USAGE = 2
_QUIET = "pipeline_runtime.quiet"
_NEGATIVE = re.compile(r"-\.?\d[\d.]*(e[+-]?\d+)?", re.IGNORECASE)
_NUMBERS = (click.types.IntParamType, click.types.FloatParamType)

# gives a datetime at midnight: callers take its date
DAY_OBS = click.DateTime(formats=["%Y-%m-%d", "%Y%m%d"])


class InputFile(click.Path):
    """A file to read: there, and a regular one.

    A FIFO would be waited for without end, and ``/dev/zero`` read without end.
    """

    def __init__(self, path_type: type[str] | type[Path] = Path) -> None:
        super().__init__(exists=True, dir_okay=False, path_type=path_type)

    @override
    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> str | bytes | os.PathLike[str]:
        found = super().convert(value, param, ctx)
        if not stat.S_ISREG(os.stat(found).st_mode):  # noqa: PTH116 - str or Path
            shown = click.format_filename(value)
            self.fail(f"{shown!r} is not a regular file", param, ctx)
        return found


def _set_quiet(context: click.Context, _: click.Parameter, value: object) -> None:
    if value:
        context.meta[_QUIET] = True  # of the group and its commands alike


def _print_version(context: click.Context, _: click.Parameter, value: object) -> None:
    if value and not context.resilient_parsing:
        from importlib.metadata import version  # noqa: PLC0415 - 40 ms that only this needs

        click.echo(f"{context.info_name} (l1db-pipeline {version('l1db-pipeline')})")
        context.exit()


_VERSION_OPTION = click.Option(
    ["--version"], is_flag=True, is_eager=True, expose_value=False,
    callback=_print_version, help="Show the version and exit.",
)  # fmt: skip
_QUIET_OPTION = click.Option(
    ["-q", "--quiet"], is_flag=True, expose_value=False, callback=_set_quiet,
    help="Print results and errors only: no progress, no notes.",
)  # fmt: skip


def is_quiet() -> bool:
    """Tell whether the command that runs was given ``--quiet``."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get(_QUIET))


def note(text: str) -> None:
    """Print one line about the work on standard error, unless ``--quiet`` is given."""
    if not is_quiet():
        click.echo(one_line(text), err=True)


def finish(done: str, then: str | None = None) -> None:
    """Print the last line of a command that succeeded: what is done, what is next.

    Parameters
    ----------
    done
        What was done, or that nothing was changed.
    then
        The command to run next; `None` if nothing follows.
    """
    note(done if then is None else f"{done}; next: {then}")


def finish_original(done: str, then: str | None = None) -> None:
    """Print the last line of a command of the original, at a terminal only: `finish`.

    Programs that call it take all that it prints, on either stream, for its answer.
    """
    if sys.stderr.isatty():
        finish(done, then)


class _Edge(click.Command):
    """A command that ends with one line on standard error, whatever happens.

    Every one has ``-h``; a program has ``--version``, and what does work ``--quiet``.
    A negative number is an argument where numbers are expected. With Python's
    development mode (``python -X dev``) an error that nobody expected shows its
    traceback.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # Any: click's own
        super().__init__(*args, **kwargs)
        self.context_settings.setdefault("help_option_names", ["-h", "--help"])

    @override
    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        *own, help_option = super().get_params(ctx)
        common = [] if isinstance(self, click.Group) else [_QUIET_OPTION]
        if ctx.parent is None and not any("--version" in one.opts for one in own):
            common.append(_VERSION_OPTION)
        return [*own, *common, help_option]

    @override
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if any(_takes_numbers(parameter) for parameter in self.params):
            # with a blank before it, a declination does not look like an option
            args = [f" {a}" if _NEGATIVE.fullmatch(a) else a for a in args]
        return super().parse_args(ctx, args)

    @override
    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,  # Any: these are click's own, as is what it returns
    ) -> Any:
        if not standalone_mode:
            return super().main(
                args, prog_name, complete_var, standalone_mode=False, **extra
            )
        if isinstance(sys.stdout, TextIOWrapper) and sys.stdout.errors == "strict":
            # a letter that the terminal's encoding lacks is not a reason to fail
            sys.stdout.reconfigure(errors="backslashreplace")
        try:
            super().main(args, prog_name, complete_var, **extra)
        except SystemExit as end:
            if (problem := _unwritten()) is not None and end.code in {0, None}:
                _say(problem)
                end.code = 1
            raise
        except Exception as error:
            if sys.flags.dev_mode and not isinstance(error, OSError):
                raise
            _say(_unwritten() or _described(error))
            sys.exit(1)


class EdgeCommand(_Edge):
    """A program of one command."""


class EdgeGroup(_Edge, click.Group):
    """A program of several commands; a misspelt one is answered with its like."""

    command_class = EdgeCommand
    group_class = type

    @override
    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        is_word = not (name.startswith("-") or ctx.resilient_parsing)
        if is_word and self.get_command(ctx, name) is None:
            like = get_close_matches(name, self.list_commands(ctx))
            hint = f"Did you mean {' or '.join(like)}?" if like else "See --help."
            ctx.fail(f"No such command {name!r}. {hint}")
        return super().resolve_command(ctx, args)


def _takes_numbers(parameter: click.Parameter) -> bool:
    kinds = getattr(parameter.type, "types", [parameter.type])
    return isinstance(parameter, click.Argument) and any(
        isinstance(kind, _NUMBERS) for kind in kinds
    )


def one_line(text: object) -> str:
    """Return a text as one line of printable letters, whatever it holds."""
    words = " ".join(str(text).split())
    line = "".join(c if c.isprintable() else _escaped(c) for c in words)
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def _say(message: str) -> None:
    with suppress(OSError):
        click.echo(f"Error: {one_line(message)}", err=True)


def _unwritten() -> str | None:
    """Write what is left for standard output; return why it cannot be, if so."""
    flush = getattr(sys.stdout, "flush", None)  # None if it was closed before
    try:
        if flush is not None:
            flush()
    except BrokenPipeError:
        reason = None  # whoever read has seen enough
    except (OSError, ValueError) as error:
        reason = _of_output(error)
    else:
        return None
    with suppress(OSError, ValueError):  # else Python tries it again at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return reason


def _of_output(error: Exception) -> str:
    return f"standard output: {_reason(error)}; the output is incomplete"


def _described(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError) and (missing := missing_extra(error)):
        return missing
    last = extract_tb(error.__traceback__)[-1]
    if isinstance(error, OSError) and last.name == "echo":
        return _of_output(error)  # of click: nothing else of ours writes there
    if isinstance(error, OSError) and error.errno is not None:
        place = error.filename if error.filename is not None else _place(error)
        return f"{place}: {_reason(error)}"
    return f"{_place(error)}: {type(error).__name__}: {error}"


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"{error.strerror}: free some space and run the command again"
    return getattr(error, "strerror", None) or str(error)


def _place(error: Exception) -> str:
    """Return file and line of ours where an error came out."""
    frames = extract_tb(error.__traceback__)
    ours = [
        frame
        for frame in frames
        if Path(frame.filename).is_relative_to(_ROOT)
        and "site-packages" not in Path(frame.filename).relative_to(_ROOT).parts
    ]
    last = (ours or frames)[-1]
    path = Path(last.filename)
    name = path.relative_to(_ROOT) if ours else path.name
    return f"{name}, line {last.lineno}"


def turned_into_text(
    *expected: type[Exception],
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator that turns errors into ``Error: ...`` and exit code 1."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return function(*args, **kwargs)
            except expected as error:
                raise plain_end(error) from error

        return wrapped

    return decorate


class _Misspelt(click.ClickException):
    exit_code = _USAGE


def plain_end(error: Exception) -> click.ClickException:
    """Return what click ends with: 2 for what was misspelt, 1 for all else."""
    is_misspelt = getattr(error, "exit_code", 1) == _USAGE
    return (_Misspelt if is_misspelt else click.ClickException)(one_line(error))


def plain_errors(function: Callable[P, R]) -> Callable[P, R]:
    """Turn the errors of this package into ``Error: ...`` and exit code 1."""
    return turned_into_text(PipelineRuntimeError)(function)


def set_up_logging(verbosity: int) -> None:
    """Log to stderr in the original's format: warnings, with 1 info, with 2 debug."""
    logging.basicConfig(
        level=_LEVELS[min(verbosity, 2)],
        format="%(asctime)s [%(levelname)s] %(name)s: %(message)s",
    )
