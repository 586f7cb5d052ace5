"""Lists of labels that were written as text, such as `['joy', 'love']` in a cell of CSV.

Data frames and JSON write them so. Tuples and sets of Python count as lists.
"""

import ast
import json
import re

_STRING = r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
_ITEM = rf"(?:{_STRING}|-?\d+)"
_ITEMS = rf"\s*(?:{_ITEM}\s*(?:,\s*{_ITEM}\s*)*(?:,\s*)?)?"
_LIST = re.compile(rf"\s*(?:\[{_ITEMS}\]|\({_ITEMS}\)|\{{{_ITEMS}\}})\s*", re.DOTALL)
# What begins with a quote or holds numbers alone is meant as a list, even if it cannot be read,
# such as ['joy' 'love'] of NumPy. A label such as [urgent] is none.
_MEANT = re.compile(
    r"""\s*(?:\[\s*\]|\(\s*\)|\{\s*\}|\[[-\d,\s]*\]|\[\s*['"].*\]|\(\s*['"].*\)|\{\s*['"].*\})\s*""",
    re.DOTALL,
)


def is_list(text: str) -> bool:
    """Whether a text is meant as a list.

    >>> is_list("['joy', 'love']"), is_list("['joy' 'love']"), is_list("[urgent]")
    (True, True, False)
    """
    return text.lstrip()[:1] in ("[", "(", "{") and _MEANT.fullmatch(text) is not None


def parse_list(text: str) -> list[object] | None:
    r"""The items of a list that was written as JSON or in Python; None if it is not readable.

    >>> parse_list("['joy', \"it's\", 3]"), parse_list("['joy' 'love']")
    (['joy', "it's", 3], None)

    Args:
        text: A text that is meant as a list; see `is_list`.
    """
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        # Python would join two strings without a comma between them to one.
        if _LIST.fullmatch(text) is None:
            return None
        try:
            return [ast.literal_eval(item) for item in re.findall(_ITEM, text, re.DOTALL)]
        except (ValueError, SyntaxError):
            return None
    return values if isinstance(values, list) else None
