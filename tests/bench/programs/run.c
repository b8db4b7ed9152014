/* Run a program, and print on a file descriptor what it cost: exit status, microseconds of processor
 * time of it and its children, and the most KiB that one of them had. A small process, as a child has at
 * first the memory of who starts it. Arguments: the descriptor; what LD_PRELOAD becomes, or ""; the program; its arguments. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct rusage u;
    int status;
    int out = argc < 4 ? -1 : atoi(argv[1]);
    if (out < 0)
        return 2;
    pid_t pid = fork();
    if (pid == 0) {
        if (argv[2][0] != '\0')
            setenv("LD_PRELOAD", argv[2], 1);
        close(out);
        execvp(argv[3], argv + 3);
        _exit(127);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || getrusage(RUSAGE_CHILDREN, &u) != 0)
        return 2;
    long micros = (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000L + u.ru_utime.tv_usec +
                  u.ru_stime.tv_usec;
    dprintf(out, "%d %ld %ld\n", WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status),
            micros, u.ru_maxrss);
    return 0;
}
