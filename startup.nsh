@echo -off
# What the UEFI shell does with this disk: show the firmware's memory map, then start Quicklime.
# A key during the countdown stops it and leaves you at the prompt; try "BOOTX64 help" there.

# The disk may be any fsN:. Every system's disk may have a BOOTX64.EFI, only ours has its manual.
for %i run (0 63)
  if exist fs%i:\BOOTX64.MAN then
    fs%i:
    goto found
  endif
endfor
echo Quicklime: no disk has \BOOTX64.MAN, by which this script knows its own.
goto end

:found
if not exist \BOOTX64.EFI then
  cd \EFI\BOOT
endif
BOOTX64.EFI memmap
BOOTX64.EFI boot countdown=5
:end
