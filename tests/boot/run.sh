#!/bin/sh
# Boot build/BOOTX64.EFI in QEMU under OVMF with the serial line on this terminal. Called by `make run`,
# which sets the variables; arguments go to QEMU. Exit status 0 only if the kernel's self-check passed.
set -u
log=$BUILD/run.log
: > "$log"

limit=
if [ -t 0 ]; then
    echo "Ctrl-A X leaves QEMU, Ctrl-A H shows its other keys."
else
    ARGS="exit $ARGS" # nobody can type: power off after the report
    limit="timeout 600"
fi

$limit qemu-system-x86_64 -machine "$MACHINE" -cpu "$CPU" -smp "$SMP" -m "$MEM" \
    -bios /usr/share/ovmf/OVMF.fd -kernel "$BUILD/BOOTX64.EFI" -append "$ARGS" \
    -display "$DISPLAY_" -net none \
    -chardev stdio,id=terminal,mux=on,signal=off,logfile="$log" \
    -serial chardev:terminal -mon chardev=terminal "$@"
status=$?

if [ $status = 124 ]; then
    echo "make run: no end within 10 minutes; QEMU was stopped. The log is in $log." >&2
    exit 1
fi
if ! grep -aqE 'self-check: [1-9][0-9]* passed, 0 failed' "$log"; then
    echo "make run: the kernel's self-check did not pass (or the boot did not get there); see $log." >&2
    exit 1
fi
