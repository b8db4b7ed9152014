"""The kernel made with DEBUG_MEMORY=1: it boots, checks itself, and says who allocated and who freed what."""
import os
import re

import pytest

import qemu
from qemu import BUILD, KASAN, Machine
from test_heap import answer
from test_panic import provoke

pytestmark = pytest.mark.skipif(KASAN, reason="the checking kernel has this heap, and tests of its own")


@pytest.fixture(autouse=True)
def debug_kernel(monkeypatch):
    monkeypatch.setattr(qemu, "EFI", os.path.join(BUILD, "debug-memory", "BOOTX64.EFI"))


def test_self_check_passes_and_forgotten_objects_are_said():
    with Machine(arguments="", smp=2) as machine:
        machine.expect(r"self-check: [1-9]\d* passed, 0 failed")
        machine.expect("quicklime>")
        assert "heap: 0 objects of 0 bytes are live" in answer(machine, "heap leaks")
        forgotten = [re.search(r"0x[0-9a-f]{16}", answer(machine, "heap forget")).group() for _ in range(3)]
        text = answer(machine, "heap leaks")
        assert re.search(r"heap: 3 objects, 300 bytes, one at 0x[0-9a-f]{16}, allocated by forget\+0x\w+ < ", text), text
        assert "heap: 3 objects of 300 bytes are live" in text and "damaged" not in text
        assert re.search(rf"{forgotten[0]}: 0 bytes inside an object of 100 bytes \(class \d+\)",
                         answer(machine, f"heap find {forgotten[0]}"))
        assert answer(machine, "heap tune debug 3") == "" and "heap is consistent" in answer(machine, "heap check")
        start = len(machine.text)
        machine.send("poweroff\r")
        machine.expect(r"heap: 3 objects of 300 bytes are live", start)
        assert machine.wait() == 0


def test_a_double_free_names_who_allocated_and_who_freed():
    with Machine(arguments="") as machine:
        text = provoke(machine, "heap-double-free")
    assert re.search(r"panic: heap: kfree\(0x[0-9a-f]{16}\), class 192: is freed already \(a double free\): a freed object "
                     r"of 64 bytes, allocated by heap_double_free\+0x\w+ < .*, freed by heap_double_free\+0x", text), text


def test_a_level_can_be_chosen_at_boot():
    with Machine(arguments="heap_debug=0") as machine:
        text = provoke(machine, "heap-double-free")
    assert re.search(r"heap: kfree\(0x[0-9a-f]{16}\): freed already \(a double free\); class 64", text), text


def test_a_sample_names_who_allocated_it_too():
    with Machine(arguments="") as machine:
        text = provoke(machine, "heap-sampled-overrun")
    assert re.search(r"panic: write to 0x[0-9a-f]{16}: out of bounds, 1 bytes (behind its end|in front of its start): an object of "
                     r"64 bytes, allocated by sampled\+0x", text), text
