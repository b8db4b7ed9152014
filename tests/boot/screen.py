"""Reads the text off a picture of the kernel's console: cuts it into character cells and looks each one
up among the glyphs of the font that the console was built with. What is not exactly a glyph in two
colours reads as U+FFFD, so a drawing mistake of one pixel shows."""
import gzip
import os
import struct

FONTS = "/usr/share/consolefonts"


class Font:
    """A PSF1 or PSF2 font: {bitmap rows as a tuple of integers: character}."""

    def __init__(self, name):
        with gzip.open(os.path.join(FONTS, name + ".psf.gz")) as file:
            data = file.read()
        if data[:2] == b"\x36\x04":
            mode, self.height = data[2], data[3]
            self.width, count, at = 8, 512 if mode & 1 else 256, 4
            size, table = self.height, at + count * self.height
            names = self._psf1_names(data[table:], count)
        elif data[:4] == b"\x72\xb5\x4a\x86":
            _, at, _, count, size, self.height, self.width = struct.unpack_from("<7I", data, 4)
            names = self._psf2_names(data[at + count * size:], count)
        else:
            raise ValueError(f"{name} is no PSF font")
        stride = (self.width + 7) // 8
        self.glyphs = {}
        for i in reversed(range(count)):
            rows = data[at + i * size:at + (i + 1) * size]
            bitmap = tuple(int.from_bytes(rows[r:r + stride], "big") >> (stride * 8 - self.width)
                           for r in range(0, size, stride))
            if names[i]:
                self.glyphs[bitmap] = names[i][0]

    @staticmethod
    def _psf1_names(table, count):
        names, words = [[] for _ in range(count)], struct.unpack(f"<{len(table) // 2}H", table)
        i, sequence = 0, False
        for word in words:
            if word == 0xFFFF:
                i, sequence = i + 1, False
                if i == count:
                    break
            elif word == 0xFFFE:
                sequence = True
            elif not sequence:
                names[i].append(chr(word))
        return [sorted(each) for each in names]

    @staticmethod
    def _psf2_names(table, count):
        entries = table.split(b"\xff")[:count]
        return [sorted(entry.split(b"\xfe")[0].decode()) for entry in entries]


class Picture:
    """A binary PPM as QMP's screendump writes it."""

    def __init__(self, path):
        with open(path, "rb") as file:
            data = file.read()
        fields = data.split(maxsplit=4)
        assert fields[0] == b"P6" and fields[3] == b"255", fields[:4]
        self.width, self.height = int(fields[1]), int(fields[2])
        self.pixels = data[len(data) - 3 * self.width * self.height:]

    def at(self, x, y):
        offset = 3 * (y * self.width + x)
        return self.pixels[offset:offset + 3]


def cell(picture, font, x, y):
    """The character whose cell has its top left corner at pixel (x, y)."""
    colours, rows = [], []
    for dy in range(font.height):
        offset = 3 * ((y + dy) * picture.width + x)
        line = picture.pixels[offset:offset + 3 * font.width]
        row = 0
        for dx in range(font.width):
            colour = line[3 * dx:3 * dx + 3]
            if colour not in colours:
                colours.append(colour)
            row = row << 1 | colours.index(colour) if len(colours) <= 2 else 0
        rows.append(row)
    if len(colours) > 2:
        return "\ufffd"
    if len(colours) == 1:
        return " " if colours[0] == picture.at(0, 0) else "\u2588"
    full = (1 << font.width) - 1
    return (font.glyphs.get(tuple(rows)) or font.glyphs.get(tuple(full ^ row for row in rows))
            or "\ufffd")


def read(path, font, left=0, top=0):
    """The lines of text on the screen, trailing blanks removed."""
    picture = Picture(path)
    lines = []
    for y in range(top, picture.height - font.height + 1, font.height):
        lines.append("".join(cell(picture, font, x, y)
                             for x in range(left, picture.width - font.width + 1, font.width)).rstrip())
    return lines
