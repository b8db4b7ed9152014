"""Proofs of mm/pmm/line.h and of may_have_grown in mm/pmm/block.c, for all inputs, against plain
specifications over 512 truth values. Each proof also proves that nothing undefined is done.

Every proof is of all 2^512 lines (2^64 rows) at once, one for each order or alignment; lengths,
places and row numbers are symbolic too. row_fits, row_runs and row_class are proved first, for all rows; the
proofs of what calls them then take their specifications for them.

    python3 tests/proof/line.py [--header FILE] [--block FILE]

prints a line for each proof; exit status 1 if one fails, with the input that shows it."""
import argparse
import sys
import time

import z3

from symbolic import Program, Run

ROWS, ROW, BLOCK = 8, 64, 512
ORDERS, ROW_ORDER = range(10), 6
FEW_COUNTS, FEW_ALIGNS = (1, 7, 64), (1, 8, 512) # what is proved without --full


def bits(row):
    return [z3.Extract(i, i, row) == 1 for i in range(row.size())]


def row_of(truths):
    one, zero = z3.BitVecVal(1, 1), z3.BitVecVal(0, 1)
    return z3.Concat(*[z3.If(t, one, zero) for t in reversed(truths)])


def word(number):
    return z3.BitVecVal(number, 32)


# ---- the specifications ---------------------------------------------------------------------------
def lengths(free):
    """How many are free from each place on."""
    length, result = word(0), []
    for f in reversed(free):
        length = z3.If(f, length + 1, word(0))
        result.append(length)
    return result[::-1]


def run_of_order(free, first, order):
    return z3.And(*free[first:first + (1 << order)])


def runs(row, order):
    """Where the free aligned runs of an order begin in a row."""
    if not isinstance(order, int):
        value = z3.BitVecVal(0, ROW)
        for k in range(ROW_ORDER + 1):
            value = z3.If(order == k, runs(row, k), value)
        return z3.simplify(value)
    return row_of([run_of_order(bits(row), i, order) if i % (1 << order) == 0 else z3.BoolVal(False)
                   for i in range(ROW)])


def class_of(free, orders):
    """The largest order of a free aligned run, plus one."""
    result = word(0)
    for order in orders:
        some = z3.Or(*[run_of_order(free, i, order) for i in range(0, len(free), 1 << order)])
        result = z3.If(some, word(order + 1), result)
    return result


def first_that(conditions, none=BLOCK):
    """conditions: (place, truth) in ascending order."""
    result = word(none)
    for place, condition in reversed(conditions):
        result = z3.If(condition, word(place), result)
    return result


def fits(row, n):
    """Where n frames are free inside the row."""
    return row_of([z3.UGE(length, n) for length in lengths(bits(row))])


# ---- proving --------------------------------------------------------------------------------------
class Prover:
    def __init__(self, text, full=False):
        self.text, self.full, self.failed = text, full, 0

    def program(self, *given, **contracts):
        program = Program(self.text)
        program.given, program.contracts = list(given), contracts
        return program

    def prove(self, name, program, *claims):
        started = time.monotonic()
        solver = z3.SolverFor("QF_BV")
        solver.add(*program.given)
        solver.add(z3.Not(z3.And(*program.obligations, *claims)))
        answer = solver.check()
        good = answer == z3.unsat
        self.failed += not good
        print(f"{'ok    ' if good else 'FAILED'} {time.monotonic() - started:6.2f} s  {name}", flush=True)
        if answer == z3.sat:
            print("       ", solver.model())
        if not good and not self.full:
            sys.exit(1)

    def prove_that(self, name, true):
        self.failed += not true
        print(f"{'ok    ' if true else 'FAILED'}   0.00 s  {name}", flush=True)


def line_of(name="row"):
    rows = [z3.BitVec(f"{name}{r}", ROW) for r in range(ROWS)]
    return rows, [bit for row in rows for bit in bits(row)]


def prove_rows(p):
    free, first, n = z3.BitVec("free", 64), z3.BitVec("first", 32), z3.BitVec("n", 32)
    program = p.program(z3.ULE(1, n), z3.ULE(n, 64), z3.ULE(first, 64 - n))
    p.prove("row_mask", program, program.call("row_mask", first, n) == row_of(
        [z3.And(z3.ULE(first, i), z3.ULT(word(i), first + n)) for i in range(ROW)]))

    wanted = z3.BitVec("wanted", 64)
    program = p.program(z3.ULE(1, wanted), z3.ULE(wanted, 1 << 63))
    order = z3.ZeroExt(32, program.call("order_for", wanted))
    one = z3.BitVecVal(1, 64)
    p.prove("order_for", program, z3.ULE(wanted, one << order),
            z3.Or(order == 0, z3.UGT(wanted, one << (order - 1))))

    for order in range(ROW_ORDER + 1):
        program = p.program()
        p.prove(f"row_starts({order})", program, program.call("row_starts", order) == row_of(
            [z3.BoolVal(i % (1 << order) == 0) for i in range(ROW)]))
        program = p.program()
        p.prove(f"row_runs(order {order})", program,
                program.call("row_runs", free, order) == runs(free, order))

    program = p.program()
    p.prove("row_class", program,
            program.call("row_class", free) == class_of(bits(free), range(ROW_ORDER + 1)))

    program, claims = p.program(), []
    for length in range(1, ROW + 1):
        claims.append(program.call("row_fits", free, length) == row_of(
            [z3.And(*bits(free)[i:i + length]) if i + length <= ROW else z3.BoolVal(False)
             for i in range(ROW)]))
    p.prove("row_fits, n = 1 .. 64", program, *claims)

    program, claims = p.program(), []
    for length in range(1, ROW + 1):
        claims.append(fits(free, word(length)) == row_of(
            [z3.And(*bits(free)[i:i + length]) if i + length <= ROW else z3.BoolVal(False)
             for i in range(ROW)]))
    p.prove("(the specification of fits that stands for it)", program, *claims)

    program, claims = p.program(), []
    for r in range(ROWS):
        for align in (1 << order for order in ORDERS):
            claims.append(program.call("row_multiples", r, align) == row_of(
                [z3.BoolVal((r * ROW + i) % align == 0) for i in range(ROW)]))
    p.prove("row_multiples, all rows and alignments", program, *claims)


def prove_lines(p):
    rows, free = line_of()
    program = p.program(row_class=lambda row: class_of(bits(row), range(ROW_ORDER + 1)),
                        row_runs=runs)
    p.prove("line_class", program, program.call("line_class", rows) == class_of(free, ORDERS))

    program = p.program()
    count = sum((z3.ZeroExt(31, z3.Extract(i, i, row)) for row in rows for i in range(ROW)), word(0))
    p.prove("line_count", program, z3.simplify(program.call("line_count", rows) - count) == 0)

    for order in ORDERS:
        program = p.program(row_runs=runs)
        p.prove(f"line_find_order(order {order})", program,
                program.call("line_find_order", rows, order) == first_that(
                    [(i, run_of_order(free, i, order)) for i in range(0, BLOCK, 1 << order)]))

    first, n, r = (z3.BitVec(name, 32) for name in ("first", "n", "r"))
    program = p.program(z3.ULE(1, n), z3.ULE(n, BLOCK), z3.ULE(first, BLOCK - n), z3.ULT(r, ROWS))
    place = [r * ROW + i for i in range(ROW)]
    p.prove("line_part", program, program.call("line_part", first, n, r) == row_of(
        [z3.And(z3.ULE(first, at), z3.ULT(at, first + n)) for at in place]))
    last = first + n - 1
    program.given += [z3.ULE(z3.LShR(first, 6), r), z3.ULE(r, z3.LShR(last, 6))]
    p.prove("line_mask", program, program.call("line_mask", first, last, r) ==
            program.call("line_part", first, n, r))


def prove_find_run(p):
    """By induction over the rows. Before row r: no run of n at a multiple of align ends below the
    row, and `run` frames right below it are free, not more. What one round of the loop does is
    proved for all rows, lengths and `run`: if a run ends in the row the first one is returned, else
    `run` is right for the next row. Then the function returns the first run of the first row in
    which one ends, which is the first of all, as all have the same length."""
    p.prove_that("line_find_run: begins with run = 0",
                 "unsigned run = 0;" in p.text and "return LINE_NONE;" in p.text)
    row, n, run, r = z3.BitVec("row", ROW), z3.BitVec("n", 32), z3.BitVec("run", 32), z3.BitVec("r", 32)
    for align in (1 << order for order in ORDERS):
        for length in range(1, ROW + 1) if p.full else FEW_COUNTS if align in FEW_ALIGNS else []:
            find_run_round(p, align, row, word(length), run, r)
        if p.full or align >= 16:
            find_run_round(p, align, row, n, run, r, z3.ULT(ROW, n), z3.ULE(n, BLOCK))


def find_run_round(p, align, row, n, run, r, *given):
    passed = lambda base, run: z3.UGT((base - run + align - 1 & -align) + n, base)
    program = p.program(z3.ULT(r, ROWS), z3.ULE(run, r * ROW), passed(r * ROW, run), *given)
    if not given:
        program.contracts["row_fits"] = lambda row, n: row_of(
            [run_of(bits(row), i, n.as_long()) for i in range(ROW)])
    step = Run(program, program.functions["line_find_run"], [[row] * ROWS, n, align],
               z3.BoolVal(True), whole=False).round({"r": r, "run": run})
    base, free = r * ROW, bits(row)
    low = prefix(free)
    first, there = word(0), z3.BoolVal(False)
    for e in reversed(range(1, ROW + 1)): # a run that ends here
        if not given and n.as_long() <= e:
            runs = run_of(free, e - n.as_long(), n.as_long())
        else:
            runs = z3.And(low[e], z3.ULE(n - e, run))
        runs = z3.And(runs, (base + e - n) & (align - 1) == 0)
        first, there = z3.If(runs, base + e - n, first), z3.Or(there, runs)
    p.prove(f"line_find_run(n {'> 64' if given else n}, align {align})", program, z3.If(
        there, z3.And(z3.Not(step.live), step.value == first),
        z3.And(step.live, passed(base + ROW, step.vars["run"]),
               step.vars["run"] == z3.If(low[ROW], run + ROW, trailing(free)))))


def run_of(free, first, n):
    return z3.And(*free[first:first + n]) if first + n <= len(free) else z3.BoolVal(False)


def prefix(free):
    """For each e: the first e are free."""
    result = [z3.BoolVal(True)]
    for f in free:
        result.append(z3.And(result[-1], f))
    return result


def trailing(free):
    """How many are free right below the end."""
    return lengths(free[::-1])[0]


def prove_growth(p):
    """If may_have_grown says no, a row that had no run above `listed` has none now. A row that is
    all free always says yes, so the orders above a row's need no more."""
    row, mask, listed = z3.BitVec("row", 64), z3.BitVec("mask", 64), z3.BitVec("listed", 32)
    spec = lambda value: class_of(bits(value), range(ROW_ORDER + 1))
    low = mask & -mask
    contiguous = (mask & (mask + low)) == 0
    program = p.program(mask != 0, contiguous, (row & mask) == 0, z3.ULE(listed, 10),
                        z3.ULE(spec(~(row | mask)), listed), row_class=spec)
    grown = program.call("may_have_grown", row, mask, listed)
    p.prove("may_have_grown", program, z3.Implies(grown == 0, z3.And(
        row != 0, z3.ULE(spec(~row), listed))))


def function_text(text, name):
    start = text.index(name + "(")
    start = text.rindex("\n", 0, start) + 1
    return text[start:text.index("\n}\n", start) + 3]


def source(header, block):
    return open(header).read() + "\n" + function_text(open(block).read(), "may_have_grown")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--header", default="mm/pmm/line.h")
    parser.add_argument("--block", default="mm/pmm/block.c")
    parser.add_argument("--only", default="rows,lines,find_run,growth")
    parser.add_argument("--full", action="store_true", help="line_find_run for every length: minutes")
    arguments = parser.parse_args()
    prover = Prover(source(arguments.header, arguments.block), arguments.full)
    for part in arguments.only.split(","):
        globals()["prove_" + part](prover)
    sys.exit(prover.failed != 0)
