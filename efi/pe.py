#!/usr/bin/env python3
"""pe.py LOADER.SO BOOTX64.EFI [KIB]: finish the PE that objcopy wrote, then check it; exit status 1 if it is
not what firmware that enforces memory protection (and Microsoft's signing rules) asks for.

Writes the ELF's relocations as base relocations, which the firmware applies, and sets NX_COMPAT and DYNAMIC_BASE in
DllCharacteristics: objcopy can do neither.
source: Microsoft "PE Format"; UEFI "UEFI Images"."""
import struct
import subprocess
import sys

NX_COMPAT, DYNAMIC_BASE = 0x100, 0x40
RELOC_NONE, RELOC_DIR64 = 0 << 12, 10 << 12
EXECUTE, READ, WRITE = 0x20000000, 0x40000000, 0x80000000
PAGE, SECTOR = 4096, 512  # alignment in memory, and in the file
# The whole file is read before its first instruction runs, from a slow stick or over a network, and stays in
# memory beside the firmware, in machines of 64 MiB too. What grows it beyond this is to be a decision.
BYTES_MAX = 192 * 1024


def header(pe):
    """Offsets of the COFF header and the optional header."""
    coff = struct.unpack_from("<I", pe, 0x3C)[0]
    if pe[:2] != b"MZ" or pe[coff:coff + 4] != b"PE\0\0":
        sys.exit("pe.py: not a PE file")
    return coff + 4, coff + 24


def sections(pe):
    coff, optional = header(pe)
    count, = struct.unpack_from("<H", pe, coff + 2)
    size, = struct.unpack_from("<H", pe, coff + 16)
    for i in range(count):
        at = optional + size + 40 * i
        name = pe[at:at + 8].rstrip(b"\0").decode()
        vsize, va, rawsize, raw = struct.unpack_from("<IIII", pe, at + 8)
        flags, = struct.unpack_from("<I", pe, at + 36)
        yield name, vsize, va, rawsize, raw, flags


def relocations(shared):
    """The addresses to relocate, and the lines about relocations of other kinds."""
    listing = subprocess.run(["readelf", "-rW", shared], capture_output=True, text=True, check=True)
    lines = [line for line in listing.stdout.splitlines() if "R_X86_64_" in line]
    return (sorted(int(line.split()[0], 16) for line in lines if "R_X86_64_RELATIVE" in line),
            [line.strip() for line in lines if "R_X86_64_RELATIVE" not in line])


def relocation_blocks(addresses):
    """Base relocations: for each page a header and 16 bits for each address in it; an even number of them.
    One block at least: who has none is taken for a program that must not be moved."""
    blocks = b""
    for page in sorted({address // PAGE for address in addresses} or {1}):
        entries = [RELOC_DIR64 | address % PAGE for address in addresses if address // PAGE == page]
        entries += [RELOC_NONE] * (len(entries) % 2)
        blocks += struct.pack(f"<II{len(entries)}H", page * PAGE, 8 + 2 * len(entries), *entries)
    return blocks


def write_relocations(pe, addresses):
    blocks = relocation_blocks(addresses)
    va, room, raw = next((va, vsize, raw) for name, vsize, va, _, raw, _ in sections(pe) if name == ".reloc")
    if len(blocks) > room:
        sys.exit(f"pe.py: {len(blocks)} bytes of base relocations, more than the {room} of efi/reloc.S")
    pe[raw:raw + room] = blocks.ljust(room, b"\0")
    struct.pack_into("<II", pe, header(pe)[1] + 112 + 5 * 8, va, len(blocks))


def problems(pe, foreign, bytes_max):
    coff, optional = header(pe)
    machine, = struct.unpack_from("<H", pe, coff)
    magic, = struct.unpack_from("<H", pe, optional)
    alignment, file_alignment = struct.unpack_from("<II", pe, optional + 32)
    subsystem, characteristics = struct.unpack_from("<HH", pe, optional + 68)
    reloc_rva, reloc_size = struct.unpack_from("<II", pe, optional + 112 + 5 * 8)
    if machine != 0x8664 or magic != 0x20B or subsystem not in (10, 11):
        yield f"machine {machine:#x}, magic {magic:#x}, subsystem {subsystem}: no x86-64 EFI application or driver"
    if alignment != PAGE or file_alignment != SECTOR:
        yield f"section alignment {alignment}, file alignment {file_alignment}: must be {PAGE}, {SECTOR}"
    if characteristics & (NX_COMPAT | DYNAMIC_BASE) != NX_COMPAT | DYNAMIC_BASE:
        yield f"DllCharacteristics {characteristics:#x}: NX_COMPAT and DYNAMIC_BASE must be set"
    if not reloc_rva or not reloc_size:
        yield "no base relocation table: firmware could not load the file at another address"
    if len(pe) > bytes_max:
        yield f"{len(pe)} bytes, more than the {bytes_max} that BYTES_MAX in efi/pe.py allows"
    names = set()
    for name, vsize, va, rawsize, raw, flags in sections(pe):
        names.add(name)
        if va % PAGE or raw % SECTOR:
            yield f"section {name}: address {va:#x} or file offset {raw:#x} is not aligned"
        if flags & EXECUTE and flags & WRITE:
            yield f"section {name}: writable and executable"
        if bool(flags & EXECUTE) != (name == ".text"):
            yield f"section {name}: only .text may be executable (flags {flags:#x})"
    for needed in (".text", ".reloc"):
        if needed not in names:
            yield f"section {needed} is missing"
    for line in foreign:
        yield f"relocation that a PE cannot have: {line}"


def main():
    shared, path, *kib = sys.argv[1:]
    bytes_max = int(kib[0]) * 1024 if kib else BYTES_MAX
    pe = bytearray(open(path, "rb").read())
    at = header(pe)[1] + 70
    struct.pack_into("<H", pe, at, struct.unpack_from("<H", pe, at)[0] | NX_COMPAT | DYNAMIC_BASE)
    addresses, foreign = relocations(shared)
    write_relocations(pe, addresses)
    found = list(problems(pe, foreign, bytes_max))
    for problem in found:
        print(f"{path}: {problem}", file=sys.stderr)
    if found:
        sys.exit(1)
    open(path, "wb").write(pe)
    print(f"{path}: {len(pe) / 1024:.0f} KiB of at most {bytes_max // 1024}, sections "
          + " ".join(name for name, *_ in sections(pe)) + ", W^X, page-aligned, NX_COMPAT")


if __name__ == "__main__":
    main()
