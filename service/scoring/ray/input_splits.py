"""An input cut into stretches, each the work of one worker and one part of the output.

Owns where a stretch begins and ends, and how Ray Data reads them: a task reads some of the files
from their beginning and gives a stretch as soon as it is read, so that many workers score what one
has still to read on. Files that are small are read by one task, and share stretches. Where
stretches begin depends on nothing but the input. Knows nothing of what is done with them.
"""

import pickle
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa
import ray.util
from gatewise.service.scoring.chunks import ROWS, Items, chunks
from gatewise.vocab.corpus.read_progress import ReadProgress
from gatewise.vocab.corpus.record_stream import Table
from gatewise.vocab.corpus.records import BadRow, Location, Record
from gatewise.vocab.errors import CorpusError
from ray.data import Datasource, ReadTask
from ray.data.block import BlockMetadata

_SHARE_BYTES = 64 * 1024 * 1024
"""Files that are smaller than this together are read by one task."""

_STRETCH_CHARACTERS = 64 * 1024 * 1024
"""A stretch of long texts is closed early, so that what is passed between processes is bounded."""


@dataclass(frozen=True, slots=True)
class SplitSizes:
    """How an input is cut.

    Attributes:
        window: Most rows that are scored together.
        stretch: Rows of a stretch, and with them of a part of the output; it ends with the window
            that reaches them.
        share: Bytes of the files that one task reads, if it reads several.
    """

    window: int = ROWS
    stretch: int = 65_536
    share: int = _SHARE_BYTES


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where a stretch stands in the input; later stretches are greater.

    Attributes:
        share: The files that it is of, counted from 0.
        number: Which of their stretches it is, counted from 0.
    """

    share: int
    number: int

    def __str__(self) -> str:
        return f"{self.share:05}-{self.number:05}"


@dataclass(frozen=True, slots=True)
class InputSplit:
    """Some records of an input, in their order.

    Attributes:
        place: Where it stands. Behind the last stretch of some files stands one without records,
            so that it can be told whether all stretches have come.
        windows: The records, packed.
        complaint: Why reading ended here before its time; None if it did not.
        read: Bytes of these files that were read up to here, as they are stored.
    """

    place: Place
    windows: tuple[Any, ...] = ()
    complaint: str | None = None
    read: int = 0

    @property
    def is_end(self) -> bool:
        """Whether there is nothing more of these files."""
        return not self.windows and self.complaint is None

    def block(self) -> pa.Table:
        """The stretch as a row of Ray Data's."""
        return pa.table(
            {
                "share": [self.place.share],
                "number": [self.place.number],
                "windows": pa.array([self.windows], pa.list_(pa.large_binary())),
                "complaint": pa.array([self.complaint], pa.string()),
                "read": [self.read],
            }
        )

    @classmethod
    def of_block(cls, block: pa.Table) -> Iterator["InputSplit"]:
        """The stretches that a block holds; their windows are not copied."""
        for index in range(block.num_rows):
            packed = block["windows"][index].values
            yield cls(
                Place(block["share"][index].as_py(), block["number"][index].as_py()),
                tuple(packed[window].as_buffer() for window in range(len(packed))),
                block["complaint"][index].as_py(),
                block["read"][index].as_py(),
            )


def shares(tables: Sequence[Table], most: int = _SHARE_BYTES) -> tuple[tuple[Table, ...], ...]:
    """The files of an input, those together that one task reads.

    Args:
        tables: The files.
        most: Bytes of files that are read by one task, if they are several.
    """
    found: list[list[Table]] = []
    filled = 0
    for table in tables:
        size = most if table.file.size is None else table.file.size
        if not found or filled + size > most:
            found.append([])
            filled = 0
        found[-1].append(table)
        filled += size
    return tuple(map(tuple, found))


def input_splits(
    share: int, tables: tuple[Table, ...], sizes: SplitSizes, done: frozenset[int] = frozenset()
) -> Iterator[InputSplit]:
    """Reads the stretches of some files.

    Args:
        share: Which files of the input these are.
        tables: The files.
        sizes: How they are cut.
        done: Numbers of the stretches that are not wanted.
    """
    number = rows = characters = 0
    meter = ReadProgress()
    waiting: list[bytes] = []
    try:
        for window in chunks(tables, None, sizes.window, meter):
            if number not in done:
                waiting.append(pack(window.items))
            rows += len(window.items)
            characters += window.characters
            if rows >= sizes.stretch or characters >= _STRETCH_CHARACTERS:
                if waiting:
                    yield InputSplit(Place(share, number), tuple(waiting), read=meter.done)
                waiting, rows, characters, number = [], 0, 0, number + 1
    except CorpusError as error:
        yield InputSplit(Place(share, number), complaint=str(error))
        return
    if waiting:
        yield InputSplit(Place(share, number), tuple(waiting), read=meter.done)
    yield InputSplit(Place(share, number + (rows > 0)), read=meter.done)


def pack(items: Items) -> bytes:
    """Records of one file as bytes, column by column, which is many times quicker than as they are.

    Args:
        items: The records, and bad rows among them.
    """
    records = [item for item in items if isinstance(item, Record)]
    return pickle.dumps(
        (
            items[0].location.file,
            [record.location.line for record in records],
            [record.values for record in records],
            [record.raw for record in records],
            {place: item for place, item in enumerate(items) if isinstance(item, BadRow)},
        ),
        protocol=pickle.HIGHEST_PROTOCOL,
    )


def unpack(packed: bytes | pa.Buffer) -> Items:
    """The records that were packed, which only a process of the same run can have done."""
    file, lines, values, raws, bad = pickle.loads(packed)  # noqa: S301
    items: Items = [
        Record(one, Location(file, line), raw)
        for one, line, raw in zip(values, lines, raws, strict=True)
    ]
    for place in sorted(bad):
        items.insert(place, bad[place])
    return items


class InputSplits(Datasource):  # type: ignore[misc]  # Ray tells no types
    """The stretches of an input as Ray Data reads them, a task for each share of the files.

    Args:
        shares: The files.
        sizes: How they are cut.
        done: The stretches that are not wanted.
        name_node: Whether a file that cannot be read is told with the node that has tried.
    """

    def __init__(
        self,
        shares: Sequence[tuple[Table, ...]],
        sizes: SplitSizes,
        done: Iterable[Place],
        *,
        name_node: bool,
    ) -> None:
        super().__init__()
        self._shares = shares
        self._sizes = sizes
        self._done: list[set[int]] = [set() for _ in shares]
        for place in done:
            self._done[place.share].add(place.number)
        self._name_node = name_node

    def estimate_inmemory_data_size(self) -> int | None:
        """Nothing is known of it."""
        return None

    def get_read_tasks(self, parallelism: int, *_: Any, **__: Any) -> list[ReadTask]:  # noqa: ARG002
        """The tasks."""
        return [
            ReadTask(
                partial(_blocks, share, tables, self._sizes, frozenset(done), self._name_node),
                BlockMetadata(num_rows=None, size_bytes=None, input_files=None, exec_stats=None),
            )
            for share, (tables, done) in enumerate(zip(self._shares, self._done, strict=True))
        ]


def _blocks(
    share: int, tables: tuple[Table, ...], sizes: SplitSizes, done: frozenset[int], name_node: bool
) -> Iterator[pa.Table]:
    for stretch in input_splits(share, tables, sizes, done):
        told = stretch
        if stretch.complaint and name_node:
            where = ray.util.get_node_ip_address()
            told = InputSplit(stretch.place, complaint=f"on the node {where}: {stretch.complaint}")
        yield told.block()
