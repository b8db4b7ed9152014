# Make the kernel's symbol table from `nm -n`: functions in the order of their addresses. No input
# gives an empty table, for the first of the two links. Addresses are handled as text: awk's numbers
# do not hold 64 bits. The base is that of kernel.ld.
BEGIN { count = 0; before = "80000000" }
# What kernel.ld defines is no function, though it stands at the address of one.
$2 ~ /^[tT]$/ && $3 !~ /^(image_start|heap_text_start|heap_text_end|text_end)$/ && $1 != last {
    last = $1
    low[count] = substr($1, length($1) - 7)
    name[count++] = $3
}
END {
    print "    .section .rodata.symbols, \"a\", @progbits"
    print "    .balign 4"
    table("symbols_number")
    printf "    .long %d\n", count
    table("symbols_steps")
    for (i = 0; i < count; before = low[i++])
        printf "    .short 0x%s - 0x%s\n", low[i], before
    table("symbols_text")
    for (i = 0; i < count; i++)
        printf "    .asciz \"%s\"\n", name[i]
    print "    .section .note.GNU-stack, \"\", @progbits"
}
function table(label)
{
    printf "    .globl %s\n    .hidden %s\n%s:\n", label, label, label
}
