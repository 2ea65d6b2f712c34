"""Addresses as they may be shown: a user and a password in them are for the server that is asked, not for logs."""

from __future__ import annotations

import re

_CREDENTIALS = re.compile(r"(?<=://)[^\s/@'\"]+@")


def without_credentials(text: str) -> str:
    """`text` with the user and password of every address in it left out."""
    return _CREDENTIALS.sub("", text)
