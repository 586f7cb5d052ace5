"""The encoding of a text file, found in its first bytes.

UTF-8 and UTF-16 show in the bytes themselves. Code pages of the Latin script differ in a few
letters only; the one is taken whose letters belong to one of its languages. Among those of other
scripts, charset-normalizer weighs which gives words of a language and which gives noise.
"""

import codecs
import contextlib
import re
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

from gatewise.vocab.corpus.data_files import UTF_8

_MARKS = (
    (codecs.BOM_UTF8, UTF_8),
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
_WIDE_NUL_SHARE = 0.02
_WIDE_CONTROL_SHARE = 0.25
_WEIGHED_BYTES = 64 * 1024

# The letters of languages beyond a to z, by the code pages that these languages are written in.
_WESTERN = (
    *("áéíóú", "äöüß", "åäöé", "åæøé", "àèéìíòóùú", "áèéëïóöü", "áéíñóúü¿¡ºª"),
    *("àáâãçéêíóôõúüºª", "àâæçèéêëîïôùûüÿœ", "àçèéíïòóúü·", "áæéíðóöúýþ", "äõöüšž"),
)
_CENTRAL = (
    *("ąćęłńóśźż", "áčďéěíňóřšťúůýž", "áäčďéíĺľňóôŕšťúýž", "áéíóöőúüű", "âîăşţ", "čćđšž"),
    "çë",
)
_BALTIC = ("äõöüšž", "āčēģīķļņšūž", "ąčėęįšųūž")
_TURKISH = ("âçöüğıîşûİ",)
_LATIN = {
    "cp1252": _WESTERN,
    "cp1250": _CENTRAL,
    "cp1254": _TURKISH,
    "cp1257": _BALTIC,
    "iso8859_2": _CENTRAL,
    "mac_roman": _WESTERN,
    "cp850": _WESTERN,
    "cp852": _CENTRAL,
}
# Those of old systems are taken only if they fit clearly better.
_RARE = {"mac_roman": 0.1, "cp850": 0.1, "cp852": 0.1}
_OTHER = (
    *("cp1251", "koi8_r", "koi8_u", "cp866", "cp1253", "cp1255", "cp1256", "cp874"),
    *("gb18030", "big5", "cp932", "euc_jp", "cp949"),
)
_MIN_FITTING = 0.5
# The mean length of runs of bytes beyond ASCII: a letter of another script comes among others of
# its kind, one of the Latin script among a to z.
_LATIN_RUN, _OTHER_RUN = 1.7, 2.7
_KANA = re.compile("[\u3041-\u30ff]")
_KANA_SHARE = 0.15
_KANA_COHERENCE = 0.3
_CONTEXT_BYTES = 1024
"""Bytes weighed before the first one that is not ASCII."""

_HIGH_BYTES = re.compile(rb"[\x80-\xff]+")

_ORDINALS = "ºª"
_CONTROL = re.compile("[\x80-\x9f]")
_TYPOGRAPHIC = frozenset("’‘‚“”„…–—•€£¥§©®™°«»‹›½´µ×\N{NO-BREAK SPACE}\N{SOFT HYPHEN}")


def find_encodings(sample: bytes) -> tuple[str, ...]:
    """The encoding of a text, or the candidates if it is doubtful; none if it looks like no text.

    >>> find_encodings("Grüße".encode()), find_encodings("Grüße".encode("utf-16"))
    (('UTF-8',), ('UTF-16',))
    >>> find_encodings("Käufer".encode("cp1252")), find_encodings("Señor".encode("cp1252"))
    (('cp1252',), ('cp1252', 'cp1250'))

    Args:
        sample: The first bytes of the file, whole lines if possible.
    """
    for mark, encoding in _MARKS:
        if sample.startswith(mark):
            return (encoding,)
    if sample.count(0) > _WIDE_NUL_SHARE * len(sample) and (wide := _wide(sample)) is not None:
        return (wide,)
    text = sample.decode(errors="surrogateescape")
    stray = sum("\udc80" <= character <= "\udcff" for character in text)
    # In other encodings hardly any bytes form the sequences of UTF-8; in UTF-8 few are damaged.
    if 2 * stray <= sum(character > "\x7f" for character in text):
        return (UTF_8,)
    lines = b"".join(line for line in sample.splitlines(keepends=True) if not line.isascii())
    first = next(_HIGH_BYTES.finditer(lines)).start()
    weighed = lines[max(0, first - _CONTEXT_BYTES) : first + _WEIGHED_BYTES]
    runs = _HIGH_BYTES.findall(weighed)
    length = sum(map(len, runs)) / len(runs)
    latin = _nearly_best(list(_latin(weighed))) if length < _OTHER_RUN else ()
    other = _nearly_best(list(_other(weighed))) if length > _LATIN_RUN else ()
    return latin + other


def _wide(sample: bytes) -> str | None:
    """UTF-16 without a byte order mark: the byte order that gives more of a to z.

    A few stray NULs make no UTF-16: read as UTF-8, it is invalid or full of control characters.
    """
    with contextlib.suppress(UnicodeDecodeError):
        text = codecs.getincrementaldecoder(UTF_8)().decode(sample)
        controls = sum(character < " " and character not in "\r\n" for character in text)
        if controls < _WIDE_CONTROL_SHARE * len(text):
            return None
    counts = {}
    for encoding in ("UTF-16-LE", "UTF-16-BE"):
        text = sample[: len(sample) // 2 * 2].decode(encoding, errors="replace")
        counts[encoding] = sum(" " <= character < "\x7f" for character in text)
    best = max(counts, key=lambda encoding: counts[encoding])
    return best if counts[best] > 2 * min(counts.values()) else None


def _nearly_best(scores: list[tuple[float, str]]) -> tuple[str, ...]:
    best = max((score for score, _ in scores), default=0.0)
    return tuple(encoding for score, encoding in scores if score >= best - 0.01)


def _decoded(
    sample: bytes, encodings: Iterator[str] | tuple[str, ...]
) -> Iterator[tuple[str, str]]:
    """The encodings that a text can have, each with what it gives."""
    for encoding in encodings:
        try:
            # The last character may be cut.
            yield encoding, codecs.getincrementaldecoder(encoding)().decode(sample)
        except UnicodeDecodeError:
            continue


def _latin(sample: bytes) -> Iterator[tuple[float, str]]:
    """The share of the letters that belong to the best language of each code page.

    Of several that give the same text, the best is kept.
    """
    best: dict[str, tuple[float, str]] = {}
    for encoding, text in _decoded(sample, tuple(_LATIN)):
        if _CONTROL.search(text):
            continue
        score = _fitting(text, _LATIN[encoding]) - _RARE.get(encoding, 0)
        if score >= _MIN_FITTING and (text not in best or score > best[text][0]):
            best[text] = score, encoding
    yield from best.values()


def _fitting(text: str, alphabets: tuple[str, ...]) -> float:
    letters = Counter(c for c in text if c > "\x7f" and c not in _TYPOGRAPHIC)
    if not letters:
        return 1.0
    total = letters.total()
    letters.subtract(_misplaced(text))
    return (
        max(
            sum(count for c, count in letters.items() if c in alphabet or c.lower() in alphabet)
            for alphabet in alphabets
        )
        / total
    )


def _misplaced(text: str) -> Iterator[str]:
    """Letters in places that a wrong code page puts them: a capital in a word, beside a digit."""
    for before, after in pairwise(text):
        if after > "\x7f" and (
            (before.islower() and after.isupper()) or (before.isdigit() and after not in _ORDINALS)
        ):
            yield after
        elif before > "\x7f" and after.isdigit():
            yield before


def _other(sample: bytes) -> Iterator[tuple[float, str]]:
    """How much each encoding gives words of a language, and little noise."""
    from charset_normalizer import from_bytes  # noqa: PLC0415 (most files are UTF-8)

    seen = set()
    for encoding, text in _decoded(sample, _OTHER):
        if text in seen:
            continue
        seen.add(text)
        # One at a time: from_bytes passes over encodings that resemble one that does not fit.
        found = from_bytes(
            sample,
            threshold=0.5,
            cp_isolation=[encoding],
            preemptive_behaviour=False,
            enable_fallback=False,
        ).best()
        if found is not None:
            # charset-normalizer finds words of Japanese seldom, but its kana are everywhere.
            kana = len(_KANA.findall(text)) > _KANA_SHARE * sum(c > "\x7f" for c in text)
            yield max(found.coherence, kana * _KANA_COHERENCE) - 3 * found.chaos, encoding
