/* The fonts of package console-setup-linux (Terminus) as font.py has put them into $(BUILD)/fonts, and the
 * table font_files of font.h over them. The table holds addresses, so it lies with the data that is
 * relocated. */

#define FONT(name, file)                                                                           \
    .balign 8;                                                                                     \
    name: .incbin file;                                                                            \
    name##_end:

    .section .rodata.fonts, "a", @progbits
FONT(font_small, "fonts/Uni2-Terminus16.psf")
FONT(font_medium, "fonts/Uni2-TerminusBold24x12.psf")

    .section .data.rel.ro, "aw", @progbits
    .balign 8
    .global font_files
    .hidden font_files
font_files:
    .quad font_small, font_small_end
    .quad font_medium, font_medium_end
    .size font_files, . - font_files
    .type font_files, @object

    .section .note.GNU-stack, "", @progbits
