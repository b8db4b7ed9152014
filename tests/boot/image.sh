#!/bin/sh
# image.sh EFI_FILE IMAGE: a GPT disk of 64 MiB with one FAT32 EFI system partition from 1 MiB on that
# holds EFI/BOOT/BOOTX64.EFI, startup.nsh and what lies in esp/. Reproducible but for the two GUIDs.
set -eu
efi=$1 image=$2
part="$image@@1M"

rm -f "$image"
truncate -s 64M "$image"
sgdisk --clear --set-alignment=2048 --new=1:2048:129023 --typecode=1:ef00 \
    --change-name=1:'EFI system partition' "$image" >/dev/null
mformat -i "$part" -F -T 126976 -h 255 -s 63 -H 2048 -v QUICKLIME ::
mmd -i "$part" ::/EFI ::/EFI/BOOT
mcopy -i "$part" "$efi" ::/EFI/BOOT/BOOTX64.EFI
mcopy -i "$part" "$efi" ::/BOOTX64.EFI
mcopy -i "$part" startup.nsh esp/* ::/
