/* Room for base relocations: pe.py fills it. */
    .section .reloc, "a", @progbits
    .skip 512
    .section .note.GNU-stack, "", @progbits
