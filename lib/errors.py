"""The errors a caller may act on. Each message is one line: the thing, its value, and the fix.

The command line prints the message and exits with status 2; a traceback is for bugs only.
"""


class ProbeflowError(Exception):
    """Bad input or a missing means, told in one line."""


class ConfigError(ProbeflowError):
    """A setting, profile or name that cannot be used."""


class DataError(ProbeflowError):
    """A dataset that is missing, damaged, or not what it claims to be."""


class AbsentError(DataError):
    """Data that would have to be fetched first."""


class ChangedError(DataError):
    """An image that is no longer what it was when it was verified; acquiring again verifies it anew."""


class LeakageError(DataError):
    """Test images that are also training images."""


class WeightsError(ProbeflowError):
    """Network weights that are missing or do not fit."""


class FeatureSetError(ProbeflowError):
    """A feature set that is unsealed, damaged, or not the one asked for."""


class StorageError(ProbeflowError):
    """A disk that is full, or a place that cannot be written."""


class WorkerError(ProbeflowError):
    """Work handed to another machine that did not come back."""
