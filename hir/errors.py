"""The one exception for what a user can do wrong. The command line prints it as one line and exits with 2."""


class UserError(Exception):
    """A mistake in the user's input; the message says what is wrong and what to do."""

    def __str__(self) -> str:
        """The message as one line that no value in it, such as a whole file, can garble or draw out."""
        text = super().__str__()
        text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
        return text if len(text) <= 600 else f"{text[:450]} … {text[-120:]}"
