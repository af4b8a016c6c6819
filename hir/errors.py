"""The one exception for what a user can do wrong. The command line prints it as one line and exits with 2."""


class UserError(Exception):
    """A mistake in the user's input; the message says what is wrong and what to do."""
