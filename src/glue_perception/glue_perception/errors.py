"""The one tree of errors. Every message says what was found and what to do about it.

The command line prints the message of a `GlueError` and exits with its `exit_code`; anything else is
a defect.
"""

from __future__ import annotations


class GlueError(Exception):
    """Base of all errors that a user can cause or mend."""

    exit_code = 1


class ConfigError(GlueError):
    """A configuration, command-line or YAML value is wrong; the message names the nearest valid one."""

    exit_code = 2


class InvalidValueError(GlueError, ValueError):
    """A value type was built from data of the wrong shape, dtype, range or with NaN."""


class QueryError(GlueError):
    """A text query matches nothing, is ambiguous, or the back-end cannot understand it."""

    exit_code = 3


class CheckpointError(GlueError):
    """A policy checkpoint is missing, corrupt, or made for another policy or action space."""

    exit_code = 4


class BagError(GlueError):
    """A bag cannot be read or lacks what is needed."""

    exit_code = 5


class RenderingError(GlueError):
    """No OpenGL library is available for off-screen rendering."""

    exit_code = 6


class HardwareError(GlueError):
    """Robot, gripper or camera (real or simulated) does not answer or reports a fault."""

    exit_code = 7


class NotReadyError(GlueError):
    """A component was used before it was started."""


class StaleDataError(GlueError):
    """Data is older than its limit and must not move the arm."""


class MissingDependencyError(GlueError):
    """An optional package is not installed; the message names the install command."""

    exit_code = 8


class WeightsError(GlueError):
    """Pretrained weights are missing, damaged, or cannot be fetched; the message names the file and the command."""

    exit_code = 9


class DatasetError(GlueError):
    """A dataset in another project's format cannot be read or written, or lacks what is needed."""

    exit_code = 10
