"""What is taken for an image: every format by its first bytes, as Pillow writes it, and endings in any case."""

from __future__ import annotations

import io

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lib.datasets.decoding import IMAGE_ENDINGS, Decoder
from lib.datasets.recognition import FORMATS, HEAD, format_of, is_hidden, is_image, named_as_image, named_as_images

WRITTEN = {
    **{"JPEG": "JPEG", "PNG": "PNG", "GIF": "GIF", "WEBP": "WebP", "TIFF": "TIFF", "BMP": "BMP", "PPM": "PNM"},
    **{"JPEG2000": "JPEG 2000", "AVIF": "AVIF", "ICO": "ICO"},
}
"""What Pillow calls a format, and what we call it."""


def encoded(form: str) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (32, 32), "red").save(content, form)
    return content.getvalue()


@pytest.mark.parametrize("form", WRITTEN)
def test_a_format_is_known_by_its_first_bytes(form):
    assert FORMATS[format_of(encoded(form)[:HEAD])] == WRITTEN[form]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no image",
        b"BMW and others",
        b"P1rates",
        b"RIFF....WAVE",
        b"%PDF-1.7",
        b"\xd0\xcf\x11\xe0",
        bytes(64),
        b"GIF",
    ],
)
def test_nothing_else_is(content):
    assert format_of(content) == 0
    assert not is_image(b"file", content, Decoder())
    assert is_image(b"file.jpg", content, Decoder())  # a damaged one


def test_an_image_needs_no_ending_and_no_known_beginning():
    content = io.BytesIO()
    Image.new("RGB", (4, 4)).save(content, "TGA")
    assert format_of(content.getvalue()) == 0
    assert is_image(b"file", content.getvalue(), Decoder())
    assert is_image(b"file", encoded("JPEG")[:40], Decoder())


def test_endings_are_known_in_any_case():
    assert all(named_as_image(f"a.{ending.upper()}".encode()) for ending in (*IMAGE_ENDINGS, "heic", "jfif"))
    assert not any(map(named_as_image, (b"jpg", b"a.txt", b"a.jpg.txt", b"a.\xff\xfe", b"a.", b"")))


@given(st.lists(st.sampled_from([b".JPG", b".jpeg", b".png", b"png", b".jpgx", b".\xff", b"\n", b".heic", b"a/b.gif"])))
def test_many_names_are_judged_as_each_alone(names):
    assert named_as_images(pa.array(names, pa.large_binary())).tolist() == [named_as_image(name) for name in names]


@pytest.mark.parametrize("name", [b".DS_Store", b"._a.jpg", b"Thumbs.db", b"DESKTOP.INI", b"__MACOSX", b"@eaDir"])
def test_what_systems_keep_is_hidden(name):
    assert is_hidden(name)


@pytest.mark.parametrize("name", [b".", b"..", b"a.jpg", b"thumbs", b"caf\xe9"])
def test_what_people_keep_is_not(name):
    assert not is_hidden(name)
