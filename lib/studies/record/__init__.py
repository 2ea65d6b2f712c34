"""What a study leaves on disk: one folder a study and key, with `record.json` written last as its seal.

The record holds the typed result; everything that is shown of a study anywhere is made from it, so showing it again never
computes it again. The key is a digest of settings and inputs: a change of either is another folder.
"""

from lib.studies.record.folder import StudyFolder, study_key
from lib.studies.record.identity import Identity, Origin, note_node_time, read_origin, write_origin
from lib.studies.record.reading import FORMAT, RECORD, is_finished, open_record, read_record

__all__ = [
    "FORMAT",
    "RECORD",
    "Identity",
    "Origin",
    "StudyFolder",
    "is_finished",
    "note_node_time",
    "open_record",
    "read_origin",
    "read_record",
    "study_key",
    "write_origin",
]
