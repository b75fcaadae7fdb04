"""Errors that are a person's to mend."""

from __future__ import annotations


class UserError(Exception):
    """A person's mistake: one line that names the argument, the value and the remedy. Ends with exit status 2."""


class Busy(UserError):
    """The run is being worked on by another process."""


class Unready(Exception):
    """What is to be done needs a run whose net is not there: nobody's mistake in this place, and one line all the same."""


class Interrupted(Exception):
    """The run was asked to stop, saved its state and can go on."""
