/* The kernel ELF as pack.py packs it, carried as read-only data; kernel_file.c unpacks it. */
    .section .rodata.kernel, "a", @progbits
    .globl kernel_blob, kernel_blob_end
    .hidden kernel_blob, kernel_blob_end
kernel_blob:
    .incbin "kernel.packed"
kernel_blob_end:
    .section .note.GNU-stack, "", @progbits
