"""Virtual memory on the real machine: what is mapped where, as the report, the prompt and a panic tell it,
on one and several CPUs, in little and in much memory."""
import re

import pytest

from qemu import KASAN, Machine
from shell import plain
from test_monitor import answer

PAGE = 4096
WINDOW, DEVICES, DEVICES_END = 0xFFFFC00000000000, 0xFFFFE00000000000, 0xFFFFF00000000000
GOOD = ("writable_executable", "user_in_kernel", "mapped_twice", "miscounted", "not_in_use")
LARGE, SMALL = (0x20000, 0x8000) if KASAN else (0x8000, 0x4000)
STACKS = {"stack": LARGE, "double fault stack": SMALL, "NMI stack": SMALL, "machine check stack": SMALL}


def boot(memory=256, smp=1, arguments="report=json exit=debug", **machine):
    with Machine(arguments=arguments, memory=memory, smp=smp, **machine) as guest:
        report = guest.report()
        assert guest.wait() == 1, guest.tail()
    assert report["self_check"]["failed"] == 0
    return report


def check_ranges(report):
    """By address; allocated ones in the windows only, each behind a page of nobody's."""
    end = 0
    for each in report["ranges"]:
        start = int(each["va"], 16)
        if each["allocated"]:
            assert WINDOW < start < DEVICES_END, each
            assert start >= end + PAGE, each
            pages = each["pages_4k"] + each["pages_2m"] * 512 + each["pages_1g"] * 512 * 512
            assert (pages + each["on_touch"] + each["reserved"]) * PAGE == each["bytes"], each
        else:
            assert not WINDOW <= start < DEVICES_END, each
            assert start >= end, each
        end = start + each["bytes"]


def check_spaces(report):
    kernel, audit, tables = report["spaces"][0], report["vmm_audit"], report["page_tables"]
    assert kernel["name"] == "kernel" and audit["spaces"] == len(report["spaces"])
    assert all(audit[what] == 0 for what in GOOD), audit
    assert all(tables[what] == 0 for what in ("writable_executable", "user", "outside_ranges", "mismatched"))
    for size in ("pages_4k", "pages_2m", "pages_1g"):
        assert kernel[size] == tables[size] and audit[size] >= kernel[size]
    assert kernel["tables"] == tables["tables"] <= audit["tables"]
    assert kernel["shared"] <= kernel["owned"] <= audit["owned"]
    assert kernel["faults"] > 0  # of the self-check's lazy pages


@pytest.mark.parametrize("memory, smp", [(56, 1), (256, 2), (256, 4), (64 << 10, 2)])
def test_ranges_and_spaces_of_any_machine(memory, smp):
    report = boot(memory, smp, machine="q35,memory-backend=m",
                  extra=["-object", f"memory-backend-ram,id=m,size={memory}M,reserve=off"])
    check_ranges(report)
    check_spaces(report)
    ranges = {each["name"]: each for each in report["ranges"] if each["allocated"]}
    for cpu in range(smp):
        for name, size in STACKS.items():
            stack = ranges.get(f"CPU {cpu} {name}")
            assert (stack is not None) == (cpu > 0), name  # the boot CPU's are in the image
            if stack:
                assert stack["bytes"] == size and stack["prot"] == "rw-" and stack["cache"] == "WB"
                assert stack["pages_4k"] * PAGE == size
    assert ranges["framebuffer"]["cache"] == "WC" and ranges["local APIC"]["cache"] == "UC"
    assert ranges["framebuffer"]["pa"] == report["framebuffer"]["base"]
    assert int(ranges["framebuffer"]["va"], 16) >= DEVICES


def test_stress_of_kernel_ranges():
    """More CPUs than the self-check takes, and more rounds."""
    with Machine(arguments="report=json exit=debug stress=20", smp=4,
                 extra=["-accel", "tcg,thread=single"], limit=300) as guest:
        report = guest.report()
        assert guest.wait() == 1, guest.tail()
        text = plain(guest.text)
    assert report["stress"]["failed"] == 0
    assert re.search(r"kernel ranges come and go on all CPUs +80 ranges +0 wrong", text), text
    assert re.search(r"all CPUs touch the same pages first +3840 touches +0 wrong", text), text
    check_ranges(report)
    check_spaces(report)


# ---- the prompt ------------------------------------------------------------------------------

STEP = re.compile(r"(?m)^  (PML5|PML4|PDPT|PD|PT) +at ([0-9a-f]{11}) \[ *(\d+)\]  ([0-9a-f]{16})  "
                  r"(page\r?\n +present.*?|.*?)\r?$")


def walk(machine, place):
    """What it says, and the entries from the root down: (level, slot, raw value, words)."""
    text = answer(machine, f"walk {place}")
    steps = [(level, int(slot), int(raw, 16), words) for level, _, slot, raw, words in STEP.findall(text)]
    return text, steps


def check_steps(address, steps):
    """The slots are those that the address says, and each entry but the last leads on."""
    shifts = {"PML5": 48, "PML4": 39, "PDPT": 30, "PD": 21, "PT": 12}
    for level, slot, raw, words in steps:
        assert slot == address >> shifts[level] & 511, (level, slot)
    for level, _, raw, words in steps[:-1]:
        assert words.startswith("table, ") and raw & 1, (level, words)


def test_walk_shows_every_entry():
    with Machine(arguments="kaslr=off", smp=2) as machine:
        machine.expect("quicklime>")
        text, steps = walk(machine, "kernel text")
        check_steps(0xFFFFFFFF80000000, steps)
        assert [step[0] for step in steps] == ["PML4", "PDPT", "PD", "PT"]
        assert steps[-1][2] & 3 == 1 and "writable" not in steps[-1][3] and "NX" not in steps[-1][3]
        assert "in kernel text" in text and re.search(r"physical [0-9a-f]+, page of 4 KiB: r-x WB", text)

        text, steps = walk(machine, "0xffffffff80000123")
        base = steps[-1][2] & 0xFFFFFFFFF000
        assert f"physical {base + 0x123:x}, page of 4 KiB" in text

        text, steps = walk(machine, "framebuffer")
        assert steps[-1][0] == "PD" and "writable" in steps[-1][3] and "NX" in steps[-1][3]
        assert re.search(r"page of 2 MiB: rw- WC", text)

        text, steps = walk(machine, "direct map")
        assert "in direct map" in text and re.search(r"page of \d+ [KMG]iB: rw- WB", text)

        text, _ = walk(machine, "boot stack guard")
        assert "in the boot stack guard page" in text and "no memory: nothing" in text

        text, _ = walk(machine, "CPU 1 NMI stack")
        assert "in CPU 1 NMI stack" in text and "of the range's own" in text
        start = int(re.search(r"([0-9a-f]{16}), in CPU 1 NMI stack", text).group(1), 16)
        text, steps = walk(machine, f"{start - 1:x}")
        check_steps(start - 1, steps)
        assert "in the guard page of CPU 1 NMI stack" in text and "no memory: a guard" in text
        assert "not present" in steps[-1][3] and steps[-1][2] & 1 == 0

        text, steps = walk(machine, "0")
        assert "in null page" in text and "no memory: nothing" in text
        text, steps = walk(machine, "0x400000")
        check_steps(0x400000, steps)
        assert "no memory: nothing" in text and re.search(r"the entry covers \d+ [KMG]iB", text)
        text, steps = walk(machine, "0x123456789abcdef0")
        assert not steps and "is not canonical" in text
        for wrong in ("", "0x", "nowhere", "12345678123456781"):
            assert f'"{wrong}" means nothing to "walk"' in answer(machine, f"walk {wrong}")


def test_walk_has_five_steps_where_the_cpu_has():
    with Machine(arguments="paging=5level kaslr=off") as machine:
        machine.expect("quicklime>")
        text, steps = walk(machine, "kernel text")
        assert [step[0] for step in steps] == ["PML5", "PML4", "PDPT", "PD", "PT"]
        check_steps(0xFFFFFFFF80000000, steps)


def test_ranges_can_be_filtered_and_spaces_are_listed():
    with Machine(arguments="", smp=2) as machine:
        machine.expect("quicklime>")
        whole = answer(machine, "ranges")
        stacks = answer(machine, "ranges CPU 1")
        assert all(f"  CPU 1 {name} " in whole and f"  CPU 1 {name} " in stacks for name in STACKS)
        assert "kernel text" in whole and "kernel text" not in stacks
        assert re.search(r"  framebuffer +[0-9a-f]{16} +[0-9a-f]{11} +\S+ MiB rw-   WC", whole)
        assert re.search(r"pages: \d+ of 4 KiB, \d+ of 2 MiB", answer(machine, "ranges framebuffer"))
        assert 'No range has "nonesuch" in its name' in answer(machine, "ranges nonesuch")
        spaces = answer(machine, "spaces")
        assert re.search(r"(?m)^  kernel +\d+ +\S+ [KMGT]iB ", spaces), spaces
        assert re.search(r"audit: \d+ frames of ranges, \d+ of them shared; all as it should be", spaces)
        assert "direct map" in answer(machine, "ranges direct m\t")
        for text in (whole, spaces, answer(machine, "walk framebuffer")):
            assert all(len(line.rstrip()) <= 80 for line in text.split("\n")), text


# ---- the panic -------------------------------------------------------------------------------

def test_a_stack_overflow_on_another_cpu_names_its_stack():
    with Machine(arguments="", smp=2) as machine:
        machine.expect("quicklime>")
        start = len(machine.text)
        machine.send("panic stack-overflow cpu=1\r")
        machine.expect("the machine is stopped", start)
        text = plain(machine.text[start:])
    assert re.search(r"panic: stack overflow: the guard page of CPU 1 stack was hit at 0x[0-9a-f]{16}", text), text
    assert re.search(r"(?m)^on CPU 1 of 2\r?$", text), text
    assert re.search(r"#\d+ 0x[0-9a-f]{16} recurse\+0x", text), text


def test_a_range_that_is_misused_on_another_cpu_is_named():
    with Machine(arguments="", smp=2) as machine:
        machine.expect("quicklime>")
        start = len(machine.text)
        machine.send("panic range-guard cpu=1\r")
        machine.expect("the machine is stopped", start)
        text = plain(machine.text[start:])
    assert re.search(r"panic: page fault: write to .* in the guard page of provoked", text), text
