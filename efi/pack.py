#!/usr/bin/env python3
"""pack.py KERNEL.ELF PACKED: pack the kernel for efi/unpack.c, which says what the format is.

The deflate data is made by zopfli, which finds smaller ones than zlib; what comes out is unpacked again here."""
import struct
import subprocess
import sys
import zlib

MAGIC = b"QLK\1"
PT_LOAD, PF_X = 1, 1
CALL, JUMP = 0xE8, 0xE9
SEARCH_MARGIN = 12  # unpack.c looks for opcodes in eight bytes at once; none that it could not is converted
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


def convert(code, sign):
    """Make calls and jumps within 16 MiB absolute: add the position (sign 1) to relative operands, or take it off again (-1)."""
    code = bytearray(code)
    at = 0
    while at + SEARCH_MARGIN < len(code):
        at += 1
        if code[at - 1] not in (CALL, JUMP):
            continue
        if code[at + 3] in (0x00, 0xFF):
            value, = struct.unpack_from("<I", code, at)
            value = (value + sign * at + (1 << 24)) % (1 << 25) - (1 << 24)
            struct.pack_into("<i", code, at, value)
        at += 4  # whatever it is: what is looked at must not depend on what was converted
    return code


def sum_of(data):
    whole = len(data) // 8 * 8
    result = len(data)
    for word, in struct.iter_unpack("<Q", data[:whole]):
        result = (result << 11 | result >> 53) + word & MASK
    return result ^ int.from_bytes(data[whole:], "little")


def main():
    source, target = sys.argv[1:]
    elf = open(source, "rb").read()
    begin, end = code_of(elf)
    if end > len(elf):
        sys.exit(f"{source}: the code ends at {end:#x}, beyond the end of the file")
    with open(target + ".tmp", "wb") as file:
        file.write(elf[:begin] + convert(elf[begin:end], 1) + elf[end:])
    data = subprocess.run(["zopfli", "--deflate", "-c", file.name], check=True, capture_output=True).stdout
    back = zlib.decompress(data, -15)
    if back[:begin] + convert(back[begin:end], -1) + back[end:] != elf:
        sys.exit(f"{source}: does not come back from being packed")
    with open(target, "wb") as file:
        file.write(MAGIC + struct.pack("<IIIQ", len(elf), begin, end, sum_of(elf)) + data)


if __name__ == "__main__":
    main()
