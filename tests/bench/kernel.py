"""The kernel's own benchmarks on a virtual machine that counts: every instruction takes the same time, so the
figures are instructions and come out the same again. And what the start of the frame allocator takes, from 64
MiB to 1 TiB. Called by `make bench-kernel`; environment: SUITE (frames, pages, heap; without it all), ROWS (part of a
row's name), SMP (CPUs that pages are shared by), MEM (MiB), SHIFT.

On several CPUs QEMU lets one run for a while, then the next: that shows what a call costs on all of them together,
and nothing of how they get in each other's way. For that there are `make bench-frames` and the command on a real
machine."""
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "boot"))
from qemu import Machine  # noqa: E402

SHIFT = int(os.environ.get("SHIFT") or 3)  # an instruction takes 2^SHIFT ns
MEM = int(os.environ.get("MEM") or 1024)
SMP = int(os.environ.get("SMP") or 4)
SUITE = os.environ.get("SUITE") or ""
ROWS = os.environ.get("ROWS") or ""
SHARED = ["fault-lazy", "shootdown"]  # rows of pages that are about several CPUs
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


def table(machine, suite, rows):
    """The table as it comes; True if nothing was wrong."""
    start = len(machine.text)
    machine.send(f"bench {suite} {rows}\r")
    at = machine.expect(r"workload\tunit.*\n|means nothing.*\n", start).end()
    if "means nothing" in machine.text[start:at]:
        print(f"# {suite} has no row {rows}")
        return False
    while True:
        line = machine.expect(r"(.*)\r\n", at)
        at = line.end()
        if line.group(1).count("\t") == 5:
            print_line(line.group(1))
        else:
            print(re.sub(r"\x1b\[\d*m", "", line.group(1)), flush=True)
        if line.group(1).startswith("# memory"):
            return "as found" in line.group(1)


def bench(suite, cpus, rows):
    print(f"# {suite}: {MEM} MiB, CPUs: {cpus}, one at a time; instructions of a call", flush=True)
    print("workload\tunit\tours\tbaseline\ttheirs\tratio")
    with guest(MEM, COUNTING, smp=cpus, arguments="kaslr=off") as machine:
        machine.expect("quicklime>")
        return all([table(machine, suite, row) for row in rows])


def bench_pages():
    """What one CPU does by itself, where no other is asked for anything; then what several have together."""
    good = bench("pages", 1, [ROWS])
    shared = [max(ROWS, row, key=len) for row in SHARED if ROWS in row or row in ROWS]
    return (not shared or bench("pages", SMP, shared)) and good


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
    good = SUITE not in ("", "frames") or bench("frames", 2, [ROWS])
    good = (SUITE not in ("", "pages") or bench_pages()) and good
    good = (SUITE not in ("", "heap") or bench("heap", 2, [ROWS])) and good
    if not ROWS and SUITE in ("", "frames"):
        start_up()
    sys.exit(0 if good else 1)
