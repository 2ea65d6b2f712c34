"""Printed results and findings of an earlier study, as data, and one judge that holds a run against them.

Optional: a profile names what it is held against in `claims`; nothing else knows of it.
"""

from lib.reference.claims import Claims, claims_named, claims_names
from lib.reference.judge import judge
from lib.reference.judged import Judged
from lib.reference.words import judged_sections

__all__ = ["Claims", "Judged", "claims_named", "claims_names", "judge", "judged_sections"]
