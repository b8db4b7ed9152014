"""Levels of page tables: 4 or 5, as kernel, CPU and user want them, entered from a firmware that uses 4 (or was
made to use 5). QEMU's "max" has 5-level paging, unless told otherwise."""
import re
import struct

import pytest

import shell
from qemu import EFI, MOST_MEMORY, Machine, esp
from test_kernels import boot_inside, built, in_shell
from test_matrix import boot, check_report

PAGING_ID = struct.pack("<QQ", 0x95C1A0EDAB0944CB, 0xA4E5CB3842F7488A)
CR4_LA57 = 1 << 12
LOWEST = {4: 0xFFFF800000000000, 5: 0xFF00000000000000}  # of the upper half
WINDOWS = 0xFFFFC00000000000  # what lies above the direct map


def direct_map(report):
    return min(int(r["va"], 16) for r in report["ranges"] if r["name"].startswith("direct map"))


def check_levels(report, levels):
    """The report of our kernel, about the levels it runs on; the base of its direct map."""
    assert report["page_tables"]["levels"] == levels
    assert bool(int(report["cpu"]["cr4"], 16) & CR4_LA57) == (levels == 5)
    for each in report["ranges"]:
        va = int(each["va"], 16)
        assert va == 0 or va >= LOWEST[levels], each  # canonical, and the kernel's
    assert LOWEST[levels] <= direct_map(report) < WINDOWS
    windows = [r for r in report["ranges"] if "local APIC" in r["name"] or r["name"] == "framebuffer"]
    assert windows and all(int(r["va"], 16) >= WINDOWS for r in windows)
    return direct_map(report)


@pytest.mark.parametrize("cpu,option,levels", [
    ("max", "paging=5level", 5),
    ("max", "paging=4level", 4),
    ("max", "", 4),
    ("max,la57=off", "paging=5level", 4),
    ("max,la57=off", "", 4),
])
@pytest.mark.parametrize("smp,kaslr", [(1, "off"), (2, "on"), (4, "off")])
def test_own_kernel_runs_on_either(cpu, option, levels, smp, kaslr):
    report = boot(arguments=f"report=json exit=debug kaslr={kaslr} {option}", cpu=cpu, smp=smp)
    base = check_levels(report, levels)
    assert len([c for c in report["cpus"] if c["state"] == "online"]) == smp
    assert kaslr == "on" or base == LOWEST[levels]


def test_direct_map_slides_with_5_levels():
    reports = [boot(arguments="report=json exit=debug paging=5level") for _ in range(3)]
    assert len({check_levels(report, 5) for report in reports}) > 1


def test_self_check_and_stress_pass_with_5_levels():
    report = boot(arguments="report=json exit=debug paging=5level stress=2", smp=2)
    assert report["stress"]["passed"] and not report["stress"]["failed"]


@pytest.mark.parametrize("memory, phys_bits", [(64 << 10, 40), (MOST_MEMORY, 44)])
def test_much_memory_with_5_levels(memory, phys_bits):
    """The firmware loads the EFI file above 4 GiB. QEMU gives memory only where it is touched."""
    report = boot(arguments="report=json exit=debug paging=5level", memory=memory, smp=2,
                  machine="q35,memory-backend=m", cpu=f"max,phys-bits={phys_bits},pdpe1gb=on",
                  extra=["-object", f"memory-backend-ram,id=m,size={memory}M,reserve=off"])
    check_levels(report, 5)


@pytest.mark.parametrize("machine", ["q35", "pc"])
def test_monitor_says_the_levels_and_the_firmware_switches_off_from_5(machine):
    with Machine(arguments="paging=5level", machine=machine) as guest:
        guest.expect("quicklime>")
        assert guest.ask("ranges", r"page tables .*5 levels, \d+ tables")
        guest.send("poweroff\r")
        assert guest.wait() == 0, guest.tail()


# ---- other people's kernels ---------------------------------------------------------------------

def levels_of(text):
    return int(re.search(r"KERNEL on (\d) levels", text)[1])


@pytest.mark.parametrize("firmware,machine", [("disk", "q35"), ("disk", "pc"), ("u-boot", "pc")])
@pytest.mark.parametrize("smp", [1, 2, 4])
def test_kernel_that_prefers_5_levels_gets_them(tmp_path, firmware, machine, smp):
    text = boot_inside(tmp_path, "five", firmware=firmware, machine=machine, smp=smp)
    assert levels_of(text) == 5 and f"KERNEL {smp} CPUs" in text


@pytest.mark.parametrize("firmware", ["disk", "u-boot"])
def test_kernel_that_prefers_5_levels_gets_4_where_there_are_no_more(tmp_path, firmware):
    text = boot_inside(tmp_path, "five", firmware=firmware, machine="pc", cpu="max,la57=off", smp=2)
    assert levels_of(text) == 4


@pytest.mark.parametrize("memory", [64, 6144])
def test_little_and_much_memory_with_5_levels(tmp_path, memory):
    """U-Boot."""
    text = boot_inside(tmp_path, "five", firmware="u-boot", machine="pc", memory=memory, smp=2)
    assert levels_of(text) == 5


def asking(kernel, mode, most, least, revision=1):
    """A test kernel with another paging mode request."""
    with open(built(f"{kernel}.elf"), "rb") as file:
        data = bytearray(file.read())
    at = data.find(PAGING_ID)
    assert at > 0 and data.find(PAGING_ID, at + 1) < 0
    struct.pack_into("<Q", data, at + 16, revision)
    struct.pack_into("<QQQ", data, at + 32, mode, most, least)
    return bytes(data)


@pytest.mark.parametrize("kernel", ["rev3", "rev4", "rev5", "rev6", "odd"])
def test_5_levels_for_each_base_revision(tmp_path, kernel):
    text = in_shell(tmp_path, [r"BOOTX64.EFI boot paging=5level kernel=\k.elf"],
                    {"k.elf": built(f"{kernel}.elf")}, smp=2, memory=512)
    assert levels_of(text) == 5


@pytest.mark.parametrize("request_,option,levels", [
    ((1, 1, 1), "", 5),
    ((1, 1, 1), "paging=4level", 5),
    ((1, 0, 0, 0), "", 5),
    ((0, 0, 0), "paging=5level", 4),
    ((7, 9, 0), "", 5),
])
def test_request_is_honoured_before_the_option(tmp_path, request_, option, levels):
    text = in_shell(tmp_path, [rf"BOOTX64.EFI boot {option} kernel=\k.elf"],
                    {"k.elf": asking("rev3", *request_)}, smp=2)
    assert levels_of(text) == levels
    assert ("is not possible with this kernel and CPU" in text) == bool(option)


def test_check_says_the_levels_and_why_a_kernel_is_refused(tmp_path):
    requests = {"least5": (1, 1, 1), "rev0": (1, 0, 0, 0), "most4": (0, 0, 0), "empty": (0, 0, 1),
                "least7": (7, 7, 7)}
    files = {f"{name}.elf": asking("rev3", *request) for name, request in requests.items()}
    commands = [f"BOOTX64.EFI check kaslr=off kernel=\\{name}" for name in files]
    for cpu, levels in (("max", [5, 5, 4, 0, 0]), ("max,la57=off", [0, 4, 4, 0, 0])):
        for result, wanted in zip(shell.run(tmp_path, commands, files, cpu=cpu), levels):
            if wanted:
                assert f"{wanted}-level, HHDM at {LOWEST[wanted]:016x}" in result
            else:
                assert "paging mode request, min_mode" in result and result.status == 1, result


# ---- firmware that uses 5 levels: la57.efi makes it so ---------------------------------------------

@pytest.mark.parametrize("kernel,option,levels", [
    ("rev3", "", 4),
    ("rev6", "", 4),
    ("odd", "", 4),
    ("five", "", 5),
    ("rev4", "paging=5level", 5),
    ("five", "paging=4level", 4),
])
def test_firmware_on_5_levels_is_left_for_4_or_kept(tmp_path, kernel, option, levels):
    text = in_shell(tmp_path, ["load la57.efi", rf"BOOTX64.EFI boot {option} kernel=\k.elf"],
                    {"k.elf": built(f"{kernel}.elf"), "la57.efi": built("la57.efi")})
    assert re.search(r"la57.efi' loaded at \w+ - Success", text)
    assert levels_of(text) == levels


@pytest.mark.parametrize("option,levels", [("", 4), ("paging=5level", 5)])
def test_own_kernel_after_firmware_on_5_levels(tmp_path, option, levels):
    script = f"fs0:\r\nload la57.efi\r\nBOOTX64.EFI boot report=json exit=debug {option}\r\n".encode()
    disk = esp(str(tmp_path), {"BOOTX64.EFI": EFI, "la57.efi": built("la57.efi"), "startup.nsh": script})
    with Machine(firmware="disk", disk=disk) as guest:
        shell.skip_wait(guest)
        guest.expect(r"la57.efi' loaded at \w+ - Success")
        report = guest.report()
        assert guest.wait() == 1, guest.tail()
        check_report(report, 256)
        check_levels(report, levels)


def test_without_memory_below_4_gib_the_levels_stay_if_the_kernel_allows(tmp_path):
    files = {"nolow.efi": built("nolow.efi"), "least5.elf": asking("rev3", 1, 1, 1), "five.elf": built("five.elf"),
             "four.elf": built("rev4.elf")}
    _, least5, five, four = shell.run(
        tmp_path, ["load nolow.efi"] + [rf"BOOTX64.EFI check kernel=\{k}.elf" for k in ("least5", "five", "four")],
        files)
    said = "No memory below 4 GiB is free: page tables keep their 4 levels."
    assert said in least5 and "min_mode 1, max_mode 1: this machine has modes 0 to 0 (4 to 4 levels)" in least5
    assert said in five and "4-level, HHDM at" in five
    assert said not in four and "4-level, HHDM at" in four
