"""Tables that only databases of an APDB have: images, and what updates by day need."""

from dataclasses import dataclass

from l1db_pipeline.schema.model import Column, Datatype, Table

__all__ = ["DaytimeTables"]


def _long(name: str) -> Column:
    return Column(name, Datatype.LONG, nullable=False)


def _int(name: str) -> Column:
    return Column(name, Datatype.INT, nullable=False)


def _text(name: str, length: int) -> Column:
    return Column(name, Datatype.STRING, nullable=False, length=length)


IMAGES = Table(
    "L1Images",
    (_long("visit"), _int("detector"), _long("visitId"), _text("tile", 32)),
    primary_key=("visit", "detector"),
    description="Images with a source, and the unit that stored the first of it.",
)
SOURCE_STRAYS = Table(
    "L1SourceStrays",
    (_int("pixel"), _int("homePixel")),
    primary_key=("pixel", "homePixel"),
    description="Pixels in which sources are that are kept under another one.",
)

UPDATES = Table(
    "L1Updates",
    (_text("updateId", 64), _text("kind", 32), _long("timeNs"), _text("digest", 96)),
    primary_key=("updateId",),
    description="The ledger of updates by day: their content, as it was asked for.",
)
JOURNAL = Table(
    "L1Journal",
    (
        _text("updateId", 64),
        _long("visitId"),
        _text("tableName", 32),
        _text("oldDigest", 96),
        _text("newDigest", 96),
    ),
    primary_key=("updateId", "visitId", "tableName"),
    description="What an update took out of a unit's digest, and put into it.",
)
REPLICA_UNITS = Table(
    "L1ReplicaUnits",
    (_long("chunk"), _long("visitId"), _text("tile", 32)),
    primary_key=("chunk", "visitId", "tile"),
    description="Units that a consumer of replica chunks has not taken yet.",
)
REPLICA_UPDATES = Table(
    "L1ReplicaUpdates",
    (
        _long("chunk"),
        _long("timeNs"),
        _int("place"),
        _text("updateId", 64),
        Column("payload", Datatype.TEXT, nullable=False),
    ),
    primary_key=("chunk", "timeNs", "place", "updateId"),
    description="Update records that a consumer has not taken yet, as JSON.",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class DaytimeTables:
    """All of them."""

    images: Table = IMAGES
    source_strays: Table = SOURCE_STRAYS
    updates: Table = UPDATES
    journal: Table = JOURNAL
    replica_units: Table = REPLICA_UNITS
    replica_updates: Table = REPLICA_UPDATES

    @property
    def tables(self) -> tuple[Table, ...]:
        """In the order in which they are made."""
        return (
            self.images, self.source_strays, self.updates, self.journal,
            self.replica_units, self.replica_updates,
        )  # fmt: skip
