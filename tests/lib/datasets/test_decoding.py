"""Decoding: every kind of image becomes uint8 RGB, or is refused with a reason; nothing else ever happens."""

from __future__ import annotations

import io
import resource
import struct
import subprocess
import sys
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lib.datasets.decoding import Decoder, UnreadableError
from lib.datasets.shrinking import Shrink

NOISE = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)


def encoded(picture: Image.Image, form: str, **options) -> bytes:
    content = io.BytesIO()
    picture.save(content, form, **options)
    return content.getvalue()


def png(width: int, height: int, depth: int, colour: int, rows: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG written by hand, for what Pillow cannot write; `rows` with a filter byte before each."""
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)), *chunks]
    parts += [(b"IDAT", zlib.compress(rows, 1)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in parts
    )


@pytest.fixture(scope="module")
def decode() -> Decoder:
    return Decoder()


@pytest.mark.parametrize(
    ("mode", "form"),
    [
        *((mode, "PNG") for mode in ("RGB", "L", "P", "RGBA", "LA", "1")),
        *((mode, "TIFF") for mode in ("CMYK", "YCbCr", "RGBA")),
        *((mode, "JPEG") for mode in ("RGB", "L", "CMYK")),
        *(("RGB", form) for form in ("GIF", "WEBP", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000", "TGA")),
    ],
)
def test_every_colour_mode_and_format_becomes_rgb(decode, mode, form):
    image = decode(encoded(Image.new("RGB", (16, 8), (128, 128, 128)).convert(mode), form))
    assert (image.shape, image.dtype) == ((8, 16, 3), np.uint8)
    assert abs(int(image.mean()) - 128) <= 3


def test_pixels_of_a_lossless_image_are_kept(decode):
    np.testing.assert_array_equal(decode(encoded(Image.fromarray(NOISE), "PNG")), NOISE)


class TestSixteenBits:
    VALUES = np.array([[0x0000, 0x00FF, 0x80FF], [0x8000, 0xFFFF, 0x1234]], np.uint16)

    @pytest.mark.parametrize("form", ["PNG", "TIFF", "PPM"])
    def test_grey_is_cut_to_its_high_bytes(self, decode, form):
        image = decode(encoded(Image.fromarray(self.VALUES), form))
        np.testing.assert_array_equal(image, np.repeat((self.VALUES >> 8)[:, :, None], 3, axis=2))

    def test_big_endian_tiff_too(self, decode):
        image = decode(encoded(Image.fromarray(self.VALUES.astype(">u2")), "TIFF"))
        np.testing.assert_array_equal(image[:, :, 0], self.VALUES >> 8)

    def test_a_transparent_grey_is_laid_on_white(self, decode):
        rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in self.VALUES)
        image = decode(png(3, 2, 16, 0, rows, (b"tRNS", struct.pack(">H", 0x1234))))
        assert image[1, 2].tolist() == [255, 255, 255]
        assert image[0].tolist() == [[0] * 3, [0] * 3, [128] * 3]

    @pytest.mark.parametrize(("colour", "channels"), [(2, 3), (6, 4)])
    def test_colour_png_is_cut_to_its_high_bytes_by_pillow(self, decode, colour, channels):
        values = np.random.default_rng(0).integers(0, 1 << 16, (2, 3, channels), np.uint16)
        values[:, :, 3:] = 0xFFFF
        rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
        np.testing.assert_array_equal(decode(png(3, 2, 16, colour, rows)), values[:, :, :3] >> 8)

    def test_colour_tiff_too(self, decode):
        # A baseline TIFF of 1x1 pixels written by hand, for Pillow writes no 16-bit colour.
        fields = {256: 1, 257: 1, 258: None, 259: 1, 262: 2, 273: None, 277: 3, 278: 1, 279: 6}
        after = 8 + 2 + 12 * len(fields) + 4
        directory = struct.pack("<H", len(fields))
        for tag, value in fields.items():
            if tag == 258:
                directory += struct.pack("<HHII", tag, 3, 3, after)
            else:
                directory += struct.pack("<HHII", tag, 3, 1, after + 6 if tag == 273 else value)
        pixels = struct.pack("<3H", 0x12FF, 0x8000, 0xFFFF)
        image = decode(b"II*\0" + struct.pack("<I", 8) + directory + bytes(4) + struct.pack("<3H", 16, 16, 16) + pixels)
        assert image.tolist() == [[[0x12, 0x80, 0xFF]]]

    @pytest.mark.parametrize("mode", ["F", "I"])
    def test_thirty_two_bits_are_refused_by_name(self, decode, mode):
        with pytest.raises(UnreadableError, match=rf"32-bit pixels \(mode {mode}\) have no agreed white"):
            decode(encoded(Image.new(mode, (4, 4)), "TIFF"))


class TestTransparency:
    @pytest.mark.parametrize("mode", ["RGBA", "LA"])
    def test_is_laid_on_white(self, decode, mode):
        clear = Image.new("RGBA", (2, 2), (0, 0, 0, 0)).convert(mode)
        assert (decode(encoded(clear, "PNG")) == 255).all()
        half = Image.new("RGBA", (2, 2), (0, 0, 0, 128)).convert(mode)
        assert (decode(encoded(half, "PNG")) == 127).all()

    def test_of_a_palette_colour_is_laid_on_white(self, decode):
        picture = Image.new("P", (2, 1), 0)
        picture.putpalette([0, 0, 0, 200, 10, 10])
        picture.putpixel((1, 0), 1)
        for form in ("PNG", "GIF"):
            image = decode(encoded(picture, form, transparency=0))
            assert image.tolist() == [[[255, 255, 255], [200, 10, 10]]]

    def test_of_one_colour_is_laid_on_white(self, decode):
        rows = b"\0" + bytes([1, 2, 3, 9, 9, 9])
        image = decode(png(2, 1, 8, 2, rows, (b"tRNS", struct.pack(">3H", 1, 2, 3))))
        assert image.tolist() == [[[255, 255, 255], [9, 9, 9]]]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_the_orientation_of_exif_is_applied(decode, orientation, form):
    upright = np.zeros((8, 16, 3), np.uint8)
    upright[:4, :8] = 255  # white in the upper left
    stored = {  # as a camera held so would have written it
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = decode(encoded(Image.fromarray(np.ascontiguousarray(stored)), form, exif=exif))
    assert image.shape == upright.shape
    assert abs(image.astype(int) - upright).mean() < 10


class TestSeveralFrames:
    @pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG", "TIFF"])
    def test_the_first_is_taken_and_the_others_are_told(self, decode, form):
        first, second = Image.new("RGB", (8, 8), "red"), Image.new("RGB", (8, 8), "blue")
        several = encoded(first, form, save_all=True, append_images=[second])
        for data, more in ((several, True), (encoded(first, form), False)):
            decoded = decode.inspect(data)
            assert decoded.several_frames is more
            red = decoded.pixels[4, 4].astype(int)
            assert red[0] > 240
            assert red[2] < 15

    def test_a_photograph_with_a_preview_is_one_image(self, decode):
        first, second = Image.fromarray(NOISE), Image.new("RGB", (8, 8))
        assert not decode.inspect(encoded(first, "MPO", save_all=True, append_images=[second])).several_frames


class TestPoison:
    @pytest.mark.parametrize(
        ("data", "reason"),
        [
            (b"", "the file is empty"),
            (b"not an image", "not an image that Pillow knows"),
            (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image that Pillow knows"),  # runs a program
            (encoded(Image.fromarray(NOISE), "JPEG")[:-60], "truncated"),
            (encoded(Image.fromarray(NOISE), "PNG")[:400], "truncated"),
            (b"\x89PNG\r\n\x1a\n" + bytes(60), "a PNG file that is damaged"),
        ],
        ids=["empty", "words", "eps", "cut jpeg", "cut png", "zeros"],
    )
    def test_is_refused_with_its_reason(self, decode, data, reason):
        with pytest.raises(UnreadableError, match=reason):
            decode(data)

    def test_a_flipped_byte_in_a_png_is_found_by_its_checksum(self, decode):
        data = bytearray(encoded(Image.fromarray(NOISE), "PNG"))
        data[len(data) // 2] ^= 1
        with pytest.raises(UnreadableError):
            decode(bytes(data))

    @given(st.data())
    @settings(max_examples=150, deadline=None)
    def test_whatever_the_bytes_there_is_an_image_or_a_reason(self, data):
        form = data.draw(st.sampled_from(["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "TGA", "ICO"]))
        content = bytearray(encoded(Image.fromarray(NOISE), form))
        for place in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=8)):
            content[place] = data.draw(st.integers(0, 255))
        content = content[: data.draw(st.integers(0, len(content)))]
        try:
            image = Decoder(1 << 20).inspect(bytes(content)).pixels
        except UnreadableError as problem:
            told = str(problem)
        else:
            told = f"{image.dtype} of {image.shape[2]}"
        assert told
        assert "\n" not in told


class TestBombs:
    def test_the_limit_is_in_pixels_and_may_be_set(self):
        data = encoded(Image.new("1", (400, 300)), "PNG")
        assert Decoder(120_000)(data).shape == (300, 400, 3)
        with pytest.raises(UnreadableError, match="400x300 pixels, more than largest_pixels 119,999"):
            Decoder(119_999)(data)

    @pytest.mark.parametrize("side", [10_000, 30_000, 60_000])  # above the limit; above twice; of 10 GiB
    def test_are_refused_by_their_header_without_a_warning_or_memory(self, side):
        data = png(side, side, 8, 2, b"\0" * 10_000)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            decode = Decoder()
            with pytest.raises(UnreadableError, match="decompression bomb"):
                decode(data)
        assert told == []
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000

    def test_a_higher_limit_goes_beyond_pillow_s(self):
        script = (
            "from lib.datasets.decoding import Decoder; from PIL import Image; import io\n"
            "content = io.BytesIO(); Image.new('1', (20_000, 10_000)).save(content, 'PNG')\n"
            "print(Decoder(200_000_000)(content.getvalue()).shape)"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        assert (done.stdout, done.stderr) == ("(10000, 20000, 3)\n", "")

    def test_one_within_an_image_is_found(self, decode):
        inner = png(60_000, 60_000, 8, 2, b"\0")
        icon = struct.pack("<HHHBBBBHHII", 0, 1, 1, 16, 16, 0, 0, 1, 32, len(inner), 22) + inner
        with pytest.raises(UnreadableError, match="decompression bomb"):
            decode(icon)


def test_threads_decode_what_one_decodes(decode):
    files = [encoded(Image.fromarray(np.roll(NOISE, shift, 0)), "JPEG") for shift in range(24)]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(decode, files * 4))
    for image, data in zip(together, files * 4, strict=True):
        np.testing.assert_array_equal(image, decode(data))


@pytest.mark.parametrize(
    ("size", "side", "expected"),
    [
        ((2100, 1400), 512, (1050, 700)),
        ((4096, 2200), 512, (1024, 550)),
        ((1400, 2100), 300, (350, 525)),
        ((1023, 1023), 512, (1023, 1023)),
        ((2100, 1400), None, (2100, 1400)),
    ],
)
def test_a_large_jpeg_is_decoded_at_the_smallest_scale_that_leaves_its_side(size, side, expected):
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (7, 9, 3), np.uint8)).resize(size)
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=95)
    pixels = Decoder(scaled_side=side)(content.getvalue())
    assert pixels.shape[1::-1] == expected
    plain = np.asarray(Image.open(content).convert("RGB").resize(expected, Image.Resampling.BOX)).astype(int)
    assert np.abs(pixels - plain).mean() < 1.5


def test_a_png_is_decoded_whole_and_a_turned_photo_is_turned():
    content, turned = io.BytesIO(), io.BytesIO()
    picture = Image.new("RGB", (1400, 2100), "red")
    picture.save(content, "PNG")
    assert Decoder(scaled_side=300)(content.getvalue()).shape == (2100, 1400, 3)
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(turned, "JPEG", exif=exif)
    assert Decoder(scaled_side=300)(turned.getvalue()).shape == (350, 525, 3)


def test_pixels_of_a_very_large_image_are_a_view_and_its_digest_that_of_the_file():
    values = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    picture = Image.fromarray(values).resize((2500, 2000), Image.Resampling.NEAREST)
    files = {}
    for level in (0, 1):
        content = io.BytesIO()
        picture.save(content, "PNG", compress_level=level)
        files[level] = content.getvalue()
    decode = Decoder()
    pixels = [decode(content) for content in files.values()]
    assert not pixels[0].flags.owndata
    np.testing.assert_array_equal(pixels[0], np.asarray(picture))
    np.testing.assert_array_equal(*pixels)
    digests = [decode.digest(content, seen) for content, seen in zip(files.values(), pixels, strict=True)]
    assert digests[0] != digests[1]
    assert digests[0] != Decoder(scaled_side=512).digest(files[0], pixels[0]), "the decoder is part of it"
    small = [Shrink(64)(seen) for seen in (*pixels, np.asarray(picture))]
    np.testing.assert_array_equal(small[0], small[1])
    np.testing.assert_array_equal(small[0], small[2])
