"""Whole programs on glibc's malloc, on Debian's mimalloc, jemalloc and tcmalloc, and on ours: `make
bench-programs`. Variables: ROWS (a regular expression), REPEAT (default 5), THEIRS (one more library).

The contestants take turns, so that what else the machine does hits all alike; a figure is the median. CPU is
user and system time of all processes, memory the largest that one process had at a time. Both are given as ratios
to the best; the last lines are the geometric means of those."""
import math
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), os.pardir, "programs"))
from preload import BUILD, LIBRARY, PYTHON, environment  # noqa: E402
from test_programs import SQL, large_source  # noqa: E402

OURS, RUN = os.path.join(BUILD, "bench", "programs"), os.path.join(BUILD, "bench", "run")
WHERE = "/usr/lib/x86_64-linux-gnu/"
CONTESTANTS = {"glibc": "", "mimalloc": WHERE + "libmimalloc.so.2", "jemalloc": WHERE + "libjemalloc.so.2",
               "tcmalloc": WHERE + "libtcmalloc_minimal.so.4", "ours": LIBRARY}

PYTHON_WORK = """
import json, re
words = [f"word{i * 7919 % 10007}" for i in range(60000)]
index = {}
for i, w in enumerate(words): index.setdefault(w, []).append(i)
for _ in range(3):
    text = json.dumps(index)
    again = json.loads(text)
    assert again == index
    tuples = sorted((len(v), k, str(v)) for k, v in again.items())
    parts = re.findall(r"\\d+", text[:400000])
    del text, again
class Node:
    def __init__(self, depth): self.sub = [Node(depth - 1) for _ in range(4)] if depth else []; self.name = str(depth) * 5
for _ in range(3): tree = Node(7)
""" # noqa: E501

REDIS = r"""
ln -sf "$(command -v redis-check-rdb)" "$1/redis-server"
"$1/redis-server" --port 0 --unixsocket "$1/socket" --save '' --daemonize no > /dev/null & server=$!
for i in $(seq 100); do [ -S "$1/socket" ] && break; sleep 0.02; done
LD_PRELOAD= redis-benchmark -s "$1/socket" -n 40000 -c 20 -P 8 -r 20000 -d 300 -q -t set,get,lpush,rpop,sadd,hset,zadd > /dev/null
LD_PRELOAD= redis-benchmark -s "$1/socket" -n 40000 -c 20 -P 8 -r 20000 -d 900 -q -t set,get > /dev/null
kill $server; wait $server
"""


def rows(room):
    source = os.path.join(room, "large.c")
    with open(source, "w", encoding="ascii") as f:
        f.write(large_source(250))
    script = os.path.join(room, "script.sql")
    with open(script, "w", encoding="ascii") as f:
        f.write(SQL)
    for name in ("numbers", "server", "pipe", "phases", "tree", "buffers"):
        yield name, [OURS, name], {}
    yield "gcc", ["gcc", "-O2", "-c", source, "-o", os.path.join(room, "large.o")], {}
    yield "python", [PYTHON, "-S", "-c", PYTHON_WORK], {"PYTHONMALLOC": "malloc"}
    yield "python, pymalloc", [PYTHON, "-S", "-c", PYTHON_WORK], {}
    yield "sqlite", ["sh", "-c", f"exec sqlite3 :memory: < {script}"], {}
    if shutil.which("redis-check-rdb"): # the same file as the server, which goes by its name
        yield "redis", ["sh", "-c", REDIS, "sh", room], {}
    yield "short", ["sh", "-c", "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do /bin/true; done"], {}


def measure(argv, library, more, room):
    """CPU seconds and KiB."""
    read, write = os.pipe()
    with open(read, encoding="ascii") as figures:
        done = subprocess.run([RUN, str(write), library, *argv], env=environment(False, **more), cwd=room, stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, timeout=600, check=False, pass_fds=(write,))
        os.close(write)
        status, micros, kib = (int(word) for word in figures.read().split())
    if done.returncode != 0 or status not in (0, 143):
        sys.exit(f"{argv} with {library or 'glibc'} ends with {status}: {done.stderr.decode()}")
    return micros / 1e6, kib


def ratios(figures):
    best = min(figures.values())
    return {name: value / best for name, value in figures.items()}


def main():
    repeat, wanted = int(os.environ.get("REPEAT") or 5), re.compile(os.environ.get("ROWS") or "")
    contestants = {name: path for name, path in CONTESTANTS.items() if not path or os.path.exists(path)}
    if os.environ.get("THEIRS"):
        contestants["theirs"] = os.environ["THEIRS"]
    names, sums = list(contestants), {}
    print(f"{'':18}" + "".join(f"{name:>18}" for name in names))
    print(f"{'CPU s   MiB  (to the best)':18}")
    with tempfile.TemporaryDirectory() as room:
        for row, argv, more in rows(room):
            if not wanted.search(row):
                continue
            runs = {name: [] for name in names}
            for _ in range(repeat):
                for name in names:
                    runs[name].append(measure(argv, contestants[name], more, room))
            cpu = {name: statistics.median(run[0] for run in runs[name]) for name in names}
            memory = {name: statistics.median(run[1] for run in runs[name]) / 1024 for name in names}
            for kind, figures in (("CPU", cpu), ("memory", memory)):
                for name, ratio in ratios(figures).items():
                    sums.setdefault((kind, name), []).append(math.log(ratio))
            print(f"{row:18}" + "".join(f"{cpu[n]:7.3f} {ratios(cpu)[n]:4.2f}" f"{'':6}" for n in names), flush=True)
            print(f"{'':18}" + "".join(f"{memory[n]:7.1f} {ratios(memory)[n]:4.2f}" f"{'':6}" for n in names), flush=True)
    for kind in ("CPU", "memory"):
        print(f"{'mean, ' + kind:18}" +
              "".join(f"{'':8}{math.exp(statistics.fmean(sums[kind, n])):4.2f}{'':6}" for n in names))


if __name__ == "__main__":
    main()
