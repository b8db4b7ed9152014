/* The fuzzer for a moment, always with the same inputs; nothing is kept. `make fuzz` looks further. */
#include <libgen.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "test.h"

#define SEEDS      50
#define SEED_BYTES 1026 /* 128 calls */
#define RUNS       300
#define TEXT(x)    TEXT_OF(x)
#define TEXT_OF(x) #x

static char directory[1024];

static void write_seed(const char *folder, unsigned number)
{
    char path[2048];
    uint64_t bytes[SEED_BYTES / 8 + 1];
    struct rng rng = {number};
    for (size_t i = 0; i < COUNT(bytes); i++)
        bytes[i] = rng_next(&rng);
    snprintf(path, sizeof path, "%s/%u", folder, number);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(SEED_BYTES, fwrite(bytes, 1, SEED_BYTES, file));
    assert_int_equal(0, fclose(file));
}

static void the_same_inputs_find_nothing(void **state)
{
    (void)state;
    char command[4096], line[512], seeds[1100];
    unsigned long runs = 0;
    snprintf(seeds, sizeof seeds, "%s/seeds", directory);
    (void)mkdir(seeds, 0777);
    snprintf(line, sizeof line, "%s/seeds.list", directory);
    FILE *list = fopen(line, "w");
    assert_non_null(list);
    for (unsigned i = 0; i < SEEDS; i++) {
        write_seed(seeds, i);
        fprintf(list, "%s%s/%u", i == 0 ? "" : ",", seeds, i);
    }
    assert_int_equal(0, fclose(list));
    snprintf(
        command, sizeof command,
        "%s/heap -seed=1 -runs=" TEXT(RUNS) " -max_len=" TEXT(
            SEED_BYTES) " -len_control=0 -artifact_prefix=%s/ -seed_inputs=@%s/seeds.list 2>&1",
        directory, directory, directory);
    FILE *output = popen(command, "r");
    assert_non_null(output);
    while (fgets(line, sizeof line, output) != NULL) {
        if (strstr(line, "ERROR") != NULL || strstr(line, "DONE") != NULL ||
            strstr(line, "heap") != NULL)
            print_message("             %s", line);
        (void)sscanf(line, "Done %lu runs", &runs);
    }
    assert_int_equal(0, pclose(output));
    assert_true(runs >= RUNS);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_same_inputs_find_nothing)};
    (void)argc;
    char self[1024];
    snprintf(self, sizeof self, "%s", argv[0]);
    snprintf(directory, sizeof directory, "%s", dirname(self));
    return cmocka_run_group_tests_name("fuzz", tests, NULL, NULL);
}
