"""The heap as somebody at the prompt sees it: what it says of itself, and how it is tuned."""
import re

from qemu import KASAN, Machine
from shell import plain

SETTINGS = ("reserve", "depth", "debug", "sample")
# The checking kernel has the debug heap: what that delays is live to its classes and free to the sums.
PLAIN = "heap_debug=0" if KASAN else ""


def answer(machine, line, pattern=r"quicklime>"):
    """Type a line; what was printed up to the next prompt."""
    start = len(machine.text)
    machine.send(line + "\r")
    machine.expect(pattern, machine.expect(r"\n", start).end())
    return plain(machine.text[start:]).replace("\r", "").partition("\n")[2].rpartition("\n")[0]


def tuning(machine):
    """{name: value} of all settings."""
    text = answer(machine, "heap tune")
    return {name: int(value) for name, value in re.findall(r"(?m)^  (\w+) +(\d+)  \S", text)}


def rows(text):
    """{name: [live, peak, allocated, freed, remotely, failed, slabs]} of a table."""
    found = re.findall(r"(?m)^  (\S+)((?: +\d+){7}) +[\d.]+(?: [KMG]?i?B)? +\d+%$", text)
    return {name: [int(n) for n in numbers.split()] for name, numbers in found}


def test_options_tune_the_heap():
    with Machine(arguments="heap_reserve=77 heap_depth=12 heap_sample=4096") as machine:
        machine.expect("quicklime>")
        values = tuning(machine)
        assert tuple(values) == SETTINGS
        assert (values["reserve"], values["depth"], values["sample"]) == (77, 12, 4096)


def test_bad_options_are_named_and_change_nothing():
    with Machine(arguments="") as machine:
        machine.expect("quicklime>")
        normal = tuning(machine)
    bad = {"reserve": ("1048577", "0 to 1048576"), "depth": ("0", "1 to 1048576"), "debug": ("x", "0 to 3"),
           "sample": ("15", "16 to 16777216, or 0")}
    with Machine(arguments=" ".join(f"heap_{name}={value}" for name, (value, _) in bad.items())) as machine:
        machine.expect("quicklime>")
        text = plain(machine.text)
        for name, (value, limits) in bad.items():
            assert f'option heap_{name}: "{value}" is not a number from {limits}' in text, name
        assert tuning(machine) == normal


def test_tuning_at_the_prompt():
    with Machine(arguments="") as machine:
        machine.expect("quicklime>")
        for name, value in (("reserve", 0), ("reserve", 1048576), ("depth", 1), ("sample", 0), ("sample", 16)):
            assert answer(machine, f"heap tune {name} {value}") == ""
            assert tuning(machine)[name] == value
        before = tuning(machine)
        for wrong in ("4294967296", "99999999999999999999", "-1", "1x", "0x10"):
            assert f'reserve: "{wrong}" is not a number from 0 to 1048576' in answer(
                machine, f"heap tune reserve {wrong}")
        assert "is not a number from 1 to" in answer(machine, "heap tune depth")
        assert ("DEBUG_MEMORY" in answer(machine, "heap tune debug 1")) != KASAN
        assert tuning(machine)["debug"] == (1 if KASAN else 0)
        answer(machine, f"heap tune debug {before['debug']}")
        assert "means nothing" in answer(machine, "heap tune nothing 1")
        assert tuning(machine) == before
        assert re.search(r"self-check: \d+ passed, 0 failed", answer(machine, "selfcheck"))


def test_tables_agree_with_the_sums():
    with Machine(arguments=PLAIN, smp=2) as machine:
        machine.expect("quicklime>")
        total = re.search(r"used in (\d+) objects, of .*; (\d+) allocations, (\d+) frees", answer(machine, "heap"))
        live, allocations, frees = (int(n) for n in total.groups())
        classes, cpus = rows(answer(machine, "heap classes")), rows(answer(machine, "heap cpus"))
        caches = rows(answer(machine, "heap caches"))
        assert {"16", "64", "4096", "runs", "ranges"} <= set(classes) and set(cpus) == {"0", "1"}
        for column, whole in ((0, live), (2, allocations), (3, frees)):
            assert sum(row[column] for row in [*classes.values(), *caches.values()]) == whole
        for column, whole in ((2, allocations), (3, frees)):
            assert sum(row[column] for row in cpus.values()) == whole
        for row in classes.values():
            assert row[2] - row[3] == row[0] <= row[1]
        assert sum(row[4] for row in cpus.values()) > 0  # the self-check has others free
        assert len(answer(machine, "heap classes").split("\n")[0].rstrip()) <= 80


def test_shrink_check_and_find():
    with Machine(arguments="") as machine:
        machine.expect("quicklime>")
        assert re.search(r"\d+ frames given back", answer(machine, "heap shrink"))
        assert answer(machine, "heap shrink") == "0 frames given back."
        assert answer(machine, "heap check") == "The heap is consistent."
        assert "not the heap's" in answer(machine, "heap find ffffffff80000000")
        for wrong in ("find", "find x", "find 1 2", "shrink now", "lose", "classes 1"):
            assert f'"{wrong}" means nothing to "heap"' in answer(machine, f"heap {wrong}"), wrong
        assert "classes" in answer(machine, "heap c\t") and "heap tune reserve" in answer(
            machine, "\x15heap tune re\t\x15help heap") + plain(machine.text)


def test_the_report_has_it_all():
    with Machine(arguments=f"report=json exit=debug {PLAIN}", smp=2) as machine:
        heap = machine.report()["heap"]
        assert machine.wait() == 1
    assert heap["used_bytes"] == heap["live_bytes"] and heap["live_blocks"] == heap["live"]
    assert heap["free_bytes"] == heap["slab_bytes"] - heap["live_bytes"]
    assert heap["failures"] > 0 and heap["remote_frees"] > 0  # the self-check sees to both
    for key in ("live", "live_bytes", "allocations", "frees", "remote_frees", "slabs", "slab_bytes"):
        assert sum(each[key] for each in heap["classes"] + heap["caches"]) == heap[key], key
        if key in ("allocations", "frees", "remote_frees"):
            assert sum(each[key] for each in heap["cpus"]) == heap[key], key
    for each in heap["classes"]:
        assert each["live_bytes"] == each["live"] * each["bytes"] or each["bytes"] == 0
        assert each["live_bytes"] + each["waste_bytes"] <= each["slab_bytes"]
    assert tuple(heap["tuning"]) == SETTINGS and heap["tuning"]["reserve"] == 256
