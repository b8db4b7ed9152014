"""How much work a boot is: guest instructions from the loader's first to the kernel's first, and from there
to a heap, counted by count.c in QEMU without an estimate in it; and the least memory that OVMF boots in.
Called by `make bench-boot`; prints a table, and for each stage the functions that take most."""
import bisect
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "boot"))
from qemu import BUILD, Machine, Timeout  # noqa: E402

PLUGIN = os.path.join(BUILD, "bench", "count.so")
OUT = os.path.join(BUILD, "bench", "counts")
TOP = int(os.environ.get("TOP", "4"))
TIB = 1 << 20  # in MiB
MACHINES = {
    "OVMF, 512 MiB": dict(memory=512, arguments="exit=debug"),
    "U-Boot, 512 MiB": dict(memory=512, firmware="u-boot", machine="pc"),
    "OVMF, 1 TiB": dict(memory=TIB, arguments="exit=debug", machine="q35,memory-backend=m",
                        cpu="max,phys-bits=42,pdpe1gb=on",
                        extra=["-object", f"memory-backend-ram,id=m,size={TIB}M,reserve=off"]),
}


def tool(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


class Program:
    """The symbols of an ELF file."""

    def __init__(self, name):
        self.path = os.path.join(BUILD, name)
        lines = (line.split() for line in tool("nm", "-n", self.path).splitlines())
        text = re.search(r"\.text +PROGBITS +(\w+) +\w+ +(\w+)", tool("readelf", "-SW", self.path))
        self.begin = int(text.group(1), 16)
        self.end = self.begin + int(text.group(2), 16)
        self.symbols = [(int(line[0], 16), line[2]) for line in lines if line[1] in "tT"]
        self.starts = [start for start, _ in self.symbols]

    def function(self, address):
        at = bisect.bisect_right(self.starts, address) - 1
        return self.symbols[at][1] if at >= 0 else "?"

    def address(self, name):
        return next(start for start, symbol in self.symbols if symbol == name)

    def beginning(self, name):
        """The code of a function up to what ends a block of QEMU's."""
        listing = tool("objdump", "-d", "-w", "--disassemble=" + name, self.path)
        code = ""
        for data, instruction in re.findall(r"(?m)^ +\w+:\t([0-9a-f ]+)\t(.*)", listing):
            if re.match(r"call|j|ret|lfence|rdtsc|mov .*,%cr", instruction):
                return code
            code += data.replace(" ", "")
        raise ValueError(f"{name} has no end")


class Boot:
    def __init__(self):
        self.stub, self.loader, self.kernel = (Program(name) for name in ("stub.so", "loader.so", "kernel.elf"))
        self.entries = [(self.stub, self.stub.address("efi_main")), (self.loader, self.loader.address("loader_main"))]
        listing = tool("objdump", "-d", "--no-show-raw-insn", "--disassemble=kmain", self.kernel.path)
        ready = re.search(r"call .*<memory_take_over>\s+(\w+):", listing).group(1)
        self.plugin = (f"{PLUGIN},out={OUT},stub={self.stub.beginning('efi_main')},"
                       f"loader={self.loader.beginning('loader_main')},mark={self.kernel.address('kernel_entry'):x},"
                       f"mark={ready}")

    def count(self, extra=(), **machine):
        """[{function: instructions}] of the loader's stage and the kernel's; firmware is None."""
        with Machine(extra=["-plugin", self.plugin, *extra], **machine) as guest:
            guest.expect(r"self-check: [1-9]\d* passed, 0 failed")
        stages = []
        with open(OUT, encoding="ascii") as lines:
            for line in lines:
                first, *rest = line.split()
                if first == "mark":
                    stages.append({})
                    programs = [(program, int(at, 16) - entry) for at, (program, entry) in zip(rest, self.entries)]
                else:
                    function = self.name(int(first, 16), programs)
                    stages[-1][function] = stages[-1].get(function, 0) + int(rest[0])
        assert len(stages) == 2, "a mark was not reached"
        return stages

    def name(self, address, programs):
        for program, base in programs:
            if program.begin <= address - base < program.end:
                return program.function(address - base)
        if address >= 0xFFFFFFFF80000000:
            return self.kernel.function(address)
        return "enter_kernel" if address >> 47 else None  # the bridge runs on in the direct map


def least_memory():
    """MiB; some less never boots, some more always does."""
    fails, boots = 16, 128
    while boots - fails > 1:
        middle = (fails + boots) // 2
        try:
            with Machine(memory=middle, arguments="exit=debug", limit=25) as guest:
                passed = guest.wait() == 1
        except Timeout:
            passed = False
        fails, boots = (fails, middle) if passed else (middle, boots)
    return boots


def main():
    boot = Boot()
    for name, machine in MACHINES.items():
        loader, kernel = boot.count(**machine)
        total = sum(loader.values())
        firmware = loader.pop(None, 0)
        print(f"{name}\n  loader {total - firmware:,}, with firmware calls {total:,}")
        for stage in loader, kernel:
            if stage is kernel:
                print(f"  kernel to heap ready {sum(kernel.values()):,}")
            for function in sorted(stage, key=stage.get, reverse=True)[:TOP]:
                print(f"    {stage[function]:>12,}  {function}")
    print(f"OVMF boots in {least_memory()} MiB")


if __name__ == "__main__":
    main()
