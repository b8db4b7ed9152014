"""The kernel boots and reports the machine it was given: firmware, machines, CPUs, memory sizes, and
machines that lack something."""
import pytest

from qemu import EFI, KASAN, SLOWER, Machine, esp

MIB = 1 << 20
USABLE, RECLAIMABLE = 0, 5


def ram(report):
    """Bytes that the map calls RAM in one way or another."""
    return sum(entry["length"] for entry in report["memory_map"] if entry["type"] in (0, 2, 3, 5, 6))


def check_report(report, memory):
    """What must hold on every machine; memory in MiB."""
    entries = report["memory_map"]
    assert all(a["base"] + a["length"] <= b["base"] for a, b in zip(entries, entries[1:]))
    assert (memory - 24) * MIB <= ram(report) <= memory * MIB
    frames = report["frames"]
    managed = sum(e["length"] for e in entries if e["type"] in (USABLE, RECLAIMABLE))
    assert frames["total"] * 4096 <= managed
    assert frames["total"] * 4096 >= managed - 4096
    assert frames["used"] + frames["free"] == frames["total"]
    watching = managed // 8 if KASAN else 0
    assert frames["free"] * 4096 >= managed * 9 // 10 - watching - 4 * MIB, "reclaimable memory was not taken"
    assert report["self_check"]["failed"] == 0
    assert report["self_check"]["passed"] >= 15
    heap = report["heap"]  # the self-check has used it; what it holds empty it may have given back
    assert heap["allocations"] > 100 and heap["allocations"] - heap["frees"] == heap["live"]
    assert heap["live_bytes"] + heap["free_bytes"] <= heap["slab_bytes"]
    assert 0 < report["boot_usec"]["kernel"] < 60_000_000 * SLOWER
    check_ranges(report["ranges"])


def check_ranges(ranges):
    """W^X, nothing overlaps, the kernel and its direct map are there."""
    spans = sorted((int(r["va"], 16), int(r["va"], 16) + r["bytes"], r["name"]) for r in ranges)
    assert all(a[1] <= b[0] for a, b in zip(spans, spans[1:])), spans
    for each in ranges:
        assert not ("w" in each["prot"].lower() and "x" in each["prot"].lower()), each
    protection = {r["name"]: r["prot"].lower() for r in ranges}
    assert "x" in protection["kernel text"]
    assert "w" not in protection["kernel rodata"]
    assert any("guard" in name for name in protection)
    assert spans[0][0] == 0 and "null" in spans[0][2]


def boot(arguments="report=json exit=debug", **machine):
    """Boot with OVMF's -kernel, check the report against the machine; the report."""
    with Machine(arguments=arguments, **machine) as guest:
        report = guest.report()
        assert guest.wait() == 1, guest.tail()
        check_report(report, machine.get("memory", 256))
        return report


@pytest.mark.parametrize("memory", [64, 128, 512, 2048, 3072, 4096, 16384])
@pytest.mark.parametrize("machine", ["q35", "pc"])
def test_memory_sizes(machine, memory):
    report = boot(machine=machine, memory=memory)
    above = [e for e in report["memory_map"] if e["base"] >= 1 << 32 and e["type"] == USABLE]
    assert bool(above) == (memory > 3072 or (memory > 2048 and machine == "q35"))


@pytest.mark.parametrize("cpu", ["qemu64", "Nehalem", "EPYC", "max", "qemu64,-nx", "max,-pdpe1gb,-smep,-smap"])
def test_cpus(cpu):
    report = boot(cpu=cpu)
    assert report["cpu"]["name"]


def test_firmware_and_loader_are_named():
    report = boot()
    assert "EDK II" in str(report["firmware"]) or "Debian" in str(report["firmware"])
    assert report["quicklime"] and report["version"]


def test_screen_size_is_the_displays_own():
    report = boot(extra=["-global", "VGA.xres=1024", "-global", "VGA.yres=768"])
    assert (report["framebuffer"]["width"], report["framebuffer"]["height"]) == (1024, 768)


@pytest.mark.parametrize("wish", ["640x480", "1920x1080"])
def test_resolution_option_sets_the_mode(wish):
    report = boot(arguments=f"report=json exit=debug resolution={wish}")
    assert f"{report['framebuffer']['width']}x{report['framebuffer']['height']}" == wish


def test_no_graphics():
    assert boot(screen=False)["framebuffer"] is None


def test_no_pit():
    boot(machine="q35,pit=off")


def test_no_hpet():
    boot(machine="q35,hpet=off")


def test_no_serial_port_still_boots():
    with Machine(arguments="exit=debug", serial=False) as guest:
        assert guest.wait() == 1


def test_kaslr_slides_and_can_be_switched_off():
    slid = {next(r["va"] for r in boot()["ranges"] if r["name"] == "kernel text") for _ in range(3)}
    fixed = boot(arguments="report=json exit=debug kaslr=off")
    text = next(r["va"] for r in fixed["ranges"] if r["name"] == "kernel text")
    assert int(text, 16) == 0xFFFFFFFF80000000
    assert len(slid) > 1


def from_disk(**machine):
    """Boot without arguments, ask the prompt for the report, switch off."""
    with Machine(**machine) as guest:
        guest.expect(r"self-check: \d+ passed, 0 failed")
        guest.expect("quicklime>")
        guest.send("report json\r")
        report = guest.report()
        guest.send("poweroff\r")
        assert guest.wait() == 0, guest.tail()
        check_report(report, machine.get("memory", 256))
        return report


@pytest.mark.parametrize("machine", ["q35", "pc"])
def test_disk_image_boots(machine):
    from_disk(firmware="disk", machine=machine)


def test_usb_stick_boots():
    from_disk(firmware="usb")


def test_bare_file_on_a_fat_disk_boots(tmp_path):
    directory = esp(str(tmp_path), {"EFI/BOOT/BOOTX64.EFI": EFI})
    from_disk(firmware="disk", disk=directory)


@pytest.mark.parametrize("memory", [128, 1024, 6144])
def test_u_boot(memory):
    report = from_disk(firmware="u-boot", machine="pc", memory=memory)
    assert report["framebuffer"] is None
    assert "Boot" in str(report["firmware"])
