"""What verifying an archive found, and what it proved."""

from dataclasses import asdict, dataclass, field

__all__ = ["MISSING_STATISTIC", "Problem", "Report"]

MISSING_STATISTIC = "missing statistic"


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is not as it should be.

    Attributes
    ----------
    kind
        ``missing``, ``truncated``, ``changed``, ``unreadable``, ``unverified``,
        ``orphan``, ``staged``, ``symlink``, ``stale index``, ``changed statistic``,
        ``missing statistic``, ``dangling parent``...
    subject
        UUID and file type, URL, or table.
    detail
        What was found.
    is_repaired
        Whether `verify_archive` repaired it.
    """

    kind: str
    subject: str
    detail: str
    is_repaired: bool = False


@dataclass(slots=True)
class Report:
    """What was checked, and what was found.

    Attributes
    ----------
    n_objects, n_bytes, n_indexes
        What was read.
    proved
        How often each invariant was found to hold.
    problems
        What does not hold.
    """

    n_objects: int = 0
    n_bytes: int = 0
    n_indexes: int = 0
    proved: dict[str, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    @property
    def is_sound(self) -> bool:
        """Whether nothing is left to repair."""
        return all(problem.is_repaired for problem in self.problems)

    def as_json(self) -> dict[str, object]:
        """Return the report as values that JSON can hold."""
        return {**asdict(self), "sound": self.is_sound}

    def take(self, invariant: str, problem: Problem | None) -> bool:
        """Note that an invariant holds, or the problem; return whether it holds."""
        if problem is None:
            self.proved[invariant] = self.proved.get(invariant, 0) + 1
        else:
            self.problems.append(problem)
        return problem is None
