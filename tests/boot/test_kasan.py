"""The kernel that checks every access of its own (make KASAN=1): it boots, sees the planted bugs, and says
what happened, where and to whom. With QL_KASAN all of the suite runs on it; else it is built for this."""
import os
import re
import subprocess

import pytest

from qemu import BUILD, EFI, KASAN, Machine
from shell import plain

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
LIMIT = 240  # an eighth of this is usual

# kind: what the panic says behind "kasan: write of 1 byte at 0x..: ", and who did it.
KINDS = {
    "heap-right": (r"write of 1 byte", r"out of bounds, 1 bytes behind its end: an object of 13 bytes, allocated by "
                   r"allocate\+0x[0-9a-f]+ < heap_right", "heap_right"),
    "heap-run-right": (r"write of 1 byte", r"out of bounds, 1 bytes behind its end: an object of 40001 bytes",
                       "heap_run_right"),
    "heap-freed": (r"read of 1 byte", r"use after free, 8 bytes behind its start: a freed object of 64 bytes, allocated "
                   r"by allocate.*, freed by (release\S+ < )?heap_use_after_free", "heap_use_after_free"),
    "heap-run-freed": (r"write of 1 byte", r"use after free, 39999 bytes behind its start: a freed object of 40000 "
                       r"bytes", "heap_run_after_free"),
    "heap-moved": (r"write of 1 byte", r"use after free, 0 bytes behind its start: a freed object of 24 bytes",
                   "heap_after_realloc"),
    "heap-shrunk": (r"write of 1 byte", r"out of bounds, 1 bytes behind its end: an object of 60 bytes",
                    "heap_shrunk"),
    "heap-copy": (r"write of 40 bytes", r"out of bounds, 1 bytes behind its end: an object of 39 bytes", "memcpy"),
    "frame-freed": (r"write of 1 byte", r"use of a free frame", "frame_after_free"),
    "frame-right": (r"read of 1 byte", r"use of a free frame", "frame_right"),
    "stack-right": (r"write of 1 byte", r"out of bounds of a variable on the stack, right behind array(:\d+)? "
                    r"\(13 bytes\) of stack_right", "stack_right"),
    "stack-left": (r"read of 1 byte", r"out of bounds of a variable on the stack, right in front of array(:\d+)? "
                   r"\(16 bytes\) of stack_left", "stack_left"),
    "stack-ended": (r"write of 1 byte", r"use of a variable whose block has ended, in array(:\d+)? \(16 bytes\) of "
                    r"stack_after_block", "stack_after_block"),
    "global-right": (r"write of 1 byte", r"out of bounds of a global variable, right behind global_array \(21 bytes, "
                     r"kernel/kasan/bugs.c\)", "global_right"),
    "global-read": (r"read of 1 byte", r"out of bounds of a global variable, right behind constants \(12 bytes",
                    "global_read"),
}
# A boot each: a part of them is enough where the self-check has had them all.
TRIED = KINDS if KASAN else ("heap-freed", "heap-copy", "stack-right", "global-right", "frame-freed")
HELD = 34  # planted bugs that must be caught: all of tests/bugs/bugs.c


@pytest.fixture(scope="module")
def efi():
    if KASAN:
        return EFI
    build = os.path.join(BUILD, "kasan")
    subprocess.run(["make", "-s", "-C", ROOT, f"BUILD={build}", "KASAN=1", f"{build}/BOOTX64.EFI"], check=True,
                   stdout=subprocess.DEVNULL, env={**os.environ, "MAKEFLAGS": "", "MAKELEVEL": "0"})
    return os.path.join(build, "BOOTX64.EFI")


@pytest.mark.xdist_group("kasan")
@pytest.mark.parametrize("options, machine", [("", {}), ("paging=5level stress=1", {"smp": 2}),
                                              ("", {"memory": 64}), ("heap_debug=0", {})])
def test_it_watches_and_finds_nothing(efi, options, machine):
    with Machine(efi=efi, arguments=f"exit=debug {options}", limit=LIMIT, **machine) as guest:
        watched = int(guest.expect(r"kasan: (\d+) KiB of RAM and the image are watched").group(1))
        assert guest.wait() == 1, guest.tail()
    assert watched >= machine.get("memory", 256) * 1024 * 7 // 8
    assert re.search(r"self-check: \d+ passed, 0 failed", guest.text)


@pytest.mark.xdist_group("kasan")
def test_planted_bugs_are_caught(efi):
    with Machine(efi=efi, arguments="", limit=LIMIT) as machine:
        machine.expect("quicklime>")
        match = machine.ask("bugs", r"bugs: (\d+) of (\d+) caught")
        text = plain(machine.text)
    print(match.group(0))
    caught, planted = int(match.group(1)), int(match.group(2))
    assert caught >= HELD and planted >= HELD, text[text.rindex("bugs\r\n"):]


@pytest.mark.xdist_group("kasan")
@pytest.mark.parametrize("kind", TRIED)
def test_panic_says_what_happened(efi, kind):
    access, words, culprit = KINDS[kind]
    with Machine(efi=efi, arguments="", limit=LIMIT) as machine:
        machine.expect("quicklime>")
        start = len(machine.text)
        machine.send(f"panic {kind}\r")
        machine.expect("the machine is stopped", start)
        text = plain(machine.text[start:])
    assert re.search(rf"panic: kasan: {access} at 0x[0-9a-f]{{16}}: {words}", text), text
    assert re.search(rf"#\d+ 0x[0-9a-f]{{16}} {culprit}\+0x", text), text
    assert re.search(r"#\d+ 0x[0-9a-f]{16} kmain\+0x", text), text
    assert text.count("panic: ") == 1, text
