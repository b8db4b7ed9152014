"""Each planted bug with each build of the host library, in a process of its own: which build tells of it, as
a table; and whether the share is what docs/heap_debug.md promises. Prints "[       OK ]" or "[  FAILED  ]"
for each check, as the host tests do."""
import os
import subprocess
import sys

BUILD = os.environ["BUILD"]
CAUGHT = 42

# Name, program, library, arguments, and the share that has to be caught: what is missing is named.
BUILDS = {
    "always": ("main", "host", [], {
        "overflow", "overflow-padding", "overflow-far", "overflow-loop", "underflow", "underflow-far",
        "overflow-read", "underflow-read", "overflow-run", "freed-write", "freed-read", "freed-pointer",
        "freed-late", "freed-realloc", "freed-arena", "cache-overflow", "uninitialised", "leak"}),
    "sampled": ("main", "host", ["16"], {"overflow-run", "cache-overflow", "leak"}),
    "debug": ("main-debug", "debug-memory/host", [], {"overflow-read", "underflow-read", "freed-read"}),
}


def run(build, bug):
    """What happened: '' if nobody noticed, else what was said."""
    program, library, arguments, _ = BUILDS[build]
    environment = dict(os.environ, LD_LIBRARY_PATH=f"{BUILD}/{library}")
    done = subprocess.run([f"{BUILD}/bugs/{program}", bug, *arguments], env=environment, timeout=60,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    if done.returncode not in (0, CAUGHT):
        return f"exit status {done.returncode}"
    return (done.stdout.strip() or "?") if done.returncode == CAUGHT else ""


def main():
    listed = subprocess.run([f"{BUILD}/bugs/main", "list"], stdout=subprocess.PIPE, text=True, check=True,
                            env=dict(os.environ, LD_LIBRARY_PATH=f"{BUILD}/host")).stdout
    bugs = dict(line.split("\t") for line in listed.splitlines())
    said = {bug: {build: run(build, bug) for build in BUILDS} for bug in bugs}
    width = max(len(what) for what in bugs.values())
    print(f"{'':16} {'':{width}} " + " ".join(f"{build:>8}" for build in BUILDS))
    for bug, what in bugs.items():
        marks = " ".join(f"{'caught' if said[bug][build] else '-':>8}" for build in BUILDS)
        print(f"{bug:16} {what:{width}} {marks}")
    failed = 0
    for build, (_, _, _, missed) in BUILDS.items():
        caught = sum(1 for bug in bugs if said[bug][build] and not said[bug][build].startswith("exit status"))
        wrong = [bug for bug in bugs if bug not in missed and not said[bug][build]]
        wrong += [f"{bug} ({said[bug][build]})" for bug in bugs if said[bug][build].startswith("exit status")]
        quiet = run(build, "none")
        if quiet:
            wrong.append(f"correct code ({quiet})")
        failed += bool(wrong) or len(bugs) < 30
        verdict = "  FAILED  " if wrong else "       OK "
        print(f"[{verdict}] {build}: {caught} of {len(bugs)} caught, {caught * 100 // len(bugs)} %; "
              f"at least {len(bugs) - len(missed & set(bugs))} must be"
              + (": wrong are " + ", ".join(wrong) if wrong else ""))
    return 1 if failed else 0


sys.exit(main())
