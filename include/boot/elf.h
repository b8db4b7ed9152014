/* ELF64 as far as a loader of x86-64 executables reads it. source: ELF-64 Object File Format;
 * System V ABI, AMD64 supplement. */
#ifndef QL_BOOT_ELF_H
#define QL_BOOT_ELF_H

#include <stdint.h>

struct elf64_ehdr {
    uint8_t e_ident[16];
    uint16_t e_type;
    uint16_t e_machine;
    uint32_t e_version;
    uint64_t e_entry;
    uint64_t e_phoff;
    uint64_t e_shoff;
    uint32_t e_flags;
    uint16_t e_ehsize;
    uint16_t e_phentsize;
    uint16_t e_phnum;
    uint16_t e_shentsize;
    uint16_t e_shnum;
    uint16_t e_shstrndx;
};

struct elf64_phdr {
    uint32_t p_type;
    uint32_t p_flags;
    uint64_t p_offset;
    uint64_t p_vaddr;
    uint64_t p_paddr;
    uint64_t p_filesz;
    uint64_t p_memsz;
    uint64_t p_align;
};

struct elf64_dyn {
    int64_t d_tag;
    uint64_t d_val;
};

struct elf64_rela {
    uint64_t r_offset;
    uint64_t r_info; /* symbol << 32 | type */
    int64_t r_addend;
};

struct elf64_sym {
    uint32_t st_name;
    uint8_t st_info;
    uint8_t st_other;
    uint16_t st_shndx;
    uint64_t st_value;
    uint64_t st_size;
};

enum {
    ELF_CLASS_64 = 2,    /* e_ident[4] */
    ELF_DATA_LITTLE = 1, /* e_ident[5] */
    ELF_TYPE_EXEC = 2,
    ELF_TYPE_DYN = 3,
    ELF_MACHINE_X86_64 = 62,
    ELF_PT_LOAD = 1,
    ELF_PT_DYNAMIC = 2,
    ELF_PF_X = 1,
    ELF_PF_W = 2,
    ELF_PF_R = 4,
    ELF_DT_NULL = 0,
    ELF_DT_RELA = 7,
    ELF_DT_RELASZ = 8,
    ELF_DT_RELAENT = 9,
    ELF_DT_REL = 17,
    ELF_DT_JMPREL = 23,
    ELF_DT_RELR = 36,
    ELF_R_X86_64_NONE = 0,
    ELF_R_X86_64_RELATIVE = 8,
};

_Static_assert(sizeof(struct elf64_ehdr) == 64 && sizeof(struct elf64_phdr) == 56, "ELF64 headers");
_Static_assert(sizeof(struct elf64_rela) == 24 && sizeof(struct elf64_dyn) == 16, "ELF64 dynamic");

#endif
