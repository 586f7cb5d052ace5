"""The errors a user of any part of Gatewise may see, and what they have in common.

Every message is one line and says what was expected, what was received, where, and what to do.
Knows nothing of how a message reaches the user: the command line prints it, the HTTP service
turns it into a problem document.
"""


class GatewiseError(Exception):
    """A mistake in what was given to Gatewise, told in one line."""


class CorpusError(GatewiseError):
    """A data file that cannot be read, or rows in it that cannot be used."""


class TokenizerError(GatewiseError):
    """A dictionary that cannot be trained, or a `tokenizer.json` that cannot be used."""


class EmptyTextError(GatewiseError):
    """A text without a single token: it has no class, so no answer would be honest."""
