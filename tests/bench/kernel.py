"""The kernel's own benchmark on a virtual machine that counts: every instruction takes the same time, so the
figures are instructions and come out the same again. And what the start of the frame allocator takes, from 64
MiB to 1 TiB. Called by `make bench-kernel`; environment: ROWS (part of a row's name), MEM (MiB), SHIFT.

On two CPUs QEMU lets one run for a while, then the other: that shows what a call costs on either, and nothing
of how they get in each other's way. For that there are `make bench-frames` and the command on a real machine."""
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "boot"))
from qemu import Machine  # noqa: E402

SHIFT = int(os.environ.get("SHIFT") or 3)  # an instruction takes 2^SHIFT ns
MEM = int(os.environ.get("MEM") or 1024)
ROWS = os.environ.get("ROWS") or ""
COUNTING = ["-icount", f"shift={SHIFT},sleep=off"]
LIMIT = 900
SIZES = [64, 512, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20]  # MiB


def guest(memory, extra=(), **machine):
    """A machine with that much memory, of which the host needs no more than is touched."""
    return Machine(memory=memory, machine="q35,memory-backend=m", cpu="max,phys-bits=42,pdpe1gb=on", limit=LIMIT,
                   extra=["-object", f"memory-backend-ram,id=m,size={memory}M,reserve=off", *extra], **machine)


def number(text):
    """A figure of the kernel's, in instructions."""
    value = float(text) / (1 << SHIFT)
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f}"


def print_line(line):
    row, unit, ours, baseline, theirs, ratio = line.split("\t")
    if unit == "ns":
        unit = "instr"
        ours, baseline = (value if value == "-" else number(value) for value in (ours, baseline))
    print(row, unit, ours, baseline, theirs, ratio, sep="\t", flush=True)


def bench():
    """The table as it comes; True if nothing was wrong."""
    print(f"# {MEM} MiB, 2 CPUs, one at a time; instructions of a call", flush=True)
    with guest(MEM, COUNTING, smp=2, arguments="kaslr=off") as machine:
        machine.expect("quicklime>")
        machine.send(f"bench frames {ROWS}\r")
        at = machine.expect(r"workload\tunit.*\n|means nothing").end()
        print("workload\tunit\tours\tbaseline\ttheirs\tratio")
        while True:
            line = machine.expect(r"(.*)\r\n", at)
            at = line.end()
            if line.group(1).count("\t") == 5:
                print_line(line.group(1))
            else:
                print(re.sub(r"\x1b\[\d*m", "", line.group(1)), flush=True)
            if line.group(1).startswith("# memory"):
                return "as found" in line.group(1)


def init_nsec(memory, extra):
    with guest(memory, extra, arguments="kaslr=off report=json exit=debug") as machine:
        report = machine.report()
        assert machine.wait() == 1, machine.tail()
        return report["frames"]["init_nsec"]


def start_up():
    print("# pmm_init; ns: of this QEMU, once\nmemory\tinstr\tinstr/GiB\tns\tns/GiB")
    for memory in SIZES:
        instructions, ns = init_nsec(memory, COUNTING) >> SHIFT, init_nsec(memory, [])
        name = f"{memory} MiB" if memory < 1024 else f"{memory >> 10} GiB"
        print(name, instructions, instructions * 1024 // memory, ns, ns * 1024 // memory, sep="\t", flush=True)


if __name__ == "__main__":
    good = bench()
    if not ROWS:
        start_up()
    sys.exit(0 if good else 1)
