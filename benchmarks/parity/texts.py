"""Texts that runtimes are most likely to read differently, random ones, and real ones.

Lone surrogates are not among them: they cannot be written as UTF-8, so no file and no request can
hold them.
"""

import random
import sys
from pathlib import Path

from gatewise.training.data.sampling import reservoir
from gatewise.vocab.corpus.bad_row_policy import StopAtBadRows
from gatewise.vocab.corpus.corpus_reader import read_texts

SEED = 1

LONG = 100_000
"""Characters of the longest texts."""

_RANDOM_SHARE = 0.2
_SURROGATES = range(0xD800, 0xE000)
_BLOCK = 128
_LONGEST = 60

KINDS: dict[str, tuple[str, ...]] = {
    "nothing": ("", " ", "\t\n", "\u00a0", "\u3000\u2003", "\u200b", "\ufeff", "\x00\x1f"),
    "emoji": (
        "👩‍👩‍👧‍👦 family",
        "🏳️‍🌈🏴‍☠️",
        "👍🏽👍🏿 ok",
        "1️⃣#️⃣",
        "☺︎☺️",
        "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    ),
    "right to left": (
        "שלום עולם",
        "שָׁלוֹם וּבְרָכָה",
        "مُحَمَّدٌ ﷺ",
        "\u202eabc\u202c \u200fdef\u200e",
        "abc אבג 123 العربية ۱۲۳",
        "\u2067بين\u2069 (a)",
        "ﻻ ﷲ ﺑﺔ",
    ),
    "combining marks": (
        "e\u0301 n\u0303 a\u030a",
        "a\u0301\u0323 a\u0323\u0301",
        "Z\u0351\u036b\u0343a\u0324\u0317lgo",
        "\u0301 alone",
        "q\u0307\u0323\u0307",
        "한국어 \u1112\u1161\u11ab",
        "क्षि नमस्ते",
        "が か\u3099 ｶﾞ",
        "ĳ ŉ ǆ ﬃ ﬁ",
    ),
    "full width": (
        "Ｈｅｌｌｏ，　Ｗｏｒｌｄ！１２３",
        "ｶﾀｶﾅ ﾊﾟﾋﾟ",
        "［ＵＮＫ］",
    ),
    "zero width": (
        "zero\u200bwidth",
        "zero\u200cwidth\u200djoin",
        "\ufeffmark first",
        "soft\u00adhyphen",
        "a\u180eb",
        "x\ufe0fy\U000e0100z",
        "filler\u3164\u115f\uffa0",
    ),
    "controls": (
        "a\x00b",
        "tab\tnew\nline\r\nend",
        "\x1b[31mred\x1b[0m",
        "del\x7f\x80\x9f",
        "\x1c\x1d\x1e\x1f parted",
        "\ufffd\ufffe\uffff",
        "private \ue000\uf8ff\U000f0000\U0010ffff",
    ),
    "white space": (
        "no\u00a0break",
        "next\u0085line",
        "line\u2028paragraph\u2029end",
        "\u1680ogham\u2000\u200a\u202f\u205f\u3000",
        "\n\nfirst\n \n",
        "a\n$ ^b\n",
    ),
    "scripts without spaces": (
        "ภาษาไทยไม่มีช่องว่าง",
        "น้ำ กำ เเละ",
        "ຂ້ອຍເວົ້າພາສາລາວ",
        "မြန်မာဘာသာ",
        "བོད་སྐད་",
        "中文没有空格，对吧？",
        "日本語のひらがなカタカナ々〆ヶ〇",
        "𠮷野家 𩸽 𪜈",
        "北京2008年iPhone手机",
    ),
    "korean": ("안녕하세요 세계", "ㅋㅋㅋ ㅠㅠ", "ᄒᆞᆫ글", "값을 뷁", "\u1100\u1161\u11a8\u1175"),
    "case": (
        "ΟΔΥΣΣΕΥΣ ΣΑΣ Σ",
        "ΣΊΣΥΦΟΣ, ΣΑΣ. σς",
        "𝛴 𝚺 Ϲ",
        "İstanbul DİYARBAKIR ıI",
        "I\u0307 i\u0307 J\u0301",
        "STRASSE Straße ẞ ß",
        "ǅ Ǆ ǆ ΐ ŉ",
        "Ω Å K ℃ Ⅷ Ⓐ",
        "ᲐᲑᲒ აბგ Ꭰꭰ",
        "𐐀𐐨 𞤀𞤢 Ა",
        "ᾼ ᾳ ᾈ ᾀ",
    ),
    "astral": ("𝕳𝖊𝖑𝖑𝖔 𝓦𝓸𝓻𝓵𝓭", "𓀀𓁐 𒀀", "𐍈𐌰", "🀄🂡", "a𐀀b\U0010fffd", "𝟘𝟙𝟚", "𑀓𑁆𑀱", "\U0001f1e6"),
    "special tokens": (
        "[UNK]",
        "[PAD]",
        "[CLS]",
        "[CLS] [PAD] [UNK] text",
        "text[UNK]text",
        "[unk] [Pad] [cls]",
        "[[UNK]]",
        "[U\u200bNK]",
        "[CLS\ufe0f]",
        "\u200b[UNK]\u200b",
        "[SEP] [MASK] </s> <unk>",
        "##ing un##ing",
        "[PAD]" * 30,
        "ΑΣ[UNK]ΑΣ[PAD]Σ",
    ),
    "names of JavaScript, Lua and regular expressions": (
        "__proto__ constructor toString",
        "end null undefined NaN",
        "$& $1 $$ \\1 \\n",
        "length prototype",
    ),
    "punctuation": (
        "don't stop, 3.5€!",
        "“quoted” ‘text’ «guillemets» „low“",
        "…⋯‥ ¿¡ ‽",
        "C++ C# .NET node.js",
        "https://example.org/a?b=c&d=e#f",
        "user@example.org +49 (0)30/123",
        "½ ² ³ ¹ ⅓ ① ㋿ ㎏",
        "<script>alert(1)</script>",
        "٪ ؟ ، 。、・「」",
    ),
}


def collect(data: Path | None, count: int) -> list[str]:
    """Every text of `KINDS`, random ones, and real ones of each corpus; the same at every call.

    Args:
        data: A folder with a folder for each corpus; None if there is none.
        count: How many texts; more where those of `KINDS` are more.
    """
    listed = [text for texts in KINDS.values() for text in texts] + long_texts() + _about_words()
    rest = max(count - len(listed), 0)
    folders = sorted(path for path in data.iterdir() if path.is_dir()) if data else []
    real: list[str] = []
    if folders:
        wanted = rest - round(rest * _RANDOM_SHARE)
        for path in folders:
            # All files of a corpus, whose names may be those of splits.
            texts = read_texts(f"{path}/*", bad_rows=StopAtBadRows())
            real += reservoir(texts, -(-wanted // len(folders)), SEED)
        del real[wanted:]
    return [*listed, *real, *random_texts(rest - len(real), SEED)]


def long_texts() -> list[str]:
    """Texts of `LONG` characters: words, one word, no word, and what is longer in parts."""
    made = ("word ", "x", "中", "!", " ", "\u200b", "e\u0301", "👩‍👧", "[UNK]", "Σ ")
    return [(part * (LONG // len(part) + 1))[:LONG] for part in (*made, "a\u0323\u0301")]


def _about_words() -> list[str]:
    """Words about as long as the longest that a tokenizer looks up."""
    return [
        letter * length
        for letter in ("x", "é", "𝕳", "ß", "İ", "ﬃ", "क")
        for length in (33, 34, 50, 51, 99, 100, 101, 200)
    ]


def random_texts(count: int, seed: int) -> list[str]:
    """Random strings of Unicode, the same for the same seed.

    A fifth each is drawn from a block of characters; from two blocks and combining marks; from the
    first plane; from all planes; and from pieces of `KINDS`, cut and joined anywhere.
    """
    generator = random.Random(seed)
    listed = [text for texts in KINDS.values() for text in texts if text]
    texts = []
    for number in range(count):
        if (kind := number % 5) == 4:
            pieces = (_piece(generator, listed) for _ in range(generator.randint(2, 6)))
            texts.append("".join(pieces))
            continue
        if kind < 2:
            codes = [*_block(generator), *map(ord, " .,'-")]
            if kind == 1:
                codes += [*_block(generator), *range(0x300, 0x330), 0x200D]
        else:
            last = 0xFFFF if kind == 2 else sys.maxunicode
            codes = [generator.randint(0, last) for _ in range(80)]
        alphabet = [chr(code) for code in codes if code not in _SURROGATES]
        texts.append("".join(generator.choices(alphabet, k=generator.randint(1, _LONGEST))))
    return texts


def _block(generator: random.Random) -> range:
    """A stretch of code points in the planes where there are characters."""
    start = generator.choice((generator.randrange(0x3400), generator.randrange(0x1FC00)))
    return range(start, start + _BLOCK)


def _piece(generator: random.Random, listed: list[str]) -> str:
    text = generator.choice(listed)
    start = generator.randrange(len(text))
    return text[start : start + generator.randint(1, 12)]
