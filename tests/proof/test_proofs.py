"""The proofs and models of this folder, and that each of them can fail.

A model is checked by Spin over all its states; with a step left out (-D) it must find an error. The
proofs of mm/pmm/line.h must refuse copies of it with a fault. What is proved is said at the top of
each file."""
import ctypes
import os
import pathlib
import random
import re
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent
LIMIT = 300  # seconds, on a slow machine; each takes a few

sys.path.insert(0, str(HERE))
import line  # noqa: E402


# ---- models -------------------------------------------------------------------------------------
def check_model(folder, model, defines, cycles=False, optimise="-O2"):
    """Spin's verdict: the text of the first error, or None. With cycles: also those that go on for
    ever without progress, each process getting its turn."""
    def run(*command):
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=LIMIT)
    spin = run("spin", "-a", *[f"-D{define}" for define in defines], str(HERE / model))
    assert spin.returncode == 0 and "rror" not in spin.stdout, spin.stdout
    kind = ["-DNP", "-DNFAIR=4"] if cycles else ["-DSAFETY"]
    built = run("gcc", optimise, "-w", "-DCOLLAPSE", "-DVECTORSZ=512", "-DMEMLIM=4096", *kind,
                "-o", "pan", "pan.c")
    assert built.returncode == 0, built.stderr
    out = run("./pan", "-m400000", "-w22", *(["-l", "-f"] if cycles else [])).stdout
    assert re.search(r"errors: \d+", out), out
    assert "max search depth too small" not in out and "out of memory" not in out, out
    error = re.search(r"^pan:\d+: (.*)$", out, flags=re.M)
    assert (error is None) == ("errors: 0" in out), out
    # Nobody is to believe a model in which nothing happens.
    if error is None:
        assert int(re.search(r"(\d+) states, stored", out)[1]) > 10000, out
    return error and error[1]


SOUND = {
    "bias.pml": ["OPS=3", "IRQS_OFF", "CPUS=3 OPS=1"],
    "bit_tree.pml": ["CPUS=2 OPS=3", "CPUS=3 OPS=1"],
    "frames.pml": ["DOUBLE", "PAIRS OPS=1 BLOCKS=2", "BLOCKS=2 OPS=1 DRAIN", "UNLOCKED_FREE",
                   "CPUS=3 OPS=1 SORTED NO_PEEK ALLOCS=1", "CPUS=3 OPS=1 SORTED NO_PEEK ALLOCS=2"],
    "paging.pml": ["OPS=2", "OPS=2 LARGE", "FREEZE", "CPUS=1 OPS=2 LOOKS=2", "CPUS=1 OPS=2 LOOKS=2 LARGE"],
    "walk.pml": ["TIMES=2", "FREEZE"],
    "exchange.pml": [""],
}
BROKEN = {
    "bias.pml": ["NO_BARRIER", "NO_BUSY_FIRST", "NO_CAS CPUS=3 OPS=1", "NO_WAIT", "NO_STEP_BACK",
                 "STEAL_INSIDE"],
    "bit_tree.pml": ["CPUS=2 NO_LOOK_AFTER_SET", "CPUS=2 NO_LOOK_AFTER_CLEAR",
                     "CPUS=2 NO_LOOK_AFTER_ABOVE"],
    "frames.pml": ["CHECK_WHOLE_ONCE", "OWNER_NONE_WHOLE", "NO_LIST_FIRST", "NO_REREAD",
                   "NO_CAS_OWN", "NO_UNLIST", "NO_ATOMIC_REFILL", "NO_HOLDING", "NO_ATOMIC_CLAIM",
                   "NO_WAIT", "NO_LOOK_ODD", "NO_HOLDING_LAST NO_SEQ_RELEASE", "NO_SEARCH_AGAIN",
                   "NO_SEQ_AGAIN", "LATE_SEQ", "NO_FREE_OWN", "PAIRS KEEP_OWN_SLOT",
                   "DOUBLE NO_PEEK", "BLOCKS=2 NO_TURN"],
    "paging.pml": ["NO_ON_WAY", "EARLY_GO_ON", "WAIT_ON_WAY", "NO_WHOLE_ENTRY", "NO_NOT_EMPTIED",
                   "NO_LOCKS_BELOW", "NO_WAIT", "LARGE NO_WAIT_IN_MERGE", "LARGE NO_LOCK_IN_SPLIT",
                   "CPUS=1 OPS=2 LOOKS=1 NO_CHANGES", "CPUS=1 OPS=2 LOOKS=1 LATE_CHANGES",
                   "CPUS=1 OPS=2 LOOKS=1 NO_LOOK_AT_CHANGES", "CPUS=1 OPS=2 LOOKS=1 NO_LOOK_BESIDE",
                   "CPUS=1 OPS=2 LOOKS=1 LATE_FINAL",
                   "FREEZE NO_LOOK_FROZEN", "FREEZE FREEZE_WALKERS"],
    "walk.pml": ["NO_BARRIER", "NO_FENCE", "LATE_END", "NO_FLUSH", "LATE_ADD", "REMOVE_FIRST",
                 "FREEZE NO_BARRIER", "FREEZE NO_FENCE", "FREEZE LATE_END", "FREEZE LATE_UNLOCK"],
    "exchange.pml": ["NO_EXPECTED", "NO_CONFIRM", "CONFIRM_BEFORE", "COPY_BEFORE", "RELEASE_BEFORE",
                     "SHARE_BEFORE", "SHARE_AFTER", "NEVER_SHARED NEW_SAYS_ONE",
                     "NEVER_SHARED NO_FIRST_OWNER", "NO_RECORD_LOCK", "NO_FLUSH_IN_EXCHANGE",
                     "NEVER_SHARED NO_FLUSH_IN_CLONE", "NEVER_SHARED NO_FLUSH_IN_UNMAP"],
}


def cases(table):
    return [(model, variant) for model, variants in table.items() for variant in variants]


# The compiler is not to take longer than the check.
OPTIMISE = {"paging.pml": "-O0", "walk.pml": "-O0", "exchange.pml": "-O1"}


@pytest.mark.parametrize("model, variant", cases(SOUND))
def test_model_is_sound(model, variant, tmp_path):
    assert check_model(tmp_path, model, variant.split(), optimise=OPTIMISE.get(model, "-O2")) is None


@pytest.mark.parametrize("model, variant", cases(BROKEN))
def test_model_without_a_step_has_an_error(model, variant, tmp_path):
    error = check_model(tmp_path, model, variant.split(), optimise="-O0")  # found soon
    assert error is not None
    assert "assertion violated" in error or "invalid end state" in error


def test_cpus_that_find_no_memory_do_not_keep_each_other_from_failing(tmp_path):
    assert check_model(tmp_path, "frames.pml", ["OPS=1", "NO_PEEK"], cycles=True) is None


# ---- what the models model ------------------------------------------------------------------------
def squeeze(text):
    return " ".join(text.split())


def quotes(model):
    """The pieces of code that a model says it models: /*= FILE: code */"""
    return re.findall(r"/\*= (\S+): (.*?) \*/", (HERE / model).read_text(), flags=re.S)


def lost_quotes(model, changed=lambda file, text: text):
    return [(file, quote) for file, quote in quotes(model)
            if squeeze(quote) not in squeeze(changed(file, (ROOT / file).read_text()))]


@pytest.mark.parametrize("model", ["paging.pml", "paging_locks.pml", "walk.pml", "exchange.pml"])
def test_the_code_still_has_what_is_modelled(model):
    assert len(quotes(model)) >= 10
    assert lost_quotes(model) == []


@pytest.mark.parametrize("model, where, good, bad", [
    ("walk.pml", "locks.c", "__atomic_exchange_n(&cpus[cpu].doing", "__atomic_store_n(&cpus[cpu].doing"),
    ("walk.pml", "locks.c", "    __atomic_thread_fence(__ATOMIC_SEQ_CST);\n", ""),
    ("walk.pml", "change.c", "        wait_for_walkers();\n", "        ;\n"),
    ("paging.pml", "change.c", "    bin_empty(&c->bin);\n", ""),
    ("paging.pml", "query.c", "has_changed(space, out->changes)", "false"),
    ("exchange.pml", "shares.c", "part_lower(r, i)", "part_raise(r, i)"),
])
def test_a_change_of_what_is_modelled_is_noticed(model, where, good, bad):
    def changed(file, text):
        if not file.endswith(where):
            return text
        assert good in text, "the code has changed: choose another"
        return text.replace(good, bad)
    assert lost_quotes(model, changed) != []


# ---- line.h ---------------------------------------------------------------------------------------
def prove(header=ROOT / "mm/pmm/line.h", block=ROOT / "mm/pmm/block.c", only="rows,lines,growth"):
    return subprocess.run([sys.executable, "-B", HERE / "line.py", "--header", header, "--block", block,
                           "--only", only], capture_output=True, text=True, timeout=LIMIT)


@pytest.mark.parametrize("part", ["rows", "lines", "growth", "find_run"])
def test_line_functions_are_right_for_all_inputs(part):
    result = prove(only=part)
    print(result.stdout)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "ok " in result.stdout and "FAILED" not in result.stdout


# A fault: where it is proved, what is replaced by what.
FAULTS = [
    ("rows", "(ROW_FRAMES - n)", "(ROW_FRAMES - n - 1)"),  # a shift by 64 - 64 - 1
    ("rows", "64 - (unsigned)__builtin_clzll(n - 1)", "64 - (unsigned)__builtin_clzll(n)"),
    ("rows", "0x0101010101010101", "0x0101010101010103"),
    ("rows", "i < order", "i + 1 < order"),
    ("rows", "row_starts(class + 1)", "row_starts(class)"),
    ("rows", "have < n - have ?", "have <= n ?"),
    ("rows", "align < ROW_FRAMES", "align <= 2 * ROW_FRAMES"),  # an index beyond the table
    ("lines", "r < LINE_ROWS; r++)\n        count", "r <= LINE_ROWS; r++)\n        count"),
    ("lines", "return r * ROW_FRAMES +", "return r * BLOCK_FRAMES +"),
    ("lines", "from < to ?", "from <= to ?"),  # a shift by 64
    ("find_run", "start + n <= base + low", "start + n < base + low"),
    ("find_run", "run += ROW_FRAMES", "run = ROW_FRAMES"),
    ("find_run", "run = (unsigned)__builtin_clzll(~free[r])", "run = (unsigned)__builtin_ctzll(~free[r])"),
    ("growth", "if (row == 0)", "if (row == 1)"),
    ("growth", "row_mask(first, run)", "row_mask(first, run / 2)"),
]


@pytest.mark.parametrize("part, good, bad", FAULTS)
def test_faults_in_line_functions_are_refused(part, good, bad, tmp_path):
    found = False
    for name in ("line.h", "block.c"):
        text = (ROOT / "mm/pmm" / name).read_text()
        found = found or good in text
        (tmp_path / name).write_text(text.replace(good, bad))
    assert found, "the code has changed: choose another fault"
    result = prove(tmp_path / "line.h", tmp_path / "block.c", part)
    assert result.returncode != 0 and "FAILED" in result.stdout, result.stdout + result.stderr


def test_the_interpreter_of_the_proofs_agrees_with_the_compiler(tmp_path):
    functions = {"row_mask": 2, "row_runs": 2, "row_class": 1, "row_fits": 2, "line_class": 1,
                 "line_count": 1, "line_find_order": 2, "line_find_run": 3, "line_part": 3}
    code = f'#include "{ROOT}/mm/pmm/line.h"\n'
    for name, args in functions.items():
        first = "const uint64_t *a" if "line" in name and "part" not in name else "uint64_t a"
        rest = [f", unsigned {x}" for x in "bc"[:args - 1]]
        code += f"uint64_t c_{name}({first}{''.join(rest)}) {{ return {name}({', '.join('abc'[:args])}); }}\n"
    (tmp_path / "line.c").write_text(code)
    subprocess.run(["clang", "-O2", "-shared", "-fPIC", "-o", tmp_path / "line.so", tmp_path / "line.c"],
                   check=True)
    compiled = ctypes.CDLL(str(tmp_path / "line.so"))
    seed = random.randrange(1 << 32)
    print("seed", seed)
    chance = random.Random(seed)
    program = line.Program(line.source(ROOT / "mm/pmm/line.h", ROOT / "mm/pmm/block.c"))

    def row():
        return chance.choice([0, (1 << 64) - 1, chance.getrandbits(64), chance.getrandbits(64) |
                              chance.getrandbits(64) | chance.getrandbits(64)])

    for _ in range(20):
        rows, n = [row() for _ in range(8)], chance.randint(1, 64)
        first = chance.randint(0, 64 - n)
        inputs = {"row_mask": (first, n), "row_runs": (rows[0], chance.randint(0, 6)),
                  "row_class": (rows[0],), "row_fits": (rows[0], n), "line_class": (rows,),
                  "line_count": (rows,), "line_find_order": (rows, chance.randint(0, 9)),
                  "line_find_run": (rows, chance.randint(1, 150), 1 << chance.randint(0, 9)),
                  "line_part": (first * 7, n, chance.randint(0, 7))}
        for name, args in inputs.items():
            call = getattr(compiled, "c_" + name)
            call.restype = ctypes.c_uint64
            want = call(*[(ctypes.c_uint64 * 8)(*arg) if isinstance(arg, list) else ctypes.c_uint64(arg)
                          for arg in args])
            got = program.call(name, *[[line.z3.BitVecVal(x, 64) for x in arg] if isinstance(arg, list)
                                       else arg for arg in args])
            assert got.as_long() == want, (name, args)


# ---- bit_tree.c -----------------------------------------------------------------------------------
def bit_tree(folder, change=lambda text: text):
    (folder / "bit_tree.c").write_text(change((ROOT / "mm/pmm/bit_tree.c").read_text()))
    subprocess.run(["clang", "-std=gnu11", "-O1", "-g", "-fsanitize=address,undefined",
                    "-fno-sanitize-recover=all", f"-I{ROOT}", f"-I{ROOT}/include", f"-I{ROOT}/mm/pmm",
                    HERE / "bit_tree.c", folder / "bit_tree.c", "-o", folder / "bit_tree"], check=True)
    fixed = ["setarch", "-R"] if os.access("/usr/bin/setarch", os.X_OK) else []
    return subprocess.run([*fixed, folder / "bit_tree"], capture_output=True, text=True, timeout=LIMIT)


def test_bit_tree_is_right_in_every_small_case(tmp_path):
    result = bit_tree(tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert int(re.match(r"(\d+) checks", result.stdout)[1]) > 100000


@pytest.mark.parametrize("good, bad", [
    ("high - low - 1", "high - low"),
    ("end *= TREE_WORD_BITS", "end = end * TREE_WORD_BITS - 1"),
    ("if (end <= low)", "if (end < low)"),
    ("TREE_WORD_BITS - 1 - last % TREE_WORD_BITS", "last % TREE_WORD_BITS"),
    ("(before & ~mask) == 0", "(before & ~mask) != 0"),
])
def test_faults_in_bit_tree_are_found(good, bad, tmp_path):
    assert good in (ROOT / "mm/pmm/bit_tree.c").read_text(), "the code has changed: choose another"
    assert bit_tree(tmp_path, lambda text: text.replace(good, bad)).returncode != 0
