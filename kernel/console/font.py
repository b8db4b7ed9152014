#!/usr/bin/env python3
"""font.py: a console font from standard input (PSF1 or PSF2) to standard output, as PSF2 with its glyphs in the order
of what they show. So the fonts of a family have the same Unicode table, and pack better.
source: Linux kbd, "PSF" font file format."""
import struct
import sys

PSF1_MAGIC, PSF1_MODE_512, PSF1_MODE_TABLE, PSF1_SEQUENCE, PSF1_END = b"\x36\x04", 1, 6, 0xFFFE, 0xFFFF
PSF2_MAGIC, PSF2_HEADER_BYTES, PSF2_FLAG_TABLE, PSF2_SEQUENCE, PSF2_END = 0x864AB572, 32, 1, b"\xfe", b"\xff"


def read_psf1(data):
    """(width, height, glyphs, the characters that each shows)."""
    mode, height = data[2:4]
    count = 512 if mode & PSF1_MODE_512 else 256
    end = 4 + count * height
    words = [word for word, in struct.iter_unpack("<H", data[end:])]
    if not mode & PSF1_MODE_TABLE or PSF1_SEQUENCE in words or words.count(PSF1_END) != count:
        sys.exit("font.py: a font without a table, or one with sequences")
    shown = "".join(map(chr, words)).split(chr(PSF1_END))[:-1]
    return 8, height, [data[at:at + height] for at in range(4, end, height)], shown


def read_psf2(data):
    _, _, header, flags, count, size, height, width = struct.unpack_from("<8I", data)
    end = header + count * size
    table = data[end:]
    if not flags & PSF2_FLAG_TABLE or PSF2_SEQUENCE in table or table.count(PSF2_END) != count:
        sys.exit("font.py: a font without a table, or one with sequences")
    shown = [text.decode() for text in table.split(PSF2_END)[:-1]]
    return width, height, [data[at:at + size] for at in range(header, end, size)], shown


def main():
    data = sys.stdin.buffer.read()
    width, height, glyphs, shown = (read_psf1 if data.startswith(PSF1_MAGIC) else read_psf2)(data)
    ordered = sorted(("".join(sorted(characters)), glyph) for characters, glyph in zip(shown, glyphs))
    sys.stdout.buffer.write(
        struct.pack("<8I", PSF2_MAGIC, 0, PSF2_HEADER_BYTES, PSF2_FLAG_TABLE, len(glyphs), len(glyphs[0]), height, width)
        + b"".join(glyph for _, glyph in ordered)
        + b"".join(characters.encode() + PSF2_END for characters, _ in ordered))


if __name__ == "__main__":
    main()
