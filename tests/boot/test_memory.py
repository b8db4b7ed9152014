"""Frames on machines of every size, under stress, in a kernel that checks more, and their benchmark."""
import os
import re
import subprocess

import pytest

import shell
from qemu import BUILD, EFI, MOST_MEMORY, Machine, esp
from shell import plain

MIB = 1 << 20
SLOW = 300
ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
ROW = re.compile(r"(?m)^([A-Za-z0-9%-]+/\d\S*)\t(ns|x|%)\t([\d.]+)\t([\d.]+)\t-\t([\d.]+)\r?$")
FOUND = r"# memory: (\d+) KiB used before, (\d+) KiB after: \S*as found"


def check_frames(report, memory):
    frames = report["frames"]
    assert frames["total_kib"] == frames["used_kib"] + frames["free_kib"]
    assert frames["cached_kib"] <= frames["free_kib"] and frames["retired_kib"] == 0
    assert frames["metadata_kib"] <= memory / 1024 * 40 + 64
    assert (memory - 32) * 1024 <= frames["total_kib"] <= memory * 1024
    runs = sum(n << order for order, n in enumerate(frames["free_by_order"]))
    assert abs(runs - frames["free"]) < 256  # the heap may come and go between the two
    of_nodes = [node["frames"]["free_by_order"] for node in report["nodes"]]
    assert [sum(each) for each in zip(*of_nodes)] == frames["free_by_order"]
    assert frames["init_nsec"] > 0


# The largest takes half a minute, for what is looked at frame by frame. QEMU gives memory only where it is touched.
@pytest.mark.parametrize("memory, phys_bits", [(64, 40), (16 << 10, 40), (MOST_MEMORY, 44)])
def test_memory_of_any_size_under_stress(memory, phys_bits):
    with Machine(memory=memory, smp=2, machine="q35,memory-backend=m", limit=SLOW,
                 cpu=f"max,phys-bits={phys_bits},pdpe1gb=on",
                 extra=["-object", f"memory-backend-ram,id=m,size={memory}M,reserve=off"],
                 arguments="report=json exit=debug stress=3") as machine:
        report = machine.report()
        assert machine.wait() == 1, machine.tail()
    assert report["self_check"]["failed"] == 0
    assert report["stress"] == {"passed": 11, "failed": 0}
    assert report["bench"] == {"failed": 0}
    check_frames(report, memory)


def boot_kernel(directory, kernel, cmdline, **machine):
    """Boot a kernel file with this command line; all that was said."""
    script = f"fs0:\r\nBOOTX64.EFI boot kernel=\\KERNEL.ELF -- {cmdline}\r\nreset -s\r\n".encode()
    disk = esp(str(directory), {"BOOTX64.EFI": EFI, "KERNEL.ELF": kernel, "startup.nsh": script})
    with Machine(firmware="disk", disk=disk, limit=SLOW, **machine) as guest:
        shell.skip_wait(guest)
        assert guest.wait() == 1, guest.tail()
        return plain(guest.text).replace("\r", "")


def test_debug_kernel_under_stress(tmp_path):
    """It checks locks, and that nobody has written to what was free."""
    build = os.path.join(BUILD, "debug")
    subprocess.run(["make", "-s", "-C", ROOT, f"BUILD={build}", "DEBUG=1", f"{build}/kernel.stripped"],
                   check=True, stdout=subprocess.DEVNULL, env={**os.environ, "MAKEFLAGS": "", "MAKELEVEL": "0"})
    text = boot_kernel(tmp_path, os.path.join(build, "kernel.stripped"), "exit=debug stress=3", smp=2)
    assert "stress: 2 CPUs, 3 rounds" in text and "stress: 11 passed, 0 failed" in text
    assert re.search(r"self-check: \d+ passed, 0 failed", text)


# ---- the benchmark ---------------------------------------------------------------------------

def check_table(text, names):
    rows = {row[0]: [float(number) for number in row[2:]] for row in ROW.findall(text)}
    assert set(rows) == names, text
    for name, (ours, baseline, ratio) in rows.items():
        assert ours > 0 and baseline > 0, name
        assert abs(ratio - ours / baseline) < 0.02 + ratio * 0.02, name
    before, after = re.search(FOUND, text).groups()
    assert before == after


def test_bench_at_the_prompt():
    with Machine(arguments="", memory=128, smp=2, limit=SLOW) as machine:
        machine.expect("quicklime>")
        machine.ask("bench", r"frames.* the frame allocator(.|\n)*quicklime>")
        machine.ask("bench nothing", '"nothing" means nothing to "bench"')
        machine.ask("bench frames nothing", '"frames nothing" means nothing to "bench"')
        text = plain(machine.ask("bench frames bulk", r"(.|\n)*# memory.*\n").string)
        check_table(text, {f"bulk-{what}/{cpus}" for what in ("alloc", "free") for cpus in ("1", "2", "2-vs-1")})
        start = len(machine.text)
        text = plain(machine.ask("bench frames full", r"(.|\n)*# memory.*\n").string[start:])
        check_table(text, {"full-order-0/1", "full-order-0/2", "full-order-0/2-vs-1"})
        machine.ask("selfcheck", r"self-check: \d+ passed, 0 failed")


def test_bench_of_pages():
    """Each group of workloads in a short row: tables, ranges, faults, copies of spaces, other CPUs."""
    with Machine(arguments="", memory=256, smp=2, limit=SLOW) as machine:
        machine.expect("quicklime>")
        for row, names in (("map-64M", {"map-64M-4k/1", "unmap-64M-4k/1"}), ("pair-1-of-10", {
                "pair-1-of-10/1", "pair-1-of-10000/1"}), ("fault-copy", {"fault-copy/1", "fault-last-owner/1"}),
                           ("clone-64M-2m", {"clone-64M-2m/1", "destroy-64M-2m/1", "clone-64M-2m-total/1"})):
            start = len(machine.text)
            text = plain(machine.ask(f"bench pages {row}", r"(.|\n)*# memory.*\n").string[start:])
            check_table(text, names)
        text = plain(machine.ask("bench pages shootdown", r"(.|\n)*# memory.*\n").string)
        assert re.search(r"shootdown-2/1\tns\t[\d.]+\t-\t-\t-", text), text
        assert "# shootdown-4/1: left out: too few CPUs" in text and "NOT AS FOUND" not in text
        machine.ask("selfcheck", r"self-check: \d+ passed, 0 failed")


def test_bench_of_the_heap():
    """Rows beside the baseline, on one CPU and across two; rows without; what a single call takes."""
    with Machine(arguments="", memory=256, smp=2, limit=SLOW) as machine:
        machine.expect("quicklime>")
        for row, names in (("pair-cache", {f"pair-cache/{cpus}" for cpus in ("1", "2", "2-vs-1")}),
                           ("other-cpu", {"other-cpu-alloc/2", "other-cpu-free/2"})):
            start = len(machine.text)
            text = plain(machine.ask(f"bench heap {row}", r"(.|\n)*# memory.*\n").string[start:])
            check_table(text, names)
        start = len(machine.text)
        text = plain(machine.ask("bench heap longest", r"(.|\n)*# memory.*\n").string[start:])
        assert re.search(r"longest/1\tns\t[\d.]+\t-(.|\n)*longest-new-slab/1\tns\t[\d.]+\t-", text), text
        assert "NOT AS FOUND" not in text
        machine.ask("selfcheck", r"self-check: \d+ passed, 0 failed")


def test_a_key_stops_the_bench():
    with Machine(arguments="", memory=512, limit=SLOW) as machine:
        machine.expect("quicklime>")
        machine.ask("bench frames", "bulk-free/1\t")
        machine.ask("x", r"# stopped by a key(.|\n)*" + FOUND)


def test_bench_as_an_option(tmp_path):
    kernel = os.path.join(BUILD, "kernel.stripped")
    text = boot_kernel(tmp_path, kernel, "bench=frames,holes exit=debug", memory=128)
    check_table(text, {"holes-99%/1"})
    (tmp_path / "2").mkdir()
    text = boot_kernel(tmp_path / "2", kernel, "bench=frames,nothing exit=debug", memory=128)
    assert 'option bench: there is no "frames" with a row "nothing"' in text


# ---- the prompt ------------------------------------------------------------------------------

def test_frames_command():
    with Machine(arguments="", memory=128) as machine:
        machine.expect("quicklime>")
        text = plain(machine.ask("frames", r"\n  all .*\n").string)
        runs = re.search(r"(?m)^  all +(.*)\r?$", text).group(1).split()
        free = int(re.search(r"(\d+) free", text[text.rindex("total"):]).group(1))
        assert len(runs) == 10
        assert abs(sum(int(n) << order for order, n in enumerate(runs)) - free) < 64
        machine.ask("frames retire 0x1000", "The frame at 0x1000 is retired")
        machine.ask("frames retire 1000", "The frame at 0x1000 cannot be retired: it is already")
        machine.ask("frames retire c0000000", "it is no RAM of ours")
        machine.ask("frames retire 1001", "cannot be retired")
        for wrong in ("retire", "retire x", "retire 1 2", "retire 10000000000000000", "lose"):
            machine.ask(f"frames {wrong}", f'"{wrong}" means nothing to "frames"')
        machine.ask("frames", "4 KiB of the used retired")
        machine.ask("frames drain", r"now 0 KiB")
        machine.ask("selfcheck", r"self-check: \d+ passed, 0 failed")
