"""The one exception for what a user can do wrong. The command line prints it as one line and exits with 2."""

import errno
import os
import sys
from contextlib import suppress

OF_THE_MACHINE = """EACCES EBUSY EDQUOT EFBIG EIO ELOOP EMFILE ENAMETOOLONG ENFILE ENOSPC ENOTDIR EPERM EPIPE
EROFS ESTALE""".split()
"""What a disk or the system may answer to a program without a fault."""


class UserError(Exception):
    """A mistake in the user's input; the message says what is wrong and what to do."""

    def __str__(self) -> str:
        """The message as one line that no value in it, such as a whole file, can garble or draw out."""
        text = super().__str__()
        text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
        return text if len(text) <= 600 else f"{text[:450]} … {text[-120:]}"


def exit_code(error: UserError | OSError) -> int:
    """Say in one line what is wrong, for a program to end with: 2, or 141 where its output's reader has gone.

    Raises:
        OSError: this one, where it is a fault of the program.
    """
    if isinstance(error, OSError):
        if errno.errorcode.get(error.errno or 0) not in OF_THE_MACHINE:
            raise error
        with suppress(OSError, AttributeError):  # what is left to print would fail too
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if error.errno == errno.EPIPE:
            return 141  # as if SIGPIPE had ended it
    reason = f"{error.filename or 'the output'}: {error.strerror}" if isinstance(error, OSError) else error
    print(f"error: {UserError(reason)}", file=sys.stderr)
    return 2
