"""Errors that are a person's to mend."""

from __future__ import annotations


class UserError(Exception):
    """A person's mistake: one line that names the argument, the value and the remedy. Ends with exit status 2."""


class Busy(UserError):
    """The run is being worked on by another process."""


class Interrupted(Exception):
    """The run was asked to stop, saved its state and can go on."""
