#!/usr/bin/env python3
"""pack.py KERNEL.ELF PACKED: pack the kernel for efi/unpack.c, which says what the format is.

What comes out is unpacked again here."""
import lzma
import struct
import sys

MAGIC = b"QLK\2"
FINDERS, LENGTHS = (lzma.MF_BT2, lzma.MF_BT3, lzma.MF_BT4), (64, 128, 273)  # what is tried; the smallest is taken
PT_LOAD, PF_X = 1, 1
MASK = (1 << 64) - 1


def code_of(elf):
    """Where in the file its first executable segment is; nowhere if it has none."""
    table, = struct.unpack_from("<Q", elf, 32)
    size, count = struct.unpack_from("<HH", elf, 54)
    for at in range(table, table + size * count, size):
        kind, flags, offset, _, _, bytes_, *_ = struct.unpack_from("<IIQQQQQQ", elf, at)
        if kind == PT_LOAD and flags & PF_X:
            return offset, offset + bytes_
    return 0, 0


def has_operand(before, byte):
    """See has_operand in unpack.c, which this must be the same as."""
    return byte & 0xFE == 0xE8 or byte & 0xC7 == 0x05 and (before & 0xF0 == 0x80 or before & 0xC4 == 0)


def convert(code, sign):
    """Make operands within 16 MiB absolute: add the position (sign 1) to relative ones, or take it off again (-1)."""
    code = bytearray(code)
    at, before = 0, 0xFF
    while at + 5 <= len(code):
        byte = code[at]
        at += 1
        if not has_operand(before, byte):
            before = byte
            continue
        if code[at + 3] in (0x00, 0xFF):
            value, = struct.unpack_from("<I", code, at)
            value = (value + sign * at + (1 << 24)) % (1 << 25) - (1 << 24)
            struct.pack_into("<i", code, at, value)
        at, before = at + 4, 0xFF  # whatever it is: what is looked at must not depend on what was converted
    return code


def sum_of(data):
    whole = len(data) // 8 * 8
    result = len(data)
    for word, in struct.iter_unpack("<Q", data[:whole]):
        result = (result << 11 | result >> 53) + word & MASK
    return result ^ int.from_bytes(data[whole:], "little")


def filters(finder, length):
    """What lzma.h says of the data, and how hard to look for matches."""
    return [dict(id=lzma.FILTER_LZMA1, dict_size=1 << 24, lc=3, lp=0, pb=0, mode=lzma.MODE_NORMAL,
                 mf=finder, nice_len=length, depth=1000)]


def main():
    source, target = sys.argv[1:]
    elf = open(source, "rb").read()
    begin, end = code_of(elf)
    if end > len(elf):
        sys.exit(f"{source}: the code ends at {end:#x}, beyond the end of the file")
    plain = elf[:begin] + convert(elf[begin:end], 1) + elf[end:]
    data = min((lzma.compress(plain, lzma.FORMAT_RAW, filters=filters(finder, length))
                for finder in FINDERS for length in LENGTHS), key=len)
    back = lzma.decompress(data, lzma.FORMAT_RAW, filters=filters(FINDERS[0], LENGTHS[0]))
    if back[:begin] + convert(back[begin:end], -1) + back[end:] != elf:
        sys.exit(f"{source}: does not come back from being packed")
    with open(target, "wb") as file:
        file.write(MAGIC + struct.pack("<IIIQ", len(elf), begin, end, sum_of(elf)) + data)


if __name__ == "__main__":
    main()
