"""Plant small faults in three modules, one at a time, and see that a test finds each.

A mutant that no test kills is a gap in the tests, or it changes nothing that anyone
can observe; those stand in ``tests/mutants-equivalent.txt`` with the reason, and any
other survivor fails the run. Each mutant costs a fork of a process that has imported
everything, not a start of pytest: hence no library (mutmut copies the tree, cosmic-ray
starts an interpreter a mutant).

    python scripts/mutants.py                 a sample, the same at every run
    python scripts/mutants.py --seed 7        another sample
    python scripts/mutants.py --all ledger    every mutant of one module
"""

import argparse
import ast
import importlib
import os
import random
import resource
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import CodeType, FunctionType, ModuleType

import pytest

from pipeline_runtime.postgres import EmbeddedPostgres

ROOT = Path(__file__).resolve().parents[1]
EQUIVALENT = ROOT / "tests" / "mutants-equivalent.txt"
_NOT_PLANTED = 3
CPU_LIMIT_S = 60
"""Of a mutant's tests: a fault that makes them endless is found, as any other."""


@dataclass(frozen=True, slots=True)
class Target:
    """A module, and the tests that hold it, as arguments of pytest."""

    path: str
    tests: Sequence[str]


TARGETS = {
    "ledger": Target(
        "l1db_pipeline/store/ledger.py",
        [
            "tests/contracts/test_l1_ledger.py",
            "tests/contracts/test_l1_store.py",
            "-k",
            "sqlite",
        ],
    ),
    "validate": Target(
        "l1db_pipeline/store/validate.py", ["tests/l1db/store/test_validate.py"]
    ),
    "sequence": Target(
        "archive_assets/archiving/sequence.py",
        [
            "tests/archive/archiving/test_sequence_faults.py",
            "tests/archive/archiving/test_sequence.py",
        ],
    ),
}


@dataclass(frozen=True, slots=True)
class Mutant:
    """A module's code with one fault."""

    name: str
    code: CodeType = field(repr=False)

    def plant(self, module: ModuleType) -> None:
        """Let the functions of a module run this code, whoever imported them."""
        settings: dict[str, object] = {**module.__dict__}
        exec(self.code, settings)  # noqa: S102  # a module of this tree
        for name, value in settings.items():
            if name.isupper() and value != module.__dict__[name]:
                setattr(module, name, value)
        codes = {code.co_qualname: code for code in _codes(self.code)}
        for function in _functions(module, module):
            code = codes[function.__code__.co_qualname]
            if not code.co_freevars:  # the fault may have taken a call of `super` away
                code = code.replace(co_freevars=function.__code__.co_freevars)
            function.__code__ = code


def _functions(owner: object, module: ModuleType) -> Iterator[FunctionType]:
    """Yield the functions of a module, and of its classes, that stand in its file."""
    for thing in list(vars(owner).values()):
        plain = getattr(thing, "__func__", thing)
        if getattr(plain, "__module__", None) != module.__name__:
            continue
        if isinstance(plain, FunctionType):
            if plain.__code__.co_filename == module.__file__:
                yield plain
        elif isinstance(plain, type):
            yield from _functions(plain, module)


def _codes(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _codes(constant)


_SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
    ast.Continue: ast.Break, ast.Break: ast.Continue,
}  # fmt: skip


def _others(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what may stand in a node's place, each a fault."""
    match node:
        case (
            ast.cmpop() | ast.boolop() | ast.operator() | ast.Continue() | ast.Break()
        ) if type(node) in _SWAPS:
            yield _SWAPS[type(node)]()
        case ast.UnaryOp(operand=operand):
            yield operand
        case ast.Constant():
            yield from _other_constants(node.value)
        case ast.IfExp(test=test, body=body, orelse=orelse):
            yield ast.IfExp(test, orelse, body)
        case ast.Dict(keys=keys, values=values):
            for n in range(len(keys)):
                yield ast.Dict(keys[:n] + keys[n + 1 :], values[:n] + values[n + 1 :])
        case ast.Call(func=function, args=arguments, keywords=keywords):
            for n in range(len(keywords)):
                yield ast.Call(function, arguments, keywords[:n] + keywords[n + 1 :])
        case ast.stmt():
            yield from _other_statements(node)
        case _:
            pass


def _other_constants(value: object) -> Iterator[ast.AST]:
    match value:
        case bool():
            yield ast.Constant(not value)
        case int():
            yield ast.Constant(value + 1)
        case str():
            yield ast.Constant(value + "x")
        case _:
            pass


def _other_statements(node: ast.stmt) -> Iterator[ast.AST]:
    match node:
        case ast.If(body=body, orelse=orelse):
            yield ast.If(ast.Constant(False), body, orelse)
            yield ast.If(ast.Constant(True), body, orelse)
        case ast.Return(value=ast.Constant(value=None)):
            pass
        case ast.Return(value=ast.expr()):
            yield ast.Return(ast.Constant(None))
        case ast.Expr(value=ast.Call()) | ast.AugAssign() | ast.Raise():
            yield ast.Pass()
        case ast.Assign(targets=[ast.Subscript() | ast.Attribute()]):
            yield ast.Pass()
        case _:
            pass


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a node hangs in the tree, so that another can be put there."""

    parent: ast.AST
    name: str
    index: int | None
    scope: str
    shown: ast.AST
    """The smallest thing around it that tells a reader what is changed."""

    def put(self, node: ast.AST) -> None:
        """Hang a node here."""
        if self.index is None:
            setattr(self.parent, self.name, node)
        else:
            getattr(self.parent, self.name)[self.index] = node


def _places(
    node: ast.AST, scope: str, shown: ast.AST
) -> Iterator[tuple[_Place, ast.AST]]:
    """Yield the nodes beneath one that may be changed."""
    skipped = {"annotation", "returns", "decorator_list", "bases", "ctx"}
    if isinstance(node, ast.FunctionDef):
        skipped.add("args")
    for name, value in ast.iter_fields(node):
        if name in skipped:
            continue
        for number, child in enumerate(value if isinstance(value, list) else [value]):
            if not isinstance(child, ast.AST) or _is_for_people(child):
                continue
            is_whole = isinstance(child, ast.stmt | ast.expr | ast.ExceptHandler)
            around = shown if isinstance(child, ast.Constant) or not is_whole else child
            index = number if isinstance(value, list) else None
            yield _Place(node, name, index, scope, around), child
            inner = scope
            if isinstance(child, ast.FunctionDef | ast.ClassDef):
                inner = f"{scope}.{child.name}".lstrip(".")
            yield from _places(child, inner, around)


def _is_for_people(node: ast.AST) -> bool:
    """Tell whether a node is a docstring, or the words of an error."""
    match node:
        case ast.Expr(value=ast.Constant()) | ast.JoinedStr():
            return True
        case ast.Call(func=ast.Name(id=name)):
            return name.endswith("Error")
        case _:
            return False


def mutants_of(path: str) -> Iterator[Mutant]:
    """Yield every mutant of a module, in the order of its text."""
    tree = ast.parse((ROOT / path).read_text())
    seen: Counter[str] = Counter()
    for statement in tree.body:
        if not isinstance(statement, ast.FunctionDef | ast.ClassDef | ast.Assign):
            continue
        if "__all__" in _line(statement):
            continue
        for place, node in list(_places(statement, _name(statement), statement)):
            before = _line(place.shown)
            for other in _others(node):
                place.put(other)
                after = _line(other if place.shown is node else place.shown)
                name = f"{path}::{place.scope}: {before}  ->  {after}"
                seen[name] += 1
                nth = f" (number {seen[name]})" if seen[name] > 1 else ""
                ast.fix_missing_locations(tree)
                yield Mutant(name + nth, compile(tree, str(ROOT / path), "exec"))
                place.put(node)


def _name(statement: ast.FunctionDef | ast.ClassDef | ast.Assign) -> str:
    return "module" if isinstance(statement, ast.Assign) else statement.name


def _line(node: ast.AST) -> str:
    """Return a node's text, or the first line of it."""
    return ast.unparse(node).split("\n")[0]


class Trials:
    """A pytest plugin: in place of the tests once, the tests against each mutant."""

    def __init__(self, module: ModuleType, mutants: Sequence[Mutant]) -> None:
        self._module = module
        self._mutants = mutants
        self.survivors: list[str] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Fork a process for each mutant."""
        if session.testsfailed or not session.items:
            pytest.exit("the tests cannot be collected", 2)
        if not _passes(session, lambda: None):
            pytest.exit("the tests fail without any mutant: repair them first", 2)
        for mutant in self._mutants:
            if _passes(session, partial(mutant.plant, self._module)):
                self.survivors.append(mutant.name)
                print(f"survives: {mutant.name}", flush=True)
        return True


def _passes(session: pytest.Session, plant: Callable[[], object]) -> bool:
    """Run the tests in a process of their own up to the first that fails."""
    if pid := os.fork():
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if status == _NOT_PLANTED:
            pytest.exit("a mutant cannot be planted", 2)
        return status == 0
    status = _NOT_PLANTED
    try:
        plant()
        status = 1
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_LIMIT_S, CPU_LIMIT_S))
        nexts = [*session.items[1:], None]
        for item, following in zip(session.items, nexts, strict=True):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if session.testsfailed:
                break
        else:
            status = 0
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        os._exit(status)


def equivalents() -> dict[str, str]:
    """Return the mutants that change nothing, each with the reason.

    A mutant is a line; its reason, on the lines below, is indented.
    """
    reasons: dict[str, str] = {}
    name = ""
    for line in EQUIVALENT.read_text().splitlines():
        if line.startswith(" "):
            reasons[name] = f"{reasons[name]} {line.strip()}".strip()
        elif line and not line.startswith("#"):
            name = line
            reasons[name] = ""
    return reasons


def _try(target: Target, mutants: Sequence[Mutant]) -> list[str]:
    """Return the names of the mutants of a module that its tests do not find."""
    module = importlib.import_module(target.path.removesuffix(".py").replace("/", "."))
    trials = Trials(module, mutants)
    quiet = [
        "-q",
        "--no-header",
        "--no-summary",
        "-p",
        "no:randomly",
        "-p",
        "no:cacheprovider",
    ]
    if status := pytest.main([*quiet, *target.tests], plugins=[trials]):
        raise SystemExit(int(status))
    return trials.survivors


def main() -> int:
    """Run the mutants; 1 if one survives that the list does not explain."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="MODULE", help=", ".join(TARGETS))
    parser.add_argument("--all", action="store_true", help="every mutant, no sample")
    parser.add_argument("--sample", type=int, default=30, help="of each module (30)")
    parser.add_argument("--seed", type=int, default=12, help="of the sample (12)")
    options = parser.parse_args()
    known, survivors = equivalents(), []
    os.chdir(ROOT)
    # the server is stopped, too, when the run is
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with TemporaryDirectory(prefix="l1db-mutants-") as folder:
        server = EmbeddedPostgres(Path(folder) / "data")
        server.start()
        os.environ.setdefault("L1DB_TEST_DSN", server.dsn())
        try:
            for name in options.names or TARGETS:
                target = TARGETS[name]
                every = list(mutants_of(target.path))
                stale = {n for n in known if n.startswith(target.path)}
                stale -= {mutant.name for mutant in every}
                survivors += [f"{n}: listed, but there is no such" for n in stale]
                chosen = every
                if not options.all:
                    n_chosen = min(options.sample, len(every))
                    chosen = random.Random(options.seed).sample(every, n_chosen)  # noqa: S311  # a sample, no secret
                alive = _try(target, chosen)
                print(
                    f"{target.path}: {len(chosen)} of {len(every)} mutants, "
                    f"{len(chosen) - len(alive)} killed, {len(alive)} survive"
                )
                survivors += [n for n in alive if not known.get(n)]
                survivors += [
                    f"{m.name}: listed as equivalent, but a test finds it"
                    for m in chosen
                    if m.name in known and m.name not in alive
                ]
        finally:
            server.stop()
    print(*survivors, sep="\n")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
