"""Real programs on our heap: each does the same as on glibc's."""
import os
import random
import re
import shutil
import signal
import subprocess
import time

import pytest

from preload import LIBRARY, PYTHON, both, counted, environment, run


def large_source(functions=300, seed=6):
    """A C file of many functions that call each other."""
    dice = random.Random(seed)
    lines = ["#include <stddef.h>", "struct s { int a[8]; struct s *next; unsigned char c[16]; };"]
    for i in range(functions):
        callee = f"f{dice.randrange(i)}(p, n - 1)" if i else "n"
        body = [f"  for (int i = 0; i < {dice.randrange(2, 40)}; i++) p->a[i & 7] += i * {dice.randrange(1000)} ^ n;",
                f"  switch (n & {dice.choice((3, 7, 15))}) {{"]
        body += [f"  case {k}: p->c[{dice.randrange(16)}] ^= {dice.randrange(256)}; n += {dice.randrange(99)}; break;"
                 for k in range(4)]
        body += ["  }", f"  if (n > {dice.randrange(9999)} && p->next != NULL) return {callee} + p->next->a[{dice.randrange(8)}];",
                 f"  return n * {dice.randrange(1, 99)} + p->a[{dice.randrange(8)}];"]
        lines += [f"int f{i}(struct s *p, int n)", "{", *body, "}"]
    return "\n".join(lines) + "\n"


def test_gcc_makes_the_same_object(tmp_path):
    (tmp_path / "large.c").write_text(large_source(), encoding="ascii")
    objects = []
    for preload in (True, False):
        output = tmp_path / f"{preload}.o"
        done = run("gcc", "-O2", "-g", "-c", "large.c", "-o", str(output), preload=preload, cwd=tmp_path,
                   options=f"stats={tmp_path / 'figures'}")
        assert (done.returncode, done.stderr) == (0, b"")
        objects.append(output.read_bytes())
    assert objects[0] == objects[1] and len(objects[0]) > 100000
    counts = {name: count for name, count, _ in counted(tmp_path / "figures")}
    assert counts["cc1"] > 20000 and counts["as"] > 100 and counts["gcc"] > 100


@pytest.mark.parametrize("malloc, modules", [
    ("malloc", ["test_dict", "test_gc", "test_fork1"]),
    ("pymalloc", ["test_list", "test_set", "test_struct", "test_heapq"])])
def test_the_tests_of_python(malloc, modules, tmp_path):
    """Without its own allocator for small objects, and with it on top."""
    results = []
    for preload in (True, False):
        env = environment(preload, PYTHONMALLOC=malloc, QUICKLIME_MALLOC=f"stats={tmp_path / 'figures'}")
        done = subprocess.run([PYTHON, "-m", "test", "-v", *modules], env=env, cwd=tmp_path, capture_output=True,
                              timeout=300, check=False)
        text = (done.stdout + done.stderr).decode(errors="replace")
        assert done.returncode == 0, text[-3000:]
        results.append(sorted(re.findall(r"^(test\w+ \(\S+\)).*?\.\.\. (ok|skipped|FAIL|ERROR|expected failure)",
                                         text, re.M)))
    assert results[0] == results[1] and len(results[0]) > 80
    assert max(count for _, count, _ in counted(tmp_path / "figures")) > 50000


SQL = """
create table t (id integer primary key, k integer, name text, blob_ blob);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 60000)
  insert into t select i, i * 7919 % 10007, printf('name %d %s', i, hex(i * i)), zeroblob(i % 300) from n;
create index by_k on t (k, name);
select count(*), sum(k), max(name), sum(length(blob_)) from t;
select k, count(*), group_concat(id, '.') from t group by k having k % 500 = 3;
create table u as select a.id as x, b.id as y from t a join t b on a.k = b.k and a.id < b.id;
select count(*), sum(x), sum(y) from u;
update t set name = name || upper(name) || k where id % 3 = 0;
delete from t where k between 100 and 4000;
select substr(name, 1, 40), length(name) from t order by name desc, id limit 50;
with recursive words(w) as (select 'a' union all select w || char(97 + length(w) % 26) from words where length(w) < 2000)
  select length(group_concat(w)), count(*) from words;
select json_group_array(json_object('id', id, 'k', k)) from (select * from t order by id limit 2000);
begin; insert into t select id + 1000000, k, name, blob_ from t; rollback;
vacuum;
pragma integrity_check;
select count(*) from t;
"""


def test_sqlite_says_the_same(tmp_path):
    (tmp_path / "script.sql").write_text(SQL, encoding="ascii")
    for database in (":memory:", str(tmp_path / "file.db")):
        done = both(tmp_path, "sqlite3", 20000, "sh", "-c", 'rm -f "$0"; exec sqlite3 "$0" < "$1"', database,
                    str(tmp_path / "script.sql"))
        assert done.stdout.endswith(b"ok\n36610\n") and len(done.stdout) > 10000


class Redis:
    """A server on a socket of its own, without a port; ended by its handle. Debian's redis-tools has the same file, that
    goes by its name; the package redis-server would start one whenever the machine does."""

    def __init__(self, directory, preload):
        self.socket = os.path.join(directory, "socket")
        arguments = ["--port", "0", "--unixsocket", self.socket, "--dir", str(directory), "--save", "", "--daemonize", "no",
                     "--enable-debug-command", "yes", "--hz", "50"]
        self.process = subprocess.Popen(["redis-server", *arguments], executable=shutil.which("redis-check-rdb"), stdout=subprocess.DEVNULL,
                                        env=environment(preload, QUICKLIME_MALLOC=f"stats={directory}/figures"))

    def __enter__(self):
        deadline = time.monotonic() + 60
        while True:
            assert self.process.poll() is None and time.monotonic() < deadline
            if os.path.exists(self.socket) and self("ping") == "PONG":
                return self
            time.sleep(0.05)

    def __exit__(self, *what):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        finally:
            self.process.kill()

    def __call__(self, *command, lines=None):
        done = run("redis-cli", "-s", self.socket, *command, preload=False, input=lines)
        return done.stdout.decode().strip()

    def benchmark(self):
        done = run("redis-benchmark", "-s", self.socket, "-n", "10000", "-c", "20", "-r", "5000", "-d", "200", "-q",
                   "-t", "set,get,incr,lpush,rpop,sadd,hset,zadd,lrange_100,mset")
        assert done.returncode == 0, done.stderr
        return done.stdout

    def wait_for_save(self):
        deadline = time.monotonic() + 60
        while "rdb_bgsave_in_progress:0" not in self("info", "persistence"):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert "rdb_last_bgsave_status:ok" in self("info", "persistence")


def redis_commands(seed=7):
    dice = random.Random(seed)
    for i in range(20000):
        key = f"k{dice.randrange(3000)}"
        yield dice.choice((f"set s{key} {'x' * dice.randrange(400)}", f"append s{key} {'y' * dice.randrange(50)}",
                           f"hset h{key} f{dice.randrange(40)} {i}", f"rpush l{key} {i} {'z' * dice.randrange(90)}",
                           f"lpop l{key}", f"sadd t{key} {dice.randrange(500)}", f"zadd z{key} {i} m{dice.randrange(60)}",
                           f"del s{key} h{key}", f"lrem l{key} 1 {i - 5}", f"setrange s{key} {dice.randrange(3000)} abc"))


def redis_session(directory, preload):
    """The digest of the data after a benchmark and 20 000 commands, and of what a child that was forked saved."""
    with Redis(directory, preload) as redis:
        with open(f"/proc/{redis.process.pid}/maps", encoding="utf-8") as maps:
            assert (LIBRARY in maps.read()) == preload
        assert b"MSET" in redis.benchmark()
        redis("flushall")
        redis(lines="\n".join(redis_commands()).encode())
        digest, size = redis("debug", "digest"), redis("dbsize")
        redis("bgsave")
        redis(lines="\n".join(redis_commands(8)).encode()) # while the child writes
        redis.wait_for_save()
        redis("memory", "purge")
        after = redis("debug", "digest")
    with Redis(directory, preload) as redis: # loads what was saved
        assert (redis("debug", "digest"), redis("dbsize")) == (digest, size)
    return digest, size, after


def test_redis_has_the_same_data(tmp_path):
    results = []
    for preload in (True, False):
        directory = tmp_path / str(preload)
        directory.mkdir()
        results.append(redis_session(directory, preload))
    assert results[0] == results[1] and int(results[0][1]) > 2000 and len(results[0][0]) == 40
    assert max(count for _, count, _ in counted(tmp_path / "True" / "figures")) > 10000


@pytest.mark.parametrize("stressors", [
    ["--malloc", "2", "--malloc-ops", "40000", "--malloc-pthreads", "4", "--malloc-touch"],
    ["--malloc", "1", "--malloc-ops", "3000", "--malloc-zerofree", "--malloc-bytes", "2m", "--malloc-max", "200"],
    ["--memrate", "1", "--memrate-ops", "1", "--memrate-bytes", "128k", "--bigheap", "1", "--bigheap-growth", "1m",
     "--bigheap-ops", "300"],
    ["--tree", "1", "--tree-ops", "3", "--tree-size", "20000", "--list", "1", "--list-ops", "50", "--hsearch", "1",
     "--hsearch-ops", "20", "--qsort", "1", "--qsort-ops", "3"],
    ["--pthread", "1", "--pthread-ops", "3000", "--fork", "2", "--fork-ops", "200", "--judy", "1", "--judy-ops", "2"],
], ids=lambda stressors: "+".join(dict.fromkeys(s[2:] for s in stressors[::2] if s[2:].isalpha())))
def test_stress_ng_verifies(stressors, tmp_path):
    results = []
    for preload in (True, False):
        done = run("stress-ng", "--verify", "--oomable", "--temp-path", str(tmp_path), *stressors, preload=preload)
        text = (done.stdout + done.stderr).decode()
        assert done.returncode == 0, text
        assert "successful run" in text and "fail:" not in text, text
        results.append(sorted(re.findall(r"dispatching hogs: (.*)", text)))
    assert results[0] == results[1] and results[0]
