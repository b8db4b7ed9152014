/* How the parts of the report for people look. Private to report*.c. */
#ifndef QL_KERNEL_REPORT_PARTS_H
#define QL_KERNEL_REPORT_PARTS_H

#include "console/print.h"
#include "report/json.h"

#define REPORT_INDENT "  "

/* A rule across the page with a title in it and a remark at its end. Both are ASCII. */
void report_heading(const char *title, const char *remark);

/* A line of the report: what it is about, and what there is to say. */
void report_row(const char *label, const char *format, ...) PRINTF_LIKE(2, 3);

/* The kernel's half of the address space, a line for what is alike; what its tables hold. */
void report_address_space(void);
void report_page_tables(void);

/* The row that tells how many CPUs run, and on how many nodes. */
void report_processors(void);

/* The member "heap" of the JSON. */
void report_json_heap(struct json *json);

#endif
