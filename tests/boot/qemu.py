"""A QEMU machine as a test sees it: start it with some firmware, read and write its serial line, take
pictures of its screen, press its keys, wait for its end. Everything has a time limit; a machine that is
left running is killed by its own handle.

    with Machine(memory=256, arguments="exit=debug") as machine:
        machine.expect("self-check: ")
        assert machine.wait() == 1
"""
import codecs
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time

BUILD = os.path.abspath(os.environ.get("BUILD", "build"))
EFI = os.path.join(BUILD, "BOOTX64.EFI")
IMAGE = os.path.join(BUILD, "quicklime.img")
OVMF = "/usr/share/ovmf/OVMF.fd"
UBOOT = "/usr/lib/u-boot/qemu-x86_64/u-boot.rom"
LIMIT = float(os.environ.get("QL_BOOT_SECONDS", "120"))
KASAN = bool(os.environ.get("QL_KASAN"))  # the kernel is one that takes an eighth of RAM to watch the rest
SLOWER = float(os.environ.get("QL_SLOWER", "1"))  # so many times as long as usual may all take
# As many MiB of RAM as are tried. 8 TiB take the checking kernel ten minutes, of which it watches 20 GiB anyway.
MOST_MEMORY = (1 if KASAN else 8) << 20
STOPPED = "the machine is stopped"  # nothing comes after that


class Timeout(AssertionError):
    """What was waited for did not come; the message ends with what came instead."""


def esp(directory, files):
    """Fill a directory that QEMU shows as a FAT disk: {path on the disk: file here or bytes}."""
    for path, source in files.items():
        target = os.path.join(directory, path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if isinstance(source, bytes):
            with open(target, "wb") as out:
                out.write(source)
        else:
            shutil.copyfile(source, target)
    return directory


class Machine:
    """firmware: "kernel" (OVMF, the EFI file as -kernel), "disk" (OVMF, an image or directory),
    "usb" (OVMF, a stick) or "u-boot" (virtio disk). arguments are LoadOptions and need "kernel"."""

    def __init__(self, firmware="kernel", machine="q35", cpu="max", memory=256, smp=1, arguments="",
                 disk=IMAGE, extra=(), screen=True, serial=True, limit=LIMIT, efi=None):
        self.limit = limit * SLOWER
        self.efi = efi or EFI
        self.text = ""
        self.directory = tempfile.mkdtemp(prefix="quicklime-")
        self.qmp_path = os.path.join(self.directory, "qmp")
        command = ["qemu-system-x86_64", "-machine", machine, "-cpu", cpu, "-smp", str(smp),
                   "-m", str(memory), "-display", "none", "-net", "none", "-no-reboot",
                   "-serial", "stdio" if serial else "none", "-monitor", "none",
                   "-qmp", f"unix:{self.qmp_path},server=on,wait=off",
                   "-device", "isa-debug-exit,iobase=0xf4,iosize=4"]
        command += ["-vga", "std"] if screen else ["-vga", "none"]
        command += self._firmware(firmware, disk, arguments) + list(extra)
        self.command = command
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT)
        self.changed = threading.Condition()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _firmware(self, firmware, disk, arguments):
        if os.path.isdir(disk):
            drive = f"file=fat:rw:{disk},format=raw"
        else:
            drive = f"file={disk},format=raw,snapshot=on"
        if firmware == "kernel":
            return ["-bios", OVMF, "-kernel", self.efi, "-append", arguments]
        if firmware == "disk":
            return ["-bios", OVMF, "-drive", drive]
        if firmware == "usb":
            return ["-bios", OVMF, "-drive", drive + ",if=none,id=stick", "-device", "qemu-xhci",
                    "-device", "usb-storage,drive=stick"]
        if firmware == "u-boot":
            return ["-bios", UBOOT, "-drive", drive + ",if=virtio"]
        raise ValueError(firmware)

    def _read(self):
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        while True:
            data = os.read(self.process.stdout.fileno(), 65536)
            with self.changed:
                self.text += decoder.decode(data, not data)
                self.changed.notify_all()
            if not data:
                return

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.reader.join(10)
        shutil.rmtree(self.directory, ignore_errors=True)

    def tail(self):
        """The end of the log, for messages."""
        return "the serial line ended with:\n" + self.text[-3000:]

    def expect(self, pattern, start=0, limit=None):
        """Wait until the regular expression is on the serial line from offset start; the match."""
        end = time.monotonic() + (limit * SLOWER if limit else self.limit)
        with self.changed:
            while True:
                match = re.compile(pattern).search(self.text, start)
                if match:
                    return match
                if STOPPED in self.text[start:]:
                    raise Timeout(f"no {pattern!r}, nor will it come; {self.tail()}")
                left = end - time.monotonic()
                if left <= 0 or (self.process.poll() is not None and not self.reader.is_alive()):
                    raise Timeout(f"no {pattern!r}; {self.tail()}")
                self.changed.wait(min(left, 0.5))

    def send(self, text):
        """Type on the serial line. Slowly enough for a UART without flow control."""
        for byte in text.encode():
            self.process.stdin.write(bytes([byte]))
            self.process.stdin.flush()
            time.sleep(0.01)

    def ask(self, line, pattern):
        """Type a line and wait for a pattern behind it."""
        start = len(self.text)
        self.send(line + "\r")
        return self.expect(pattern, start)

    def wait(self, limit=None):
        """The exit status of QEMU, which must end by itself."""
        try:
            status = self.process.wait(limit * SLOWER if limit else self.limit)
        except subprocess.TimeoutExpired:
            raise Timeout(f"the machine did not switch off; {self.tail()}") from None
        self.reader.join(10)
        return status

    def qmp(self, *commands):
        """Run QMP commands, (name, {arguments}) each; the results."""
        results = []
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(30)
            link.connect(self.qmp_path)
            stream = link.makefile("rw")
            stream.readline()
            for name, arguments in (("qmp_capabilities", {}),) + commands:
                stream.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
                stream.flush()
                while True:
                    answer = json.loads(stream.readline())
                    if "error" in answer:
                        raise AssertionError(f"QMP {name}: {answer['error']}")
                    if "return" in answer:
                        results.append(answer["return"])
                        break
        return results[1:]

    def screenshot(self, path):
        """Write the screen to a PNG file."""
        self.qmp(("screendump", {"filename": path, "format": "png"}))
        return path

    def keys(self, *names):
        """Press keys of the PS/2 keyboard by their QEMU names: "h", "ret", "shift-a"."""
        for name in names:
            codes = [{"type": "qcode", "data": code} for code in name.split("-")]
            self.qmp(("send-key", {"keys": codes}))
            time.sleep(0.15)

    def report(self):
        """The kernel's one line of JSON."""
        match = self.expect(r'(?m)^(\{"quicklime":.*\})\r?\n')
        return json.loads(match.group(1))
