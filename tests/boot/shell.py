"""The UEFI shell as a test sees it: run a list of commands in one boot, get what each printed and its
%lasterror%."""
import os
import re

from qemu import EFI, Machine, esp

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# What the terminal driver sends around the text: colours and cursor positions.
ESCAPES = re.compile(r"\x1b\[[0-9;=]*[A-Za-z]")


def plain(text):
    """The text as a person sees it, lines ended by a bare newline."""
    return ESCAPES.sub("", text).replace("\r\n", "\n")


def skip_wait(machine):
    """The shell waits five seconds before startup.nsh, but not if a key says so."""
    machine.expect("seconds to skip")
    machine.send(" ")


def real_disk(directory, **more):
    """Our own ESP as `make image` makes it, without EFI/BOOT: so OVMF falls through to its shell."""
    files = {"BOOTX64.EFI": EFI, "startup.nsh": os.path.join(ROOT, "startup.nsh")}
    for name in os.listdir(os.path.join(ROOT, "esp")):
        files[name] = os.path.join(ROOT, "esp", name)
    return esp(str(directory), {**files, **more})


class Result:
    """What one command printed, and the exit status that the shell saw."""

    def __init__(self, text, status):
        self.text, self.status = text, status
        self.lines = text.split("\n")

    def __contains__(self, text):
        return text in self.text

    def __repr__(self):
        return f"exit status {self.status:#x}, output:\n{self.text}"


def run(directory, commands, files=None, **machine):
    """Boot OVMF's shell, run each command; a list of results."""
    script = ["@echo -off", "fs0:"]
    for i, command in enumerate(commands):
        script += [f"echo [begin {i}]", command, f"echo [end {i} %lasterror%]"]
    script += ["reset -s", ""]
    disk = esp(str(directory), {"BOOTX64.EFI": EFI, **(files or {}),
                                "startup.nsh": "\r\n".join(script).encode()})
    with Machine(firmware="disk", disk=disk, **machine) as guest:
        skip_wait(guest)
        assert guest.wait() == 0, guest.tail()
        text = plain(guest.text)
    results = []
    for i, command in enumerate(commands):
        found = re.search(rf"\[begin {i}\]\n(.*?)\[end {i} (0x[0-9A-F]+)\]", text, re.S)
        assert found, f"{command} did not come back; the serial line ended with:\n{text[-3000:]}"
        results.append(Result(found[1], int(found[2], 16)))
    return results
