"""Provoked faults: each ends in the words that tell what happened, with registers and a stack that names
the culprit, and in what the option panic= asks for."""
import re

import pytest

import test_kasan
from qemu import KASAN, Machine
from shell import plain

# kind: the sentence, and the function that must be on the stack.
KINDS = {
    "plain": (r"panic: asked for by the monitor", "plain"),
    "page-fault": (r"page fault: read of a page that is not mapped at 0x[0-9a-f]{16}, where nothing is "
                   r"allocated", "page_fault"),
    "null": (r"null pointer access: read of address 0x[0-9a-f]+", "null_pointer"),
    "write-rodata": (r"page fault: write to a read-only page at 0x[0-9a-f]{16}, in kernel rodata",
                     "write_rodata"),
    "write-text": (r"page fault: write to a read-only page at 0x[0-9a-f]{16}, in kernel text",
                   "write_text"),
    "execute-data": (r"page fault: instruction fetch from a page that is not executable at "
                     r"0x[0-9a-f]{16}, in kernel data", "command_panic"),
    "stack-overflow": (r"stack overflow: the boot stack guard page was hit at 0x[0-9a-f]{16}",
                       "recurse"),
    "double-fault": (r"double fault: the handling of an exception met another one", "double_fault"),
    "divide": (r"divide error", "divide"),
    "invalid-opcode": (r"invalid opcode", "invalid_opcode"),
    "gp": (r"general protection fault", "general_protection"),
    "user-memory": (r"page fault: read of a page that is not mapped at 0x0000000000500000",
                    "user_memory"),
    "heap-double-free": (r"heap: kfree\(0x[0-9a-f]{16}\): freed already \(a double free\); class 64", "heap_double_free"),
    "heap-interior-free": (r"heap: kfree\(0x[0-9a-f]{16}\): inside an object, not at its start; class 64",
                           "heap_interior_free"),
    "heap-foreign-free": (r"heap: kfree\(0x[0-9a-f]{16}\): not from this heap", "heap_foreign_free"),
    "heap-cross-free": (r"heap: object_cache_free\(0x[0-9a-f]{16}\): not of the cache that it is freed to; "
                        r"class provoked", "heap_cross_free"),
    "heap-overrun": (r"page fault: write to a page that is not mapped at 0x[0-9a-f]{13}000, right behind heap",
                     "heap_overrun"),
    "heap-sampled-freed": (r"read of 0x[0-9a-f]{16}: use after free, 3 bytes behind its start: a freed object of 64 bytes, "
                           r"allocated by sampled\+0x\w+ < heap_sampled_freed\+0x.*, freed by heap_sampled_freed\+0x",
                           "heap_sampled_freed"),
    "heap-sampled-overrun": (r"write to 0x[0-9a-f]{16}: out of bounds, 1 bytes (behind its end|in front of its start): an "
                             r"object of 64 bytes, allocated by sampled\+0x", "heap_sampled_overrun"),
    "heap-execute": (r"page fault: instruction fetch from a page that is not executable at 0x[0-9a-f]{16}, in "
                     r"direct map, 12 bytes inside an object of 64 bytes \(class 64\)", "command_panic"),
    "range-guard": (r"page fault: write to a page that is not mapped at 0x[0-9a-f]{13}ff8, (\d+ bytes behind "
                    r".*, )?in the guard page of provoked", "range_guard"),
    "range-overrun": (r"page fault: write to a page that is not mapped at 0x[0-9a-f]{13}004, 4 bytes behind "
                      r"provoked", "range_overrun"),
    "range-freed": (r"page fault: read of a page that is not mapped at 0x[0-9a-f]{13}004, where nothing is "
                    r"allocated, or not any more", "range_freed"),
    "range-read-only": (r"page fault: write to a read-only page at 0x[0-9a-f]{13}000, in provoked",
                        "range_read_only"),
    "range-reserved": (r"page fault: read of a page that is reserved, but has no memory at "
                       r"0x[0-9a-f]{13}000, in provoked", "range_reserved"),
    "range-double-free": (r"vmm_free_range: 0x[0-9a-f]{16} is not the first page of a range",
                          "vmm_free_range"),
    "frame-double-free": (r"pmm: bad free of 1 frames at 0x[0-9a-f]+: free already \(a double free\)",
                          "frame_double_free"),
}
# In the words of the debug heap, which the checking kernel has.
if KASAN:
    KINDS |= {
        "heap-double-free": (r"heap: kfree\(0x[0-9a-f]{16}\), class \d+: is freed already \(a double free\): a freed object of "
                             r"64 bytes, allocated by heap_double_free\+0x.*, freed by heap_double_free\+0x",
                             "heap_double_free"),
        "heap-interior-free": (r"heap: kfree\(0x[0-9a-f]{16}\), class \d+: is not the start of an object of 64 bytes, "
                               r"allocated by heap_interior_free\+0x", "heap_interior_free"),
        "heap-cross-free": (r"heap: object_cache_free\(0x[0-9a-f]{16}\), class provoked: is not of the cache that it is "
                            r"freed to: an object of 64 bytes, allocated by heap_cross_free\+0x", "heap_cross_free"),
        "heap-execute": (r"page fault: instruction fetch from a page that is not executable at 0x[0-9a-f]{16}, in "
                         r"direct map, 12 bytes inside an object of 64 bytes \(class \d+\)", "command_panic"),
    }


def provoke(machine, kind):
    """Type the command and wait for the end of the panic; what it printed."""
    machine.expect("quicklime>")
    start = len(machine.text)
    machine.send(f"panic {kind}\r")
    machine.expect("the machine is stopped|restarting", start)
    return plain(machine.text[start:])


@pytest.mark.parametrize("kind", KINDS)
def test_fault_ends_in_the_right_words(kind):
    words, culprit = KINDS[kind]
    with Machine(arguments="") as machine:
        text = provoke(machine, kind)
    assert re.search(words, text), text
    assert re.search(rf"#\d+ 0x[0-9a-f]{{16}} {culprit}\+0x", text), text
    assert re.search(r"#\d+ 0x[0-9a-f]{16} kmain\+0x", text) or kind == "stack-overflow", text
    assert re.search(r"cr0 [0-9a-f]{16}  cr2 [0-9a-f]{16}  cr3 [0-9a-f]{16}", text), text
    assert text.count("panic: ") == 1, text


def test_every_kind_that_the_kernel_knows_is_tested():
    known, last = [*KINDS, *(test_kasan.KINDS if KASAN else [])], "global-read" if KASAN else "range-double-free"
    with Machine(arguments="") as machine:
        machine.expect("quicklime>")
        text = plain(machine.ask("help panic", last + r".*\n").string)
    listed = re.findall(r"(?m)^    ([a-z-]+)  +\S", text[text.rindex("help panic"):])
    assert sorted(listed) == sorted(known)


def test_write_protection_holds_without_smep_smap_and_nx():
    with Machine(arguments="", cpu="qemu64,-nx") as machine:
        text = provoke(machine, "write-rodata")
    assert "write to a read-only page" in text


def test_non_maskable_interrupt_ends_on_its_own_stack():
    with Machine(arguments="") as machine:
        machine.expect("quicklime>")
        machine.qmp(("inject-nmi", {}))
        machine.expect("the machine is stopped")
        text = plain(machine.text)
    assert "panic: non-maskable interrupt\n" in text, text
    assert re.search(r"#\d+ 0x[0-9a-f]{16} monitor_run\+0x", text), text


def test_panic_reboots_when_asked_to():
    """-no-reboot turns the reboot into QEMU's end."""
    with Machine(arguments="panic=reboot") as machine:
        machine.expect("quicklime>")
        machine.send("panic null\r")
        assert machine.wait() == 0, machine.tail()
        assert "null pointer access" in machine.text


def test_panic_leaves_through_the_debug_exit_device():
    with Machine(arguments="exit=debug") as machine:
        machine.expect("self-check: ")
        assert machine.wait() == 1
