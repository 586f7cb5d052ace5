"""Build a language corpus from the translations in Django's message catalogues (`.po` files).

Writes `train.csv`, `validation.csv` and `test.csv`. Nothing is downloaded and no Django code is
imported.

* A message with plural forms gives two texts, its first form (the singular) and its last (the
  general plural). The forms in between, four in Arabic, are near-duplicates of these.
* The split depends on the cleaned English message: all translations of a message are in one split,
  also if the message recurs in another catalogue, in another context or with other placeholders.
* The English texts are the messages in Django's `en` catalogues.
"""

import csv
import hashlib
import html
import importlib
import importlib.util
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from gatewise.vocab.atomic_files import atomic_write

SPLITS = ("train", "validation", "test")
MIN_LENGTH = 20
SOURCE_LABEL = "en"

# One variety of each language: `pt` and `pt_BR`, or `sr` and `sr_Latn`, would differ by translator
# rather than by language. The folder of `zh-hans` is `zh_Hans`; other folders are named as labels.
LABELS = (
    "ar", "bg", "cs", "da", "de", "el", "en", "es", "fa", "fi", "fr", "he", "hu",
    "id", "it", "ja", "ko", "nl", "pl", "pt", "ru", "sv", "tr", "uk", "zh-hans",
)  # fmt: skip

# Replaces removed parts until empty quotes around them are removed; no message contains it.
_HOLE = "\x00"
# Markup first, so that a URL or a placeholder in an attribute is removed with its tag.
_REMOVED = (
    re.compile(r"<[^<>]*>"),
    re.compile(r"https?: ?//[^\s”“»\"」]*|www\.\S+"),
    # %(name)s and %(value).1f, also with a stray space or without the final letter.
    re.compile(r"%\s?\([^()]*\)[#0+-]*\d*(?:\.\d+)?[diouxXeEfFgGcrsa]?"),
    re.compile(r"%[#0+-]*(?:\*|\d+)?(?:\.(?:\*|\d+))?[diouxXeEfFgGcrsa%]"),  # %s, %.2f, %%
    re.compile(r"\{[^{}]*\}"),  # {}, {name}
)
# Invisible marks of direction and width. U+200C is not among them: Persian is spelled with it.
_INVISIBLE = re.compile(r"[\u200b\u200e\u200f]")
_EMPTY_PAIR = re.compile(
    rf"[\"'“”„«»‘’‚「『(（\[][\s{_HOLE}]*{_HOLE}[\s{_HOLE}]*[\"'“”«»‘’」』)）\]]"
)
_HOLE_BEFORE_STOP = re.compile(rf"[\s{_HOLE}]*{_HOLE}[\s{_HOLE}]*(?=[.,;:!?…。，](?!\w))")


class CorpusError(Exception):
    """The corpus cannot be built."""


@dataclass(frozen=True)
class Entry:
    """One text of the corpus.

    Attributes:
        text: The cleaned translation, at least `MIN_LENGTH` characters.
        label: The language, such as `de` or `zh-hans`.
        source: The cleaned English message that `text` translates.
    """

    text: str
    label: str
    source: str

    @property
    def split(self) -> str:
        """One of `SPLITS`, the same for all translations of a message."""
        return split_of(self.source)


def clean(message: str) -> str:
    """Remove markup, URLs and placeholders; leave natural language on one line.

    >>> clean("The  <b>%(name)s</b> “{obj}” was added &amp; saved, see https://example.org/.")
    'The was added & saved, see'
    """
    text = _INVISIBLE.sub("", unicodedata.normalize("NFC", html.unescape(message)))
    for pattern in _REMOVED:
        text = pattern.sub(_HOLE, text)
    text = _EMPTY_PAIR.sub(_HOLE, text)
    text = _HOLE_BEFORE_STOP.sub("", text).replace(_HOLE, " ")
    # After a placeholder at its start, a message may continue with a hyphen, a colon or a comma.
    return " ".join(text.split()).lstrip("-:,;.。，·\u200c ")


def fingerprint(text: str) -> str:
    """Reduce a text to its letters and digits, by which duplicates are found.

    >>> fingerprint("Delete “this” item?")
    'deletethisitem'
    """
    return "".join(char for char in text.casefold() if char.isalnum())


def split_of(source: str) -> str:
    """Choose the split of an English message: about 80 % train, 10 % validation, 10 % test.

    >>> split_of("Please correct the error below.") == split_of("please correct the error below")
    True
    """
    # Not `hash`, which differs from process to process.
    bucket = int(_digest(fingerprint(source))[:8], 16) % 10
    return {0: "test", 1: "validation"}.get(bucket, "train")


def location_of(package: str) -> Path:
    """Find an installed package's folder (or its file's folder) without importing it.

    Raises:
        CorpusError: The package is not installed.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise CorpusError(
            f"Package '{package}' is needed to build the corpus and is not installed; "
            "run: pip install 'gatewise[demo]'"
        )
    return Path(spec.origin).parent


def read_catalogues(django: Path, label: str) -> Iterator[Entry]:
    """Read all usable texts of one language, duplicates included.

    Skips fuzzy, obsolete and untranslated messages, translations equal to the English, and cleaned
    texts shorter than `MIN_LENGTH`.

    Raises:
        CorpusError: polib is not installed, or the folder has no catalogue of this language.
    """
    location_of("polib")
    polib = importlib.import_module("polib")
    folder = f"locale/{label.replace('hans', 'Hans').replace('-', '_')}/LC_MESSAGES"
    paths = sorted([*django.glob(f"conf/{folder}/*.po"), *django.glob(f"contrib/*/{folder}/*.po")])
    if not paths:
        raise CorpusError(f"Expected catalogues of '{label}' under {django}, found none.")
    for path in paths:
        for message in polib.pofile(str(path)):
            if message.obsolete or message.fuzzy:
                continue
            english = [message.msgid, message.msgid_plural]
            if label == SOURCE_LABEL:
                forms = english
            elif message.msgstr_plural:
                in_order = [form for _, form in sorted(message.msgstr_plural.items())]
                forms = [in_order[0], in_order[-1]]
            else:
                forms = [message.msgstr]
            source = clean(message.msgid)
            english_prints = {fingerprint(clean(form)) for form in english}
            for text in map(clean, forms):
                untranslated = label != SOURCE_LABEL and fingerprint(text) in english_prints
                if len(text) >= MIN_LENGTH and not untranslated:
                    yield Entry(text, label, source)


def keep_distinct(entries: Iterable[Entry]) -> list[Entry]:
    """Drop texts of two languages or of two splits, and duplicates.

    Texts are compared by `fingerprint`. Of duplicates, the entry with the smallest digest is kept.
    The result is sorted by digest: a fixed order that mixes the languages.

    >>> repeated = [Entry("Add it!", "en", "Home"), Entry("Add it", "en", "Home")]
    >>> ambiguous = [Entry("Navn", "da", "Name"), Entry("Navn", "nb", "Name")]
    >>> len(keep_distinct([*repeated, *ambiguous]))
    1
    """
    groups: defaultdict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        groups[fingerprint(entry.text)].append(entry)
    clear = [g for g in groups.values() if len({(entry.label, entry.split) for entry in g}) == 1]
    return sorted((min(group, key=_order) for group in clear), key=_order)


def _order(entry: Entry) -> str:
    return _digest("\0".join((entry.text, entry.label, entry.source)))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def build() -> list[Entry]:
    """Read, clean and deduplicate the whole corpus; the split is a property of each entry."""
    django = location_of("django")
    return keep_distinct(entry for label in LABELS for entry in read_catalogues(django, label))


def write_csv(path: Path, entries: Iterable[Entry]) -> None:
    """Write `text,label` rows, quoted as in RFC 4180, ended by LF, atomically."""
    with (
        atomic_write(path) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("text", "label"))
        writer.writerows((entry.text, entry.label) for entry in entries)


def table_of(entries: Iterable[Entry]) -> Table:
    """Count the entries by language and split."""
    counts = Counter((entry.label, entry.split) for entry in entries)
    table = Table("label", *SPLITS, "all")
    for label in LABELS:
        row = [counts[label, split] for split in SPLITS]
        table.add_row(label, *map(str, (*row, sum(row))))
    totals = [sum(counts[label, split] for label in LABELS) for split in SPLITS]
    table.add_section()
    table.add_row("all", *map(str, (*totals, sum(totals))))
    return table


def main(
    out: Annotated[Path, typer.Option(help="Folder for the three CSV files.", file_okay=False)],
) -> None:
    """Write train.csv, validation.csv and test.csv from Django's translations."""
    try:
        entries = build()
    except CorpusError as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(1) from error
    out.mkdir(parents=True, exist_ok=True)
    for split in SPLITS:
        write_csv(out / f"{split}.csv", [entry for entry in entries if entry.split == split])
    Console().print(table_of(entries))


if __name__ == "__main__":
    typer.run(main)
