#!/usr/bin/env python3
"""check_elf.py KERNEL.ELF: what must hold for the kernel image; exit status 1 and a sentence if it does not.

Segments page-aligned and on pages of their own, none writable and executable; relocations RELATIVE only;
no instruction touches an SSE, MMX or x87 register; no undefined symbol."""
import re
import subprocess
import sys

PAGE = 4096
VECTOR = re.compile(r"%(x|y|z)?mm[0-9]|%st\b")


def output(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def segments(path):
    for line in output("readelf", "-lW", path).splitlines():
        fields = line.split()
        if fields and fields[0] == "LOAD":
            flags = "".join(fields[6:-1])
            yield int(fields[2], 16), int(fields[5], 16), flags


def problems(path):
    end = 0
    for address, size, flags in segments(path):
        if address % PAGE:
            yield f"segment at {address:#x} is not page-aligned"
        if address < end:
            yield f"segment at {address:#x} shares a page with the one before it"
        if "W" in flags and "E" in flags:
            yield f"segment at {address:#x} is writable and executable"
        end = (address + size + PAGE - 1) // PAGE * PAGE
    if not end:
        yield "no LOAD segment"
    for line in output("readelf", "-rW", path).splitlines():
        if "R_X86_64_" in line and "R_X86_64_RELATIVE" not in line:
            yield f"relocation that loaders need not know: {line.strip()}"
    for line in output("nm", "-u", path).splitlines():
        yield f"undefined symbol: {line.strip()}"
    for line in output("objdump", "-d", "--no-show-raw-insn", path).splitlines():
        if VECTOR.search(line):
            yield f"vector or x87 register: {line.strip()}"


def main():
    path = sys.argv[1]
    found = list(problems(path))
    for problem in found[:20]:
        print(f"{path}: {problem}", file=sys.stderr)
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
