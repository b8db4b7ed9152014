/* The loader as pack_loader.py packs it, for stub.c, and the kernel ELF as pack.py does, for
 * kernel_file.c: read-only data. */
    .section .rodata.carried, "a", @progbits
    .globl loader_blob, loader_blob_end, kernel_blob, kernel_blob_end
    .hidden loader_blob, loader_blob_end, kernel_blob, kernel_blob_end
    .balign 8
loader_blob:
    .incbin "loader.packed"
loader_blob_end:
kernel_blob:
    .incbin "kernel.packed"
kernel_blob_end:
    .section .note.GNU-stack, "", @progbits
