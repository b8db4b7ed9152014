"""The prompt, as somebody at the serial line or the keyboard meets it, and the picture on the screen."""
import os
import re
import time

from qemu import Machine
from screen import Font, Picture, read
from shell import plain


def answer(machine, line):
    """Type a line; what was printed up to the next prompt."""
    start = len(machine.text)
    machine.send(line + "\r")
    machine.expect(r"quicklime>", machine.expect(r"\n", start).end())
    text = plain(machine.text[start:])
    return text[text.index("\n") + 1:text.rindex("quicklime>")]


def test_commands_answer():
    with Machine(arguments="") as machine:
        machine.expect("quicklime>")
        listed = re.findall(r"(?m)^  ([a-z]+) ", answer(machine, "help"))
        for name in ("help", "report", "panic", "reboot", "poweroff"):
            assert name in listed
        for name in listed:
            assert name in answer(machine, f"help {name}")
        assert "kernel text" in answer(machine, "ranges")
        assert re.search(r"\d+ total, \d+ used, \d+ free", answer(machine, "frames"))
        assert "usable" in answer(machine, "memmap")
        assert "allocations" in answer(machine, "heap")
        assert re.search(r"self-check: \d+ passed, 0 failed", answer(machine, "selfcheck"))
        assert "Address space" in answer(machine, "report")
        unknown = answer(machine, "frobnicate")
        assert '"frobnicate"' in unknown and "help" in unknown
        assert answer(machine, "").strip() == ""


def test_line_editing_and_history():
    with Machine(arguments="") as machine:
        machine.expect("quicklime>")
        assert "free" in answer(machine, "garbage\x15framez\x7fs")  # Ctrl-U, backspace
        assert "free" in answer(machine, "\x1b[A")  # up: the line before
        assert "no command" in answer(machine, "x" * 300)
        assert "free" in answer(machine, "fram\t")  # tab completes


def test_junk_on_the_line_does_no_harm():
    with Machine(arguments="") as machine:
        machine.expect("quicklime>")
        start = len(machine.text)
        machine.process.stdin.write(bytes(range(128, 256)) + b"\x1b[999;999R\x1b]0;\x00\x07" + b"\r")
        machine.process.stdin.flush()
        machine.expect("quicklime>", machine.expect("There is no command", start).end())
        assert "free" in answer(machine, "\x15frames")


def test_poweroff_and_reboot():
    with Machine(arguments="") as machine:
        machine.expect("quicklime>")
        machine.send("poweroff\r")
        assert machine.wait() == 0
    with Machine(arguments="") as machine:
        machine.expect("quicklime>")
        machine.qmp(("set-action", {"reboot": "reset"}))
        start = len(machine.text)
        machine.send("reboot\r")
        machine.expect(r"self-check: \d+ passed, 0 failed", start)


def test_exit_switches_off_after_the_report():
    with Machine(arguments="exit") as machine:
        assert machine.wait() == 0
        assert re.search(r"self-check: \d+ passed, 0 failed", machine.text)
        assert "quicklime>" not in machine.text


def test_keyboard_works_without_a_serial_port():
    with Machine(arguments="", serial=False) as machine:
        wait_for_screen(machine, "quicklime>")
        machine.keys("p", "o", "w", "e", "r", "o", "f", "f", "ret")
        assert machine.wait() == 0


def wait_for_screen(machine, text):
    """The lines of the screen once text is among them."""
    font = Font("Uni2-Terminus16")
    path = os.path.join(machine.directory, "screen.ppm")
    end = time.monotonic() + machine.limit
    lines = []
    while time.monotonic() < end:
        time.sleep(0.5)
        machine.qmp(("screendump", {"filename": path}))
        picture = Picture(path)
        if (picture.width, picture.height) == (1280, 800):
            lines = read(path, font, left=4, top=8)  # the margin: half of what a cell leaves over
            if any(text in line for line in lines):
                return lines
    raise AssertionError(f"no {text!r} on the screen, which shows:\n" + "\n".join(lines))


def test_the_screen_shows_what_the_serial_line_says():
    with Machine(arguments="") as machine:
        machine.expect("quicklime>")
        lines = wait_for_screen(machine, "quicklime>")
        serial = plain(machine.text)
    report = serial[serial.index("self-check:"):serial.index("quicklime>")]
    for line in report.split("\n"):
        assert line.rstrip() in lines, line
    assert "\ufffd" not in "".join(line for line in lines if "quicklime>" not in line)
