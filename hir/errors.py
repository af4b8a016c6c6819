"""The one exception for what a user can do wrong. The command line prints it as one line and exits with 2."""

import errno
import os
import sys
import textwrap
from contextlib import suppress


class UserError(Exception):
    """A mistake in the user's input; the message says what is wrong and what to do."""

    def __str__(self) -> str:
        """The message as one line that no value in it, such as a whole file, can garble or draw out."""
        text = super().__str__()
        text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
        return text if len(text) <= 600 else f"{text[:450]} … {text[-120:]}"


def reason(error: BaseException) -> str:
    """What a library says, which may be of many lines, or nothing."""
    return textwrap.shorten(str(error), 240) or type(error).__name__


def exit_code(error: UserError | OSError) -> int:
    """Say in one line what is wrong, and what to end with: 2, or 141 where the output's reader has gone."""
    if isinstance(error, OSError):
        with suppress(OSError, AttributeError):  # what is left to print would fail too
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if error.errno == errno.EPIPE:
            return 141  # as if SIGPIPE had ended it
    print(f"error: {UserError(error)}", file=sys.stderr)
    return 2
