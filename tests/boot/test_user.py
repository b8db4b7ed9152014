"""Ring 3: threads have their own memory and nothing else, on every kind of CPU; what they try beyond that
ends them with the right words, and nobody else."""
import os
import re
import socket
import subprocess
import time

import pytest

from qemu import BUILD, Machine
from shell import plain

PLACES = ("kernel text", "kernel constants", "kernel data", "direct map", "device", "kernel window",
          "kernel window, guard", "first page", "no range", "reserved range", "stack guard")
WAYS = {"read": "read of", "write": "write to", "jump": "jump to"}


def attempts(cpu="max", **machine):
    """What the command "user" lists, {(name, way): words}, and its verdict."""
    with Machine(arguments="", cpu=cpu, **machine) as guest:
        guest.expect(r"self-check: \d+ passed, 0 failed")
        guest.expect("quicklime>")
        start = len(guest.text)
        guest.ask("user", r"very attempt ended.*\n")
        text = plain(guest.text[start:])
    lines = re.findall(r"(?m)^  (\S.*?) +(read|write|jump|) +(\S.*? at 0x[0-9a-f]+)\r?$", text)
    assert "\nEvery attempt ended as it has to." in text, text
    return {(name, way): words for name, way, words in lines}


@pytest.mark.parametrize("cpu, smp", [
    ("max", 1), ("max", 2), ("max", 4),
    ("qemu64", 1), ("qemu64,-nx", 2), ("Nehalem", 2), ("EPYC", 4),
    ("max,-smap", 2), ("max,-smep,-smap", 2), ("max,-umip,-pku,-fsgsbase", 2), ("max,-apic", 1),
])
def test_ring_3_on_all_kinds_of_cpus(cpu, smp):
    """The self-check has every attempt made, in spaces that run on two CPUs, if there are two."""
    with Machine(arguments="report=json exit=debug stress=2", cpu=cpu, smp=smp) as guest:
        report = guest.report()
        assert guest.wait() == 1, guest.tail()
        assert report["self_check"]["failed"] == 0 and report["self_check"]["passed"] >= 60
        assert report["stress"]["failed"] == 0
        text = plain(guest.text)
        assert re.search(rf"  ring 3 in one space, and in copies of it +{4 * smp} threads +0 wrong", text)
        assert "ring 3:" not in text, guest.tail()


def test_attempts_end_in_words():
    ended = attempts()
    for place in PLACES:
        for way, verb in WAYS.items():
            assert ended[place, way].startswith(f"page fault: {verb} 0x"), ended[place, way]
    for place, words in (("kernel data", "in the kernel's half"), ("no range", "where nothing is"),
                         ("reserved range", "in a range that is only set aside"),
                         ("stack guard", "in a guard page")):
        assert words in ended[place, "write"]
    assert "that its range forbids" in ended["own text", "write"]
    assert "that its range forbids" in ended["own stack", "jump"]
    assert "whose key forbids it" in ended["own key", "read"]
    for way in WAYS:
        assert ended["not canonical", way].startswith("general protection fault at 0x")
    for name, words in (("cli", "general protection fault"), ("sidt", "general protection fault"),
                        ("ud2", "invalid opcode"), ("divide by zero", "divide error"),
                        ("fld1", "device not available"), ("single step", "debug exception")):
        assert ended[name, ""].startswith(words + " at 0x"), ended[name, ""]


def test_without_nx_only_its_own_pages_can_be_executed():
    ended = attempts("qemu64,-nx")
    assert ("own stack", "jump") not in ended and ("own key", "read") not in ended
    assert ("sidt", "") not in ended
    assert ended["kernel text", "jump"].startswith("page fault: ")


def test_the_slide_of_the_kernel_does_not_matter():
    for kaslr in ("on", "off"):
        with Machine(arguments=f"report=json exit=debug kaslr={kaslr}", smp=2) as guest:
            assert guest.report()["self_check"]["failed"] == 0
            assert guest.wait() == 1, guest.tail()


# ---- between a change of rings and its SWAPGS --------------------------------------------------

ENTRIES = ("trap_entry", "trap_save", "leave_to_ring3", "syscall_entry", "ring3_enter")


def instructions():
    """{"symbol: mnemonic": address} of the entry paths; of an instruction behind a SWAPGS, "symbol: after"."""
    found, symbol, before = {}, None, None
    listing = subprocess.run(["objdump", "-d", "--no-show-raw-insn", f"{BUILD}/kernel.elf"],
                             capture_output=True, text=True, check=True).stdout
    for line in listing.splitlines():
        if header := re.match(r"[0-9a-f]+ <(\w+)>:", line):
            symbol, before = header.group(1), None
        elif (code := re.match(r" *([0-9a-f]+):\t(\w+)", line)) and symbol in ENTRIES:
            for name in (code.group(2), "after" if before == "swapgs" else None):
                found.setdefault(f"{symbol}: {name}", int(code.group(1), 16))
            before = code.group(2)
    return found


class Debugger:
    """As much of gdb's protocol as stops the machine once, at an address."""

    def __init__(self, path):
        end = time.monotonic() + 30
        while not os.path.exists(path) and time.monotonic() < end:
            time.sleep(0.1)
        self.link = socket.socket(socket.AF_UNIX)
        self.link.settimeout(100)
        self.link.connect(path)

    def ask(self, command):
        self.link.sendall(b"$%s#%02x" % (command, sum(command) % 256))
        data = b""
        while not re.search(rb"\$[^#]*#..$", data):
            data += self.link.recv(4096)
        self.link.sendall(b"+")
        return data

    def stop_at(self, address):
        assert b"OK" in self.ask(b"Z1,%x,1" % address)
        assert b"$T05" in self.ask(b"c")
        assert b"OK" in self.ask(b"z1,%x,1" % address)

    def leave(self):
        self.ask(b"D")
        self.link.close()


@pytest.mark.parametrize("where", [
    "trap_entry: swapgs", "trap_save: swapgs", "leave_to_ring3: iretq", "leave_to_ring3: sysretq",
    "syscall_entry: swapgs", "syscall_entry: after", "ring3_enter: after",
])
def test_an_nmi_finds_the_kernels_data_wherever_it_comes(where, tmp_path):
    """It ends in a panic that knows its CPU, which it reads by way of %gs, from a stack that is ours."""
    address = instructions()[where]
    path = os.path.join(tmp_path, "gdb")
    with Machine(arguments="kaslr=off exit=debug",
                 extra=["-S", "-gdb", f"unix:{path},server=on,wait=off"]) as guest:
        debugger = Debugger(path)
        debugger.stop_at(address)
        guest.qmp(("inject-nmi", {}))
        debugger.leave()
        assert guest.wait() == 3, guest.tail()
        text = plain(guest.text)
    assert text.count("panic: ") == 1 and "panic: non-maskable interrupt\n" in text, text
    assert re.search(r"(?m)^on CPU 0 of 1\r?$", text), text
    assert f"rip {address:016x}" in text, text
