"""The errors that a user of any part of Gatewise may see.

A message is one line that says what was expected, what was received, where, and what to do, in
words that fit every caller: the command line adds its flag, the HTTP service makes it a problem
document.
"""


class GatewiseError(Exception):
    """An error that the user can fix; its message is one line.

    Args:
        message: The message.
        option: The parameter whose value fixes the problem, under its Python name, such as
            `text_column`. The command line adds the flag of that name to the message.
    """

    def __init__(self, message: str, *, option: str | None = None) -> None:
        super().__init__(message)
        self.option = option


def first_line(error: Exception) -> str:
    """The first line of the message of a library's error, truncated; or its class."""
    return (str(error).strip().partition("\n")[0] or type(error).__name__)[:300]


class CorpusError(GatewiseError, ValueError):
    """A data file that cannot be read, or rows that cannot be used.

    It is a `ValueError` besides, as scikit-learn's callers expect of data that does not fit.
    """


class EmptyFileError(CorpusError):
    """A data file without a header or a line; among others, it is one without rows."""


class OutputError(GatewiseError):
    """An output that cannot be written, or that cannot be resumed."""


class ArgumentError(GatewiseError, ValueError):
    """An argument that does not fit the model or the input; also a `ValueError`."""


class TokenizerError(GatewiseError):
    """A tokenizer that cannot be trained, or a `tokenizer.json` that cannot be used."""


class EmptyTextError(GatewiseError, ValueError):
    """A text without a single token: it cannot be classified; also a `ValueError`."""


class TextsError(GatewiseError, TypeError, ValueError):
    """Something other than a sequence of texts, or a text that is missing or not a string.

    It is a `TypeError` and a `ValueError`, so that callers catch it as either.
    """


class SequenceError(TextsError):
    """Something other than a sequence of numbers, or one of other steps than the model reads."""
