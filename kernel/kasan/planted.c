/* The planted bugs in the use of the heap that the tests have for every build. */
#include "../../tests/bugs/bugs.c"
