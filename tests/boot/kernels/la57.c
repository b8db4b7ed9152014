/* A UEFI driver that puts the CPU onto 5 levels of page tables, as firmware may have done, and leaves it
 * there, with a root of its own above the firmware's. For machines with one CPU: OVMF prepares the others
 * for the end of boot services with the CR4 it remembers. All must lie below 4 GiB, as it does on a small
 * machine. "load la57.efi" in the UEFI shell starts it.
 * source: Intel SDM Vol. 3A "Switching Out of IA-32e Mode Operation". */
#include <efi.h>

EFI_STATUS EFIAPI efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *table);
__attribute__((sysv_abi)) void change_levels(UINT64 root);

/* Into 32-bit mode by our own GDT, without paging, and all the way back. On the stack: 0 the firmware's
 * GDTR, 10 its data segment, 16 its code segment, 24 where to jump. */
__asm__("    .text\n"
        "change_levels:\n"
        "    pushfq\n"
        "    cli\n"
        "    subq $32, %rsp\n"
        "    sgdt (%rsp)\n"
        "    movw %ds, 10(%rsp)\n"
        "    movq $0, 16(%rsp)\n"
        "    movw %cs, 16(%rsp)\n"
        "    leaq gdt(%rip), %rax\n"
        "    movq %rax, gdtr+2(%rip)\n"
        "    lgdt gdtr(%rip)\n"
        "    leaq 1f(%rip), %rax\n"
        "    movl %eax, 24(%rsp)\n"
        "    movw $0x08, 28(%rsp)\n"
        "    ljmpl *24(%rsp)\n"
        "    .code32\n"
        "1:  movl $0x10, %eax\n"
        "    movl %eax, %ds\n"
        "    movl %eax, %ss\n"
        "    movl %cr0, %edx\n"
        "    andl $0x7fffffff, %edx\n"
        "    movl %edx, %cr0\n"
        "    movl %cr4, %eax\n"
        "    orl $0x1000, %eax\n"
        "    movl %eax, %cr4\n"
        "    movl %edi, %cr3\n"
        "    orl $0x80000000, %edx\n"
        "    movl %edx, %cr0\n"
        "    movl 24(%esp), %eax\n"
        "    addl $2f - 1b, %eax\n"
        "    pushl $0x18\n"
        "    pushl %eax\n"
        "    lretl\n"
        "    .code64\n"
        "2:  lgdt (%rsp)\n"
        "    movw 10(%rsp), %ax\n"
        "    movl %eax, %ds\n"
        "    movl %eax, %ss\n"
        "    pushq 16(%rsp)\n"
        "    leaq 3f(%rip), %rax\n"
        "    pushq %rax\n"
        "    lretq\n"
        "3:  addq $32, %rsp\n"
        "    popfq\n"
        "    ret\n"
        "    .data\n"
        "    .balign 8\n"
        "gdt: .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00af9b000000ffff\n"
        "gdtr: .word 31\n"
        "    .quad 0\n"
        "    .text\n");

EFI_STATUS EFIAPI efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *table)
{
    (void)image;
    EFI_PHYSICAL_ADDRESS page = 0xffffffff;
    EFI_STATUS status =
        table->BootServices->AllocatePages(AllocateMaxAddress, EfiBootServicesData, 1, &page);
    if (EFI_ERROR(status))
        return status;
    UINT64 *root = (UINT64 *)page, cr3;
    __asm__ volatile("mov %%cr3, %0" : "=r"(cr3));
    table->BootServices->SetMem(root, 4096, 0);
    root[0] = (cr3 & ~0xfffull) | 3;
    change_levels(page);
    return EFI_SUCCESS;
}
