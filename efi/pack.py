#!/usr/bin/env python3
"""pack.py KERNEL.ELF PACKED: pack the kernel for efi/unpack.c, which says what the format is.

What comes out is unpacked again here."""
import lzma
import struct
import sys

MAGIC = b"QLK\4"
FINDERS, LENGTHS = (lzma.MF_BT2, lzma.MF_BT3, lzma.MF_BT4), (64, 128, 273)  # what is tried; the smallest is taken
PT_LOAD, PT_DYNAMIC, PF_X = 1, 2, 1
DT_RELA, DT_RELASZ, RELA_BYTES = 7, 8, 24
SIGNS, NO_OPCODE = (0x00, 0xFF), 0x40  # see filter.c
MASK = (1 << 64) - 1


def segments(elf, wanted):
    """(flags, where in the file, address, bytes in the file) of those of a kind."""
    table, = struct.unpack_from("<Q", elf, 32)
    size, count = struct.unpack_from("<HH", elf, 54)
    for at in range(table, table + size * count, size):
        kind, flags, offset, address, _, bytes_, *_ = struct.unpack_from("<IIQQQQQQ", elf, at)
        if kind == wanted:
            yield flags, offset, address, bytes_


def code_of(elf):
    """Where in the file its first executable segment is; nowhere if it has none."""
    return next(((at, at + bytes_) for flags, at, _, bytes_ in segments(elf, PT_LOAD) if flags & PF_X), (0, 0))


def rela_of(elf):
    """Where in the file its table of relocations is; nowhere if it has none."""
    dynamic = {}
    for _, at, _, bytes_ in segments(elf, PT_DYNAMIC):
        dynamic.update(struct.iter_unpack("<QQ", elf[at:at + bytes_ // 16 * 16]))
    where, size = dynamic.get(DT_RELA, 0), dynamic.get(DT_RELASZ, 0)
    for _, at, address, bytes_ in segments(elf, PT_LOAD):
        if address <= where and where + size <= address + bytes_:
            return at + where - address, at + where - address + size
    return 0, 0


def distances(rela):
    """The relocations with the distance from the one before for each address."""
    rela, before = bytearray(rela), 0
    for at in range(0, len(rela) // RELA_BYTES * RELA_BYTES, RELA_BYTES):
        address, = struct.unpack_from("<Q", rela, at)
        struct.pack_into("<Q", rela, at, address - before & MASK)
        before = address
    return rela


def addresses(rela):
    """The other direction."""
    rela, address = bytearray(rela), 0
    for at in range(0, len(rela) // RELA_BYTES * RELA_BYTES, RELA_BYTES):
        address = address + struct.unpack_from("<Q", rela, at)[0] & MASK
        struct.pack_into("<Q", rela, at, address)
    return rela


def has_operand(before, byte):
    """See has_operand in filter.c, which this must be the same as."""
    return byte & 0xFE == 0xE8 or byte & 0xC7 == 0x05 and (before & 0xF0 == 0x80 or before & 0xC4 == 0
                                                           or before & 0xC6 == 0xC6)


def absolute(operand, at):
    """An operand within 16 MiB with the position added, highest byte first. Others: as they are, but so that they
    are not taken for one of those."""
    if operand[3] in SIGNS:
        value = int.from_bytes(operand, "little", signed=True) + at
        return ((value + (1 << 24)) % (1 << 25) - (1 << 24)).to_bytes(4, "big", signed=True)
    return operand[::-1] if operand[0] in SIGNS else operand


def relative(operand, at):
    """The other direction."""
    if operand[0] in SIGNS:
        value = int.from_bytes(operand, "big", signed=True) - at
        return ((value + (1 << 24)) % (1 << 25) - (1 << 24)).to_bytes(4, "little", signed=True)
    return operand[::-1] if operand[3] in SIGNS else operand


def convert(code, operand):
    """Make the operands in code what the function makes of each and its position."""
    code = bytearray(code)
    at, before = 0, NO_OPCODE
    while at + 5 <= len(code):
        byte = code[at]
        at += 1
        if not has_operand(before, byte):
            before = byte
            continue
        code[at:at + 4] = operand(code[at:at + 4], at)
        at, before = at + 4, NO_OPCODE  # whatever it is: what is looked at must not depend on what was converted
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
    code, rela = slice(*code_of(elf)), slice(*rela_of(elf))
    for part in code, rela:
        if part.stop > len(elf):
            sys.exit(f"{source}: a part of it ends at {part.stop:#x}, beyond the end of the file")
    plain = bytearray(elf)
    plain[code] = convert(elf[code], absolute)
    plain[rela] = distances(elf[rela])
    data = min((lzma.compress(plain, lzma.FORMAT_RAW, filters=filters(finder, length))
                for finder in FINDERS for length in LENGTHS), key=len)
    back = bytearray(lzma.decompress(data, lzma.FORMAT_RAW, filters=filters(FINDERS[0], LENGTHS[0])))
    back[code], back[rela] = convert(back[code], relative), addresses(back[rela])
    if back != elf:
        sys.exit(f"{source}: does not come back from being packed")
    with open(target, "wb") as file:
        file.write(MAGIC + struct.pack("<IIIIIQ", len(elf), code.start, code.stop, rela.start, rela.stop, sum_of(elf)) + data)


if __name__ == "__main__":
    main()
