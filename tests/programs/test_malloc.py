"""What the C and C++ standards, POSIX and glibc promise of malloc and its family, by the unit programs beside
this file; and what the library says when it cannot go on."""
import os
import re
import resource
import signal

import pytest

from preload import BUILD, LIBRARY, PYTHON, counted, environment, run

UNITS = os.path.join(BUILD, "programs", "units")


@pytest.mark.parametrize("case", [
    "sizes", "alignments", "errors", "reallocs", "zeros", "mixed", "memory_goes_back", "memory_goes_back_by_and_by", "memory_goes_back_with_threads",
    "large_objects_go_back", "growing_objects", "many_gigabytes",
    "grown_again", "threads_one_after_another", "threads_at_once", "more_threads_than_cpus", "destructors_that_allocate",
    "frees_by_others", "fork_storm", "forks_at_once", "fork_in_a_fork", "spawns"])
def test_unit(case, tmp_path):
    figures = tmp_path / "figures"
    done = run(UNITS, case, options=f"stats={figures}")
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.startswith(b"ok " + case.encode()) and done.stderr == b""
    assert max(count for name, count, _ in counted(figures) if name == "units") > 5


@pytest.mark.parametrize("case", ["sizes", "alignments", "errors", "reallocs", "zeros", "fork_storm", "spawns"])
def test_the_units_hold_for_glibc_too(case):
    done = run(UNITS, case, preload=False)
    assert done.returncode == 0, done.stderr.decode()


def test_every_form_of_new_and_delete():
    done = run(UNITS + "_new")
    assert (done.returncode, done.stderr) == (0, b"") and done.stdout.startswith(b"ok new: ")


@pytest.mark.parametrize("case", ["handlers_of_forks", "all_keys_are_taken"])
def test_what_a_program_asks_for_before_it_allocates_goes_well(case):
    done = run(UNITS, case)
    assert (done.returncode, done.stderr) == (0, b"") and done.stdout.startswith(b"ok " + case.encode())


@pytest.mark.parametrize("case", ["closed_library", "library_without_a_key"])
def test_the_library_may_be_loaded_late(case):
    done = run(UNITS, case, preload=False, env=environment(False, LIBRARY=LIBRARY))
    assert (done.returncode, done.stderr) == (0, b"") and done.stdout.startswith(b"ok " + case.encode())


@pytest.mark.parametrize("case, words", [
    ("double_free", b"double free"), ("foreign_free", b"not from this heap"), ("interior_free", b"inside an object"),
    ("freed_realloc", b"freed already"), ("freed_size", b"freed already")])
def test_misuse_ends_the_program_with_a_sentence(case, words):
    done = run(UNITS, case)
    assert done.returncode == -signal.SIGABRT
    assert done.stderr.startswith(b"quicklime: misuse: ") and words in done.stderr and done.stderr.count(b"\n") == 1


def test_a_sampled_use_after_free_is_explained():
    assert run(UNITS, "use_after_free").returncode == 0
    done = run(UNITS, "use_after_free", options="sample=100")
    assert done.returncode == -signal.SIGSEGV
    assert re.match(rb"quicklime: misuse: access at 0x\w+, 0 bytes from the start of a freed object of 100 bytes",
                    done.stderr), done.stderr


def test_a_fault_that_was_sent_ends_the_program():
    done = run(UNITS, "sent_fault", options="sample=100")
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGSEGV, b"", b"")


def test_a_thread_that_comes_in_a_destructor_leaves():
    done = run(UNITS, "first_call_in_a_destructor", options="stats")
    assert done.returncode == 0, done.stderr
    assert 2 <= int(re.search(rb", (\d+) threads\n", done.stderr)[1]) <= 3, done.stderr


def test_the_thread_that_exits_may_be_a_newcomer():
    done = run(UNITS, "exit_of_a_newcomer", options="stats")
    assert (done.returncode, done.stdout) == (0, b"ok exit_of_a_newcomer\n"), done.stderr
    assert b" allocations, " in done.stderr


def test_what_is_kept_is_there_when_memory_is_out():
    done = run(UNITS, "kept_ranges", preexec_fn=limited(1 << 20))
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("case", ["mixed", "fork_storm", "reallocs", "threads_at_once"])
def test_units_with_many_samples(case):
    done = run(UNITS, case, options="sample=200")
    assert (done.returncode, done.stderr) == (0, b"")


def limited(kib, what=resource.RLIMIT_AS):
    return lambda: resource.setrlimit(what, (kib << 10, kib << 10))


@pytest.mark.parametrize("what", [resource.RLIMIT_AS, resource.RLIMIT_DATA])
@pytest.mark.parametrize("kib", [300 << 10, 1000000, 1 << 20, 4 << 20])
def test_a_limit_of_address_space_leaves_a_smaller_heap(kib, what):
    program = "x = [bytes(1000) for _ in range(20000)]; print(len(x))"
    done = run(PYTHON, "-S", "-c", program, preexec_fn=limited(kib, what))
    assert (done.returncode, done.stdout, done.stderr) == (0, b"20000\n", b"")


def test_half_of_a_limit_is_for_the_heap():
    program = "x = [bytes(1000) for _ in range(500000)]; print(len(x))"
    done = run(PYTHON, "-S", "-c", program, preexec_fn=limited(2 << 20))
    assert (done.returncode, done.stdout, done.stderr) == (0, b"500000\n", b"")


def test_memory_that_is_out_is_an_error_not_an_end():
    program = ("x = []\ntry:\n while True: x.append(bytes(100000))\n"
               "except MemoryError: n = len(x); x = None\nprint(n > 500, len(bytes(100000)))")
    done = run(PYTHON, "-S", "-c", program, preexec_fn=limited(400 << 10))
    assert (done.returncode, done.stdout, done.stderr) == (0, b"True 100000\n", b"")


def test_without_address_space_there_is_a_sentence():
    done = run("/bin/ls", preexec_fn=limited(40 << 10))
    assert done.returncode == -signal.SIGABRT
    assert done.stderr.startswith(b"quicklime: Linux gives no address space for 64 MiB")


def faults(program, preload):
    """Page faults of a whole run."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_minflt
    assert run(program, preload=preload).returncode == 0
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_minflt - before


@pytest.mark.parametrize("program, more", [("/bin/true", 25), ("/bin/ls", 70)]) # one allocates nothing, the other a little
def test_the_start_of_a_program_touches_few_pages(program, more):
    ours, theirs = (min(faults(program, preload) for _ in range(5)) for preload in (True, False))
    assert 0 < ours <= theirs + more, (ours, theirs)


def test_options():
    done = run(UNITS, "errors", options="stats,nonsense")
    assert done.returncode == 0
    assert b'there is no option "nonsense", or' in done.stderr and b" allocations, " in done.stderr
    assert run(UNITS, "errors", options="").stderr == b""


def test_only_the_names_of_malloc_are_exported():
    names = run("nm", "-D", "--defined-only", LIBRARY, preload=False).stdout.decode().split()[2::3]
    c = {"malloc", "free", "calloc", "realloc", "reallocarray", "posix_memalign", "aligned_alloc", "memalign",
         "valloc", "pvalloc", "malloc_usable_size", "malloc_trim", "free_sized", "free_aligned_sized",
         "mallinfo", "mallinfo2"}
    assert c <= set(names) and len(names) == len(c) + 20
    assert all(name in c or name.startswith(("_Znw", "_Zna", "_Zdl", "_Zda")) for name in names)
