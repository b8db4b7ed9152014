/* Status codes of the memory manager, and how a function says that its result must be looked at.
 * No address value ever means an error: physical address 0 is real memory. */
#ifndef QL_STATUS_H
#define QL_STATUS_H

#define MUST_USE __attribute__((warn_unused_result))

typedef enum mm_status {
    MM_OK,
    MM_NOMEM,    /* no free frames (or none that satisfy the limits) */
    MM_INVAL,    /* an argument is malformed: misaligned, zero count, unknown flag */
    MM_EXISTS,   /* something is already there: a mapping, a used frame */
    MM_NOTFOUND, /* nothing is there: no mapping, not RAM */
    MM_RANGE,    /* an address or a sum leaves the range the machine can hold */
    MM_DENIED,   /* a rule forbids it: writable and executable at once */
} mm_status_t;

/* The status as a word, for messages. Never NULL. */
static inline const char *mm_status_name(mm_status_t status)
{
    static const char *const names[] = {
        "ok", "out of memory", "invalid argument", "exists", "not found", "out of range", "denied"};
    return (unsigned)status < sizeof names / sizeof names[0] ? names[status] : "unknown status";
}

#endif
