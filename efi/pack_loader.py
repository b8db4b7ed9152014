#!/usr/bin/env python3
"""pack_loader.py LOADER.SO PACKED: pack the loader for efi/packed_loader.c, which says what the format is.

What it becomes must be what is linked now: the sections as they lie in memory, and nothing to relocate but words
of the data."""
import struct
import sys

import lz
import pack
import pe

MAGIC = b"QLL\1"
PAGE = 4096
SECTIONS = (".text", ".rodata", ".data", ".bss")  # in this order


def sections(elf):
    """{name: (address, bytes, where in the file)}"""
    table, = struct.unpack_from("<Q", elf, 40)
    size, count, names = struct.unpack_from("<HHH", elf, 58)
    headers = [struct.unpack_from("<IIQQQQ", elf, table + size * i) for i in range(count)]
    found = {}
    for name, _, _, address, offset, length in headers:
        at = headers[names][4] + name
        found[elf[at:elf.index(b"\0", at)].decode()] = address, length, offset
    return found


def relocation_list(addresses, data):
    """How far each is from the one before, the first from the data."""
    befores = [data] + addresses[:-1]
    return b"".join(struct.pack("<H", at - before) for at, before in zip(addresses, befores))


def main():
    source, target = sys.argv[1:]
    elf = open(source, "rb").read()
    found = sections(elf)
    (text, *_), (constants, *_), (data, data_bytes, _), (bss, bss_bytes, _) = (found[name] for name in SECTIONS)
    addresses, foreign = pe.relocations(source)
    if text or constants % PAGE or data % PAGE or foreign or any(not data <= a <= data + data_bytes - 8
                                                                 for a in addresses):
        sys.exit(f"{source}: is not laid out as efi/loader.ld says, or has relocations elsewhere than in .data")
    image = bytearray(data + data_bytes)
    for address, length, offset in (found[name] for name in SECTIONS[:3]):
        image[address:address + length] = elf[offset:offset + length]
    plain = pack.convert(image[:constants], pack.absolute) + image[constants:] + relocation_list(addresses, data)
    npages = -(-max(bss + bss_bytes, len(plain)) // PAGE)
    entry, = struct.unpack_from("<Q", elf, 24)
    with open(target, "wb") as file:
        file.write(MAGIC + struct.pack("<IIIIIQQ", npages, entry, constants, data, len(image), len(plain),
                                       pack.sum_of(plain)) + lz.pack(bytes(plain)))


if __name__ == "__main__":
    main()
