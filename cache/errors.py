"""The one exception meant for the person at the keyboard."""


class UserError(Exception):
    """Something the user can put right: what was expected, what was received, what to do next."""
