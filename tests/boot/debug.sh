#!/bin/sh
# QEMU halted before its first instruction, and gdb on it with the kernel's symbols: stops at the
# kernel's entry. The slide is off, so that the symbols are where the ELF says.
set -eu
port=${GDB_PORT:-1234}
qemu-system-x86_64 -machine "$MACHINE" -cpu "$CPU" -smp "$SMP" -m "$MEM" \
    -bios /usr/share/ovmf/OVMF.fd -kernel "$BUILD/BOOTX64.EFI" -append "kaslr=off $ARGS" \
    -display none -net none -serial "file:$BUILD/debug.log" -monitor none \
    -gdb "tcp:127.0.0.1:$port" -S "$@" &
qemu=$!
trap 'kill $qemu 2>/dev/null' EXIT
echo "The serial line goes to $BUILD/debug.log."
gdb -q "$BUILD/kernel.elf" -ex "target remote 127.0.0.1:$port" -ex 'hbreak kernel_entry' -ex continue
