"""Every CPU of the machine runs the kernel: any number of them, on any APIC ids and nodes, all at
once against the memory manager; and the machine stops as one."""
import re
import struct

import pytest

from qemu import EFI, Machine, esp
from shell import plain

MIB = 1 << 20
SLOW = 300  # seconds: many virtual CPUs on few real ones


def boot(arguments="report=json exit=debug", **machine):
    """Boot, check what holds on every machine; the report."""
    with Machine(arguments=arguments, limit=SLOW, **machine) as guest:
        report = guest.report()
        assert guest.wait() == 1, guest.tail()
        report["text"] = plain(guest.text)
    check(report)
    return report


def check(report):
    assert report["self_check"]["failed"] == 0
    cpus, nodes = report["cpus"], report["nodes"]
    assert [cpu["id"] for cpu in cpus] == list(range(len(cpus)))
    assert cpus[0]["state"] == "online"
    assert len({cpu["lapic_id"] for cpu in cpus}) == len(cpus)
    assert [node["id"] for node in nodes] == list(range(len(nodes)))
    assert all(cpu["node"] < len(nodes) for cpu in cpus)
    for node in nodes:
        assert len(node["distances"]) == len(nodes)
        assert node["distances"][node["id"]] == 10
        assert node["frames"]["free"] <= node["frames"]["total"]
        assert node["frames"]["total"] * 4096 <= node["memory_bytes"]
    assert sum(node["frames"]["total"] for node in nodes) == report["frames"]["total"]


def states(report):
    return [cpu["state"] for cpu in report["cpus"]]


def ids(report):
    return sorted(cpu["lapic_id"] for cpu in report["cpus"])


# ---- how many, and which ---------------------------------------------------------------------

@pytest.mark.parametrize("smp", [1, 2, 4, 16, 64])
def test_every_cpu_is_online(smp):
    report = boot(smp=smp)
    assert states(report) == ["online"] * smp
    assert ids(report) == list(range(smp))
    assert len(report["nodes"]) == 1
    assert {cpu["node"] for cpu in report["cpus"]} == {0}


@pytest.mark.parametrize("smp, expected", [
    ("12,sockets=2,cores=3,threads=2", [0, 1, 2, 3, 4, 5, 8, 9, 10, 11, 12, 13]),
    ("6,sockets=2,cores=3,threads=1", [0, 1, 2, 4, 5, 6]),
    ("6,sockets=3,cores=1,threads=2", [0, 1, 2, 3, 4, 5]),
    ("9,sockets=3,cores=3,threads=1", [0, 1, 2, 4, 5, 6, 8, 9, 10]),
])
def test_apic_ids_with_holes(smp, expected):
    report = boot(smp=smp)
    assert states(report) == ["online"] * len(expected)
    assert ids(report) == expected


def test_cpus_that_may_be_plugged_in_later_are_disabled():
    report = boot(smp="2,maxcpus=4")
    assert sorted(states(report)) == ["disabled", "disabled", "online", "online"]
    assert ids(report) == [0, 1, 2, 3]
    assert "2 of the processor entries are not enabled" in report["text"]


@pytest.mark.parametrize("machine", ["q35,acpi=off", "q35,hpet=off,pit=off"])
def test_machines_that_lack_something(machine):
    report = boot(smp=2, machine=machine)
    assert report["cpus"][0]["state"] == "online"


def test_no_local_apic_means_one_cpu():
    report = boot(smp=2, cpu="max,-apic")
    assert states(report).count("online") == 1


def test_u_boot(tmp_path):
    """From a disk, where nobody gives options: the prompt is asked."""
    directory = esp(str(tmp_path), {"EFI/BOOT/BOOTX64.EFI": EFI})
    with Machine(firmware="u-boot", machine="pc", smp=2, disk=directory) as machine:
        machine.expect(r"self-check: \d+ passed, 0 failed")
        machine.expect("quicklime>")
        machine.send("report json\r")
        report = machine.report()
        check(report)
        assert states(report) == ["online"] * 2
        machine.send("poweroff\r")
        assert machine.wait() == 0


# ---- nodes -----------------------------------------------------------------------------------

def numa(nodes, distances=()):
    """QEMU's arguments for nodes of (MiB, CPUs such as "0-1 4") each; 0 and "" for none."""
    extra = []
    for number, (memory, cpus) in enumerate(nodes):
        node = f"node,nodeid={number}"
        if memory:
            extra += ["-object", f"memory-backend-ram,id=m{number},size={memory}M"]
            node += f",memdev=m{number}"
        extra += ["-numa", node + "".join(f",cpus={each}" for each in cpus.split())]
    for source, target, value in distances:
        extra += ["-numa", f"dist,src={source},dst={target},val={value}"]
    return extra


def check_memory(report, sizes):
    """What the firmware keeps for itself, without saying that it is RAM, is some MiB at the top."""
    for node, size in zip(report["nodes"], sizes):
        assert max(0, size - 24) * MIB <= node["memory_bytes"] <= size * MIB, report["nodes"]


@pytest.mark.parametrize("count", [1, 2, 4, 8])
def test_nodes(count):
    report = boot(smp=count, memory=128 * count,
                  extra=numa([(128, str(number)) for number in range(count)]))
    assert len(report["nodes"]) == count
    assert sorted(cpu["node"] for cpu in report["cpus"]) == list(range(count))
    check_memory(report, [128] * count)
    for node in report["nodes"]:
        assert node["distances"] == [10 if other == node["id"] else 20 for other in range(count)]


def test_a_node_without_memory_and_one_without_cpus():
    report = boot(smp=4, memory=256, extra=numa([(128, "0-1"), (0, "2-3"), (128, "")],
                                                [(0, 1, 33), (0, 2, 44), (1, 2, 55)]))
    assert {cpu["lapic_id"]: cpu["node"] for cpu in report["cpus"]} == {0: 0, 1: 0, 2: 1, 3: 1}
    check_memory(report, [128, 0, 128])
    assert report["nodes"][1]["frames"]["total"] == 0
    distances = [node["distances"] for node in report["nodes"]]
    assert distances == [[10, 33, 44], [33, 10, 55], [44, 55, 10]]


def test_tables_that_are_wrong_are_named_and_what_is_right_of_them_is_used(tmp_path):
    """QEMU writes no SRAT and no SLIT of its own without -numa."""
    def cpu(domain, apic_id):
        return struct.pack("<BBHIIIQ", 2, 24, 0, domain, apic_id, 1, 0)

    def memory(domain, base, size):
        return struct.pack("<BBIHQQIIQ", 1, 40, domain, 0, base, size, 0, 1, 0)

    entries = [cpu(7, 1), cpu(1000, 0), cpu(7, 0), memory(1000, 0, 128 * MIB),
               memory(7, 64 * MIB, 192 * MIB), memory(7, 1 << 52, 1), struct.pack("<BB", 1, 0)]
    (tmp_path / "srat").write_bytes(bytes(12) + b"".join(entries))
    (tmp_path / "slit").write_bytes(struct.pack("<QBBBB", 2, 10, 9, 20, 10))
    report = boot(smp=2, extra=["-acpitable", f"sig=SRAT,rev=3,data={tmp_path}/srat",
                                "-acpitable", f"sig=SLIT,rev=1,data={tmp_path}/slit"])
    for words in ("SRAT: entry at 96: local APIC id 0 in proximity domain 7, but also in 1000",
                  "SRAT: entry at 200: memory at 0x10000000000000, 0x1 bytes: ends beyond 52 bits",
                  "SRAT: entry at 240: length 0: nothing behind it can be read",
                  "SRAT: memory at 0x4000000, 0xc000000 bytes, of proximity domain 7 is also of "
                  "1000",
                  "SLIT: the distance from 0 to 1 cannot be 9"):
        assert words in report["text"]
    assert {cpu["lapic_id"]: cpu["node"] for cpu in report["cpus"]} == {0: 1, 1: 0}
    check_memory(report, [128, 128])
    assert [node["distances"] for node in report["nodes"]] == [[10, 20], [20, 10]]


def test_the_prompt_shows_cpus_and_nodes():
    extra = numa([(128, "0 2"), (128, "1")])
    with Machine(arguments="", smp="2,maxcpus=3", extra=extra) as machine:
        machine.expect("quicklime>")
        start = len(machine.text)
        machine.ask("cpus", r"distance to(.|\n)*quicklime>")
        text = plain(machine.text[start:])
    assert re.search(r"CPUs ─+ 2 of 3 online", text), text
    assert len(re.findall(r"(?m)^ +\d+ +\d+ +\d+ +[01]  online\r?$", text)) == 2, text
    assert len(re.findall(r"(?m)^ +\d+ +\d+ +\d+ +[01]  disabled\r?$", text)) == 1, text
    assert re.search(r"(?m)^ +1 +1 +\S+ MiB +\S+ MiB +20 +10\r?$", text), text
    assert all(len(line.rstrip()) <= 80 for line in text.split("\n")), text


# ---- all at once -----------------------------------------------------------------------------

def results(text):
    """The lines of the stress tests and the self-check; no times are in them."""
    text = plain(text).replace("\r", "")
    return re.findall(r"(?m)^(?:stress: .*|self-check: .*|  .* wrong)$", text)


@pytest.mark.parametrize("smp, rounds, extra", [
    (2, 1000, []),
    (4, 5, []),
    (4, 100, ["-accel", "tcg,thread=single"]),
    (16, 100, ["-accel", "tcg,thread=single"]),
])
def test_stress(smp, rounds, extra):
    """1000 rounds are a million mixed operations on each CPU. Where QEMU runs all CPUs in one
    thread, one that waits hands over at once; in threads of their own, many CPUs that wait for one
    lock take the few real ones from the CPU that holds it."""
    report = boot(f"report=json exit=debug stress={rounds}", smp=smp, extra=extra)
    assert states(report) == ["online"] * smp
    assert report["stress"] == {"passed": 11, "failed": 0}, report["text"]
    lines = results(report["text"])
    assert f"stress: {smp} CPUs, {rounds} rounds" in lines
    counted = dict(re.findall(r"  (\S.*?) {2,}(\d+ \w+) +0 wrong", "\n".join(lines)))
    assert counted == {
        "unmapped pages fault on other CPUs": f"{rounds * smp} accesses",
        "changed protections hold on all CPUs": f"{rounds * (smp - 1)} accesses",
        "kernel ranges come and go on all CPUs": f"{rounds * smp} ranges",
        "all CPUs touch the same pages first": f"{rounds * smp * 48} touches",
        "frames, heap and mappings keep contents": f"{1000 * rounds * smp} operations",
        "objects are freed by other CPUs": f"{rounds * smp * 500} objects",
        "memory in the middle of anything": f"{rounds * smp * 20} turns",
        "calls on all CPUs at once": f"{rounds * smp * (2 * smp - 1)} calls",
        "barriers wait for what they interrupt": f"{rounds * smp * 16} barriers",
        "flush with a CPU that is long deaf": "1 flushes",
        "ring 3 in one space, and in copies of it": f"{rounds * smp * 2} threads",
    }


def test_the_same_instructions_give_the_same_results():
    runs = [boot("report=json exit=debug stress=20 kaslr=off", smp=2,
                 extra=["-icount", "shift=4,sleep=off"])["text"] for _ in range(2)]
    first, second = (results(text) for text in runs)
    assert first == second
    assert "stress: 11 passed, 0 failed" in first


def test_a_wrong_number_of_rounds_is_named():
    with Machine(arguments="") as machine:
        machine.expect("quicklime>")
        for argument in ("0", "x", "1x", "100001", "99999999999999999999"):
            machine.ask(f"stress {argument}", f'"{argument}" means nothing to "stress"')
    report = boot("report=json exit=debug stress=100001")
    assert 'option stress: "100001" is not a number from 1 to 100000' in report["text"]
    assert report["stress"] == {"passed": 0, "failed": 0}


# ---- panic -----------------------------------------------------------------------------------

def test_a_panic_on_another_cpu_names_it_and_shows_the_others():
    with Machine(arguments="", smp=4) as machine:
        machine.expect("quicklime>")
        start = len(machine.text)
        machine.send("panic null cpu=2\r")
        machine.expect("the machine is stopped", start)
        text = plain(machine.text[start:])
    assert "null pointer access" in text
    assert re.search(r"(?m)^on CPU 2 of 4\r?$", text), text
    others = text[text.index("other CPUs:"):]
    assert all(re.search(rf"CPU (\d, )*{other}\b", others) for other in (0, 1, 3)), text
    assert not re.search(r"CPU (\d, )*2\b", others), text
