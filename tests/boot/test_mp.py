"""All CPUs of the machine, as other people's kernels find them: started, in the protocol's state, parked
until they are released. The test kernels check it on each CPU (tests/boot/kernels/mp.c); here are the
machines."""
import re
import subprocess

import pytest

import shell
from qemu import Machine
from test_kernels import boot_inside, built, in_shell


def ids(text, flags="[01]"):
    """[(APIC id, ACPI's number)] of the CPUs that the loader answered with."""
    found = re.search(rf"KERNEL (\d+) CPUs, MP flags {flags}, ids((?: \d+/\d+)+)", text)
    listed = [tuple(int(n) for n in pair.split("/")) for pair in found[2].split()]
    assert len(listed) == int(found[1])
    return listed


def qemu_lacks_x2apic():
    """QEMU emulates it from version 9 on."""
    said = subprocess.run(["qemu-system-x86_64", "--version"], capture_output=True, text=True, check=True)
    return int(re.search(r"version (\d+)", said.stdout)[1]) < 9


x2apic = pytest.mark.skipif(qemu_lacks_x2apic(), reason="this QEMU does not emulate x2APIC mode")


@pytest.mark.parametrize("kernel", ["rev3", "rev4", "rev5", "rev6"])
@pytest.mark.parametrize("firmware,machine", [("disk", "q35"), ("disk", "pc"), ("u-boot", "pc")])
def test_every_cpu_is_released_in_the_protocols_state(tmp_path, kernel, firmware, machine):
    text = boot_inside(tmp_path, kernel, firmware=firmware, machine=machine, smp=4)
    assert ids(text) == [(i, i) for i in range(4)]


@pytest.mark.parametrize("smp", [1, 2, 16, "4,maxcpus=8"])
def test_number_of_cpus(tmp_path, smp):
    text = boot_inside(tmp_path, "rev6", firmware="disk", smp=smp)
    assert len(ids(text)) == int(str(smp).split(",", maxsplit=1)[0])


@pytest.mark.parametrize("smp,cpu,wanted", [
    ("6,sockets=3,cores=2", "EPYC", [0, 1, 2, 3, 4, 5]),
    ("6,sockets=2,cores=3", "EPYC", [0, 1, 2, 4, 5, 6]),
    ("6,sockets=3,cores=1,threads=2", "Nehalem", [0, 1, 2, 3, 4, 5]),
    ("6,sockets=1,cores=2,threads=3", "Nehalem", [0, 1, 2, 4, 5, 6]),
])
def test_sparse_apic_ids(tmp_path, smp, cpu, wanted):
    text = boot_inside(tmp_path, "rev5", firmware="disk", smp=smp, cpu=cpu)
    assert ids(text) == list(zip(wanted, range(6)))


@pytest.mark.parametrize("cpu", ["qemu64", "Nehalem", "qemu64,-nx,-pat,-mtrr"])
def test_cpus_that_lack_something(tmp_path, cpu):
    with_nx = "-nx" not in cpu
    disk = shell.esp(str(tmp_path), {"EFI/BOOT/BOOTX64.EFI": built("rev4.efi")})
    with Machine(firmware="disk", disk=disk, cpu=cpu, smp=3) as guest:
        guest.wait()
        assert len(ids(guest.text)) == 3
        assert ("KERNEL OK" in guest.text) == with_nx, guest.tail()  # the kernels want NX and the PAT


@pytest.mark.parametrize("memory", [64, 6144])
def test_little_and_much_memory(tmp_path, memory):
    assert len(ids(boot_inside(tmp_path, "rev6", firmware="disk", memory=memory, smp=4))) == 4


def test_kernel_that_does_not_ask_gets_none(tmp_path):
    text = boot_inside(tmp_path, "odd", firmware="disk", smp=4)
    assert "KERNEL has not asked for CPUs" in text


def test_cpu_that_does_not_answer_is_left_out_and_the_boot_goes_on(tmp_path):
    text = in_shell(tmp_path, ["load madt.efi", r"BOOTX64.EFI boot kernel=\k.elf"],
                    {"madt.efi": built("madt.efi"), "k.elf": built("rev6.elf")},
                    smp="2,maxcpus=6")
    assert "(APIC id 0x1) is there a second time" in text
    assert "(APIC id 0xff) is enabled, but its id means all CPUs" in text
    assert ids(text) == [(0, 0), (1, 1)]


def test_check_tells_what_would_be_started_and_what_is_odd(tmp_path):
    kernel = r"kernel=\k.elf"
    good, _, bad, without = shell.run(
        tmp_path, [f"BOOTX64.EFI check {kernel}", "load madt.efi", f"BOOTX64.EFI check {kernel}",
                   r"BOOTX64.EFI check kernel=\odd.elf"],
        {"madt.efi": built("madt.efi"), "k.elf": built("rev5.elf"), "odd.elf": built("odd.elf")},
        smp="2,maxcpus=7")
    assert good.status == 0 and "ACPI MADT" not in good
    assert re.search(r"^CPUs +2, of which 1 to be started, xAPIC\n +5 more are disabled", good.text, re.M)
    assert bad.status == 1 and bad.text.count("ACPI MADT") == 3
    assert re.search(r"^CPUs +3, of which 2 to be started", bad.text, re.M)
    assert "has no length: nothing behind it is read" in bad
    assert re.search(r"^CPUs +1: the kernel does not ask for more", without.text, re.M)


@x2apic
@pytest.mark.parametrize("kernel,flags", [("rev6", 1), ("rev5", 0), ("rev3", 0)])
@pytest.mark.parametrize("switched_on", [True, False])
def test_local_apics_are_in_the_mode_the_kernel_asks_for(tmp_path, kernel, flags, switched_on):
    """rev6 asks for x2APIC mode, the others do not."""
    text = in_shell(tmp_path, ["load x2apic.efi"] * switched_on + [r"BOOTX64.EFI boot kernel=\k.elf"],
                    {"x2apic.efi": built("x2apic.efi"), "k.elf": built(f"{kernel}.elf")}, smp=4)
    assert ids(text, flags) == [(i, i) for i in range(4)]


FAR_CPU = ["-device", "max-x86_64-cpu,socket-id=299,core-id=0,thread-id=0"]


@x2apic
def test_apic_ids_above_254(tmp_path):
    text = boot_inside(tmp_path, "rev6", firmware="disk", smp="2,sockets=300,cores=1,maxcpus=300",
                       extra=FAR_CPU)
    assert ids(text, 1) == [(0, 0), (1, 1), (299, 299)]


@x2apic
def test_kernel_without_x2apic_is_refused_where_it_cannot_be_left(tmp_path):
    results = shell.run(tmp_path, [r"BOOTX64.EFI boot kernel=\k.elf"], {"k.elf": built("rev5.elf")},
                        smp="2,sockets=300,cores=1,maxcpus=300", extra=FAR_CPU)
    assert "the kernel wants xAPIC mode" in results[0] and results[0].status != 0
