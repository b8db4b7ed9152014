"""The UEFI shell: every command, its output and its exit status; startup.nsh; and what the same words do
in load options, where nobody sees an exit status."""
import re

import pytest

from qemu import EFI, Machine
from shell import plain, real_disk, run, skip_wait

MIB = 1 << 20
PAGE = 4096
FINE, FOUND, USAGE = 0, 1, 2

DESCRIPTOR = re.compile(r"^([0-9a-f]{12})-([0-9a-f]{12}) +([\d.]+ [KMGT]?i?B) +(\S.*?) *$", re.M)


def sums(result):
    """{type: (descriptors, pages)} from the tables behind the map."""
    return {m[1].strip(): (int(m[2]), int(m[3]))
            for m in re.finditer(r"^(\S.*?|  \S.*?) +(\d+) +(\d+) +[\d.]+ [KMGT]?i?B$", result.text, re.M)}


COMMANDS = [
    "BOOTX64.EFI memmap",
    "BOOTX64.EFI version",
    "BOOTX64.EFI help",
    "BOOTX64.EFI -h",
    "BOOTX64.EFI help boot",
    "BOOTX64.EFI gop --help",
    "BOOTX64.EFI gop",
    "BOOTX64.EFI gop resolution=1024x768",
    "BOOTX64.EFI gop resolution=1x1",
    "BOOTX64.EFI check",
    "BOOTX64.EFI check verbose kaslr=off resolution=640x480 report=json exit -- any words",
    "BOOTX64.EFI check kernel=\\NONE.ELF",
    "BOOTX64.EFI check kernel=\\JUNK.ELF",
    "BOOTX64.EFI boot kernel=\\NONE.ELF",
    "BOOTX64.EFI boot kernel=\\JUNK.ELF",
    "BOOTX64.EFI boot countdown=1 kernel=\\NONE.ELF",
    "BOOTX64.EFI frobnicate",
    "BOOTX64.EFI boot frobnicate",
    "BOOTX64.EFI check kaslr=maybe",
    "BOOTX64.EFI memmap verbose",
    "BOOTX64.EFI help frobnicate",
    "BOOTX64.EFI check \"kernel=\\a b\"",
    "LOADER.EFI memmap",
    "KERNEL.EFI check",
    "BOOTX64.EFI memmap >a map.txt",
    "type map.txt",
    "BOOTX64.EFI memmap",  # the last: the same command as the first, after everything else
]


# The session below is one boot: all of this file runs in one process.
pytestmark = pytest.mark.xdist_group("shell")


def damaged(magic):
    """Our file with a byte changed in the part that begins with this."""
    with open(EFI, "rb") as file:
        data = bytearray(file.read())
    data[data.index(magic) + 5000] ^= 0x10
    return bytes(data)


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    """All commands in one boot of a machine with 256 MiB and a screen; {command: result}, and "after"
    for the last one."""
    directory = tmp_path_factory.mktemp("session")
    results = run(directory, COMMANDS, {"JUNK.ELF": b"no ELF, but long enough for a header" * 20,
                                        "LOADER.EFI": damaged(b"QLL\1"), "KERNEL.EFI": damaged(b"QLK\4")})
    return {**dict(zip(COMMANDS[:-1], results)), "after": results[-1]}


def test_memmap_lists_each_range_once_and_in_its_columns(session):
    result = session["BOOTX64.EFI memmap"]
    assert result.status == FINE
    ranges = [(int(m[1], 16), int(m[2], 16), m[4]) for m in DESCRIPTOR.finditer(result.text)]
    assert len(ranges) > 50
    assert all((last + 1 - first) % PAGE == 0 and last > first for first, last, _ in ranges)
    assert all(re.fullmatch(r"\w+( +[A-Z]{2,3})*", rest) for _, _, rest in ranges), ranges
    assert any(rest.split()[0].startswith("RuntimeServices") and rest.endswith(" RT")
               for _, _, rest in ranges)
    total = sums(result)["Total"]
    assert total == (len(ranges), sum(last + 1 - first for first, last, _ in ranges) // PAGE)


def test_memmap_finds_the_ram_the_machine_was_given(session):
    table = sums(session["BOOTX64.EFI memmap"])
    descriptors, pages = table["RAM"]
    assert 254 * MIB <= pages * PAGE <= 256 * MIB
    free, kept = table["free after the boot"], table["kept for the firmware"]
    assert (descriptors, pages) == (free[0] + kept[0], free[1] + kept[1])


def test_output_fits_the_console(session):
    for command, result in session.items():
        for line in result.lines:
            for part in line.split("\r"):  # a countdown begins its line again
                assert len(part) < 80 or ".ELF" in part or "inside /" in part, (command, part)  # a path may be long


def test_a_damaged_file_is_not_run(session):
    loader, kernel = session["LOADER.EFI memmap"], session["KERNEL.EFI check"]
    assert "Quicklime: its file is damaged." in loader and loader.status & 0xFF == 10  # EFI_VOLUME_CORRUPTED
    assert "Cannot unpack the kernel inside" in kernel and kernel.status == FOUND


def test_output_can_be_redirected(session):
    assert session["BOOTX64.EFI memmap >a map.txt"].status == FINE
    table = sums(session["type map.txt"])
    assert table["RAM"][1] == sums(session["BOOTX64.EFI memmap"])["RAM"][1]


def test_version_names_us_and_the_firmware(session):
    result = session["BOOTX64.EFI version"]
    assert result.status == FINE
    assert re.search(r"^Quicklime \d+\.\d+\.\d+$", result.text, re.M)
    assert "UEFI 2.7 by EDK II" in result


def test_help_lists_every_command_and_option(session):
    result = session["BOOTX64.EFI help"]
    assert result.status == FINE
    assert session["BOOTX64.EFI -h"].text == result.text
    for word in ("boot", "check", "gop", "help", "memmap", "version", "resolution=", "kaslr=",
                 "kernel=", "countdown=", "verbose", "report=", "exit", "stress=", "panic="):
        assert re.search(rf"^  {word}", result.text, re.M), word


def test_help_on_a_command_tells_its_options(session):
    boot = session["BOOTX64.EFI help boot"]
    assert boot.status == FINE and "Usage: BOOTX64.EFI boot" in boot and "countdown=SECONDS" in boot
    gop = session["BOOTX64.EFI gop --help"]
    assert gop.status == FINE and "resolution=WxH" in gop and "countdown" not in gop


def test_gop_marks_the_current_mode_and_the_choice(session):
    result = session["BOOTX64.EFI gop"]
    assert result.status == FINE
    assert re.search(r"^\*>  +0 +1280 x 800 .* 5120  linear$", result.text, re.M)
    wish = session["BOOTX64.EFI gop resolution=1024x768"]
    assert wish.status == FINE
    chosen = re.search(r"^ > +(\d+) +1024 x 768 .* 4096  linear$", wish.text, re.M)
    assert f"boot would choose mode {chosen[1]}: it is the size asked for." in wish


def test_gop_says_when_a_wish_cannot_be_met(session):
    result = session["BOOTX64.EFI gop resolution=1x1"]
    assert result.status == FOUND
    assert "No mode is 1 x 1." in result
    assert "boot would choose mode 0" in result


def test_check_tells_what_would_be_handed_over(session):
    result = session["BOOTX64.EFI check"]
    assert result.status == FINE
    for word in ("Kernel", "Memory map", "Framebuffer     1280x800", "all is well"):
        assert word in result, word
    assert session[next(c for c in COMMANDS if "any words" in c)].status == FINE


@pytest.mark.parametrize("file, sentence", [("NONE", "EFI_NOT_FOUND"), ("JUNK", "magic")])
def test_check_finds_that_a_kernel_cannot_be_booted(session, file, sentence):
    result = session[f"BOOTX64.EFI check kernel=\\{file}.ELF"]
    assert result.status == FOUND
    assert sentence in result and f"{file}.ELF" in result
    assert "all that was allocated is free again" in result


def test_boot_that_fails_returns_the_firmwares_status(session):
    missing, junk = session["BOOTX64.EFI boot kernel=\\NONE.ELF"], session["BOOTX64.EFI boot kernel=\\JUNK.ELF"]
    assert missing.status & 0xFF == 14 and "Not booted: EFI_NOT_FOUND." in missing
    assert junk.status & 0xFF == 1 and "Not booted: EFI_LOAD_ERROR." in junk
    counted = session["BOOTX64.EFI boot countdown=1 kernel=\\NONE.ELF"]
    assert counted.status & 0xFF == 14 and "Booting in 1 s" in counted


def test_nothing_stays_allocated(session):
    before, after = sums(session["BOOTX64.EFI memmap"]), sums(session["after"])
    assert before["LoaderData"] == after["LoaderData"]
    assert before["LoaderCode"] == after["LoaderCode"]
    for command, result in session.items():
        assert " check" not in command or result.status == USAGE or "is free again" in result, command


@pytest.mark.parametrize("command, sentences", [
    ("frobnicate", ['"frobnicate" is neither a command nor an option', "memmap", "resolution="]),
    ("boot frobnicate", ['"frobnicate" is not an option of boot', "countdown=SECONDS"]),
    ("check kaslr=maybe", ['"kaslr=maybe"', "kaslr=on|off"]),
    ("memmap verbose", ['"verbose"', "memmap takes no options"]),
    ("help frobnicate", ['"frobnicate" is not a command', "version"]),
])
def test_wrong_arguments_are_named_and_end_with_status_2(session, command, sentences):
    result = session[f"BOOTX64.EFI {command}"]
    assert result.status == USAGE
    for sentence in sentences:
        assert sentence in result


def test_quoted_words_may_hold_spaces(session):
    result = session['BOOTX64.EFI check "kernel=\\a b"']
    assert result.status == FOUND and "a b" in result and "EFI_NOT_FOUND" in result


def test_machine_without_screen_and_with_ram_above_4_gib(tmp_path):
    memmap, gop, check = run(tmp_path, [f"BOOTX64.EFI {c}" for c in ("memmap", "gop", "check")],
                             screen=False, memory=6144)
    assert memmap.status == FINE, memmap
    assert (6144 - 2) * MIB <= sums(memmap)["RAM"][1] * PAGE <= 6144 * MIB
    assert "Note: not sorted by address" in memmap  # OVMF lists its MMIO behind all RAM
    assert gop.status == FOUND and "No screen" in gop
    assert check.status == FINE and "Framebuffer     none" in check
    assert all(len(line) < 80 for r in (memmap, gop, check) for line in r.lines)


def test_startup_script_boots_when_nobody_presses_a_key(tmp_path):
    with Machine(firmware="disk", disk=real_disk(tmp_path)) as machine:
        skip_wait(machine)
        machine.expect("RAM  ")
        for second in range(5, 0, -1):
            machine.expect(f"Booting in {second} s")
        machine.expect(r"self-check: \d+ passed, 0 failed")


def test_startup_script_stops_at_the_prompt_of_its_own_disk(tmp_path):
    """Ours is the second disk; the first has a BOOTX64.EFI too, as other systems' have."""
    decoy, ours = tmp_path / "decoy", tmp_path / "ours"
    decoy.mkdir()
    (decoy / "BOOTX64.EFI").write_bytes(b"another system's loader")
    real_disk(ours)
    second = ["-drive", f"file=fat:rw:{ours},format=raw"]
    with Machine(firmware="disk", disk=str(decoy), extra=second) as machine:
        skip_wait(machine)
        machine.expect("Booting in 5 s")
        machine.send("x")
        machine.expect("Stopped")
        machine.ask("echo [%cwd% %lasterror%]", r"\[FS1:\S* 0x0\]")
        machine.ask("BOOTX64 -?", "BOOTX64 help +lists")
        start = len(machine.text)
        machine.send("BOOTX64 memmap -b\r")
        machine.expect("Press ENTER to continue", start)
        machine.send("q")
        machine.ask("echo [again %lasterror%]", r"\[again 0x0\]")
        machine.send("reset -s\r")
        assert machine.wait() == 0
        assert "another system" not in plain(machine.text)


@pytest.mark.parametrize("options, expected", [
    ("memmap", r"(?m)^RAM +\d+ +\d+ "),
    ("FS0:\\BOOTX64.EFI version", r"Quicklime \d+\.\d+\.\d+\s+on UEFI"),
])
def test_commands_work_from_load_options(options, expected):
    with Machine(arguments=options) as machine:
        machine.expect(expected)


def test_junk_in_load_options_is_reported_once_and_ignored():
    with Machine(arguments="quiet root=/dev/sda1 exit=debug kaslr=perhaps") as machine:
        machine.expect('Load options ignored: "quiet root=/dev/sda1 kaslr=perhaps"')
        assert machine.wait() == 1, machine.tail()
        assert machine.text.count("Load options ignored") == 1
