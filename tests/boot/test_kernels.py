"""Other people's kernels: test kernels that check the loader's every answer and the state of the machine
themselves (tests/boot/kernels), for each base revision; and files that are no kernels."""
import os
import re
import struct

import pytest

import shell
from qemu import BUILD, OVMF, Machine, esp

KERNELS = os.path.join(BUILD, "test-kernels")
HHDM_ID = struct.pack("<QQ", 0x48DCF1CB8AD2B852, 0x63984E959A98244B)
MEMMAP_ID = struct.pack("<QQ", 0x67CF3D9D378A806F, 0xE304ACDFC50C3C62)
REVISION_TAG = struct.pack("<QQ", 0xF9562B2D5C95A6C8, 0x6A7B384944536BDC)


def built(name):
    return os.path.join(KERNELS, name)


def expect_ok(guest):
    """The kernel's own verdict; returns what it said."""
    status = guest.wait()
    assert "KERNEL BAD" not in guest.text and "KERNEL OK" in guest.text and status == 1, guest.tail()
    return guest.text


def boot_inside(directory, kernel, **machine):
    """Boot the EFI file that carries the test kernel inside, from a disk."""
    disk = esp(str(directory), {"EFI/BOOT/BOOTX64.EFI": built(f"{kernel}.efi")})
    with Machine(disk=disk, **machine) as guest:
        return expect_ok(guest)


@pytest.mark.parametrize("kernel", ["rev3", "rev4", "rev5", "rev6", "odd"])
@pytest.mark.parametrize("firmware,machine", [("disk", "q35"), ("disk", "pc"), ("u-boot", "pc")])
def test_kernel_finds_all_answers_right(tmp_path, kernel, firmware, machine):
    text = boot_inside(tmp_path, kernel, firmware=firmware, machine=machine)
    assert ("no framebuffer" in text) == (firmware == "u-boot")


@pytest.mark.parametrize("memory", [64, 3072, 16384])
def test_base_revision_6_with_little_and_much_memory(tmp_path, memory):
    boot_inside(tmp_path, "rev6", firmware="disk", memory=memory)


@pytest.mark.parametrize("cpu", ["qemu64", "Nehalem", "EPYC"])
def test_base_revision_6_on_other_cpus(tmp_path, cpu):
    boot_inside(tmp_path, "rev6", firmware="disk", machine="pc", cpu=cpu, memory=6144)


def in_shell(directory, lines, files, kind=Machine, **machine):
    """Boot the UEFI shell with these lines as startup.nsh; the last one does not come back."""
    script = "\r\n".join(["fs0:"] + lines + ["reset -s", ""]).encode()
    disk = esp(str(directory), {"BOOTX64.EFI": os.path.join(BUILD, "BOOTX64.EFI"), **files,
                                "startup.nsh": script})
    with kind(firmware="disk", disk=disk, **machine) as guest:
        shell.skip_wait(guest)
        return expect_ok(guest)


def test_loader_runs_where_the_firmware_enforces_protection(tmp_path):
    """nx.efi gives pages that are not executable, and changes what they are if asked to."""
    files = {"k.elf": built("rev6.elf"), "nx.efi": built("nx.efi")}
    text = in_shell(tmp_path, ["load nx.efi", "BOOTX64.EFI version", "BOOTX64.EFI help nothing",
                               r"BOOTX64.EFI boot kernel=\k.elf"], files)
    assert re.search(r"nx.efi' loaded at \w+ - Success", text)
    assert text.count("nx: freed as it was") == 2
    assert "nx: freed changed" not in text and "nx: writable and executable" not in text


def test_foreign_kernel_gets_its_path_and_only_what_follows_the_dashes(tmp_path):
    text = in_shell(tmp_path, [r"BOOTX64.EFI boot kernel=\boot\k.elf kaslr=off -- hello kernel"],
                    {"boot/k.elf": built("rev4.elf")})
    assert re.search(r'KERNEL file /boot/k.elf, \d+ bytes, partition 1, string "hello kernel"', text)


def test_stale_memory_map_is_fetched_again(tmp_path):
    text = in_shell(tmp_path, ["load stale.efi", r"BOOTX64.EFI boot kernel=\k.elf"],
                    {"stale.efi": built("stale.efi"), "k.elf": built("rev6.elf")})
    assert text.count("STALE: refusing") == 2
    assert "STALE: AllocatePages" not in text


class VirtioMachine(Machine):
    """OVMF with a disk that passes by the IOMMU, so that files can be read while it translates."""

    def _firmware(self, firmware, disk, arguments):
        return ["-bios", OVMF, "-drive", f"file=fat:rw:{disk},format=raw,if=virtio"]


@pytest.mark.parametrize("device,cpu,register,value", [
    ("intel-iommu", "max", "FED90018", "80000000"),
    ("amd-iommu", "EPYC", "FED80018", "1"),
])
@pytest.mark.parametrize("kernel,left_on", [("rev4", True), ("rev6", False)])
def test_iommu_is_switched_off_from_base_revision_5(tmp_path, device, cpu, register, value, kernel, left_on):
    text = in_shell(tmp_path, [f"mm {register} {value} -w 4 -MMIO -n", r"BOOTX64.EFI boot kernel=\k.elf"],
                    {"k.elf": built(f"{kernel}.elf")}, kind=VirtioMachine, cpu=cpu,
                    extra=["-device", device])
    vtd, amd_vi = re.search(r"VT-d status (\w+), AMD-Vi control (\w+)", text).groups()
    assert (vtd == "80000000" or amd_vi == "1") == left_on


def variant(change):
    """The base revision 3 kernel, changed."""
    with open(built("rev3.elf"), "rb") as file:
        data = bytearray(file.read())
    change(data)
    return bytes(data)


def put(offset, value):
    return lambda data: struct.pack_into("<Q", data, offset, value)


def replace(old, new):
    def change(data):
        at = data.find(old)
        assert at >= 0
        data[at:at + len(new)] = new
    return change


PROGRAM_HEADER = 64
REFUSED = {
    "text.elf": (lambda: b"no ELF at all, " * 10, "e_ident"),
    "short.elf": (lambda: b"\x7fELF", "size 0x4"),
    "offset.elf": (lambda: variant(put(PROGRAM_HEADER + 8, 2**64 - 4096)), "p_offset 0xfffffffffffff000"),
    "memsz.elf": (lambda: variant(put(PROGRAM_HEADER + 40, 16)), "p_memsz 0x10"),
    "entry.elf": (lambda: variant(put(24, 0x5000)), "e_entry 0x5000"),
    "huge.elf": (lambda: variant(put(PROGRAM_HEADER + 40, 1 << 40)), "p_memsz 0x10000000000"),
    "rev2.elf": (lambda: variant(replace(REVISION_TAG + b"\3", REVISION_TAG + b"\2")), "base revision 0x2"),
    "rev7.elf": (lambda: variant(replace(REVISION_TAG + b"\3", REVISION_TAG + b"\7")), "base revision 0x7"),
    "notag.elf": (lambda: variant(replace(REVISION_TAG, b"\0" * 8)), "without a tag"),
    "twice.elf": (lambda: variant(replace(MEMMAP_ID, HHDM_ID)), "HHDM"),
    "big.elf": (lambda: open(built("odd.elf"), "rb").read(), "EFI_OUT_OF_RESOURCES"), # 64 MiB of zeros
}


def test_files_that_cannot_be_booted_are_named_and_leave_nothing_behind(tmp_path):
    files = {name: make() for name, (make, _) in REFUSED.items()}
    commands = [f"BOOTX64.EFI {how} kernel=\\{name}" for name in files for how in ("boot", "check")]
    results = iter(shell.run(tmp_path, commands, files, memory=64))
    for name, (_, words) in REFUSED.items():
        boot, check = next(results), next(results)
        assert words in boot and f"/{name}" in boot and boot.status != 0, boot
        assert words in check and "all that was allocated is free again" in check, check
        assert check.status == 1
