"""Runs small pure C functions on symbolic values: a bounded model checker for headers such as
mm/pmm/line.h. The C is parsed by pycparser, the values are bit vectors of z3.

Loops are unrolled until their condition cannot hold any more, so nothing is cut off; both sides of a
branch are followed and merged. For everything that C leaves undefined and these functions could
do (an index beyond an array, a shift as wide as the value, the count of zeros of 0, a division by
0) there is an obligation, to be proved with the rest.

What it knows: unsigned and uint64_t, bool, arrays of them, for, while, if, return, break-less
loops. Plain int appears only as literal, comparison or count of bits, never negative, and is taken
as unsigned. Anything else is refused with an exception, not guessed. test_proofs.py runs the same
interpreter on numbers and compares it with the compiled functions."""
import re
import subprocess

import z3
from pycparser import c_ast, c_parser

WIDTH = {"unsigned": 32, "unsigned int": 32, "int": 32, "uint32_t": 32, "uint64_t": 64, "bool": 1,
         "_Bool": 1}
UNROLL = 600


class Program:
    """The functions of some C text."""

    def __init__(self, text):
        text = re.sub(r"^#include.*$", "", text, flags=re.M)
        text = "typedef unsigned long uint64_t; typedef unsigned uint32_t; typedef _Bool bool;\n" + text
        text = re.sub(r"\bfalse\b", "0", re.sub(r"\btrue\b", "1", text))
        text = subprocess.run(["clang", "-E", "-P", "-x", "c", "-"], input=text, text=True,
                              capture_output=True, check=True).stdout
        self.functions = {node.decl.name: node for node in c_parser.CParser().parse(text).ext
                          if isinstance(node, c_ast.FuncDef)}
        self.contracts = {}  # name: Python function used instead of the body
        self.obligations = []

    def call(self, name, *args, when=None):
        """The value of name(args); a list of 64-bit values is an array. Obligations are kept."""
        when = z3.BoolVal(True) if when is None else when
        if name in self.contracts:
            return self.contracts[name](*args)
        return Run(self, self.functions[name], args, when).result()


def fit(value, width):
    """As unsigned conversion does."""
    if width == 1:
        return value if value.size() == 1 else z3.If(value != 0, z3.BitVecVal(1, 1), z3.BitVecVal(0, 1))
    if value.size() == width:
        return value
    return z3.ZeroExt(width - value.size(), value) if value.size() < width else \
        z3.Extract(width - 1, 0, value)


def truth(value):
    return z3.simplify(value != 0)


def lowest_bit(value):
    """Its number; 64 if there is none."""
    result = z3.BitVecVal(value.size(), 32)
    for i in reversed(range(value.size())):
        result = z3.If(z3.Extract(i, i, value) == 1, z3.BitVecVal(i, 32), result)
    return result


def highest_zeros(value):
    result = z3.BitVecVal(value.size(), 32)
    for i in range(value.size()):
        result = z3.If(z3.Extract(i, i, value) == 1, z3.BitVecVal(value.size() - 1 - i, 32), result)
    return result


def ones(value):
    return z3.simplify(sum((z3.ZeroExt(31, z3.Extract(i, i, value)) for i in range(value.size())),
                           z3.BitVecVal(0, 32)))


class Run:
    """One call of one function."""

    def __init__(self, program, function, args, when, whole=True):
        self.program, self.value = program, None
        self.live = when  # not returned yet
        self.vars, self.width = {}, {}
        self.returns = WIDTH[self.type_name(function.decl.type.type)]
        for param, arg in zip(function.decl.type.args.params, args, strict=True):
            if not isinstance(arg, list):
                self.width[param.name] = WIDTH[self.type_name(param.type)]
                arg = z3.simplify(fit(arg if z3.is_bv(arg) else z3.BitVecVal(arg, 64),
                                       self.width[param.name]))
            self.vars[param.name] = arg
        self.code = function.body.block_items
        if whole:
            self.block(function.body, z3.BoolVal(True))

    def round(self, variables):
        """One round of the function's loop, from given values of the variables that change in it."""
        before = [item for item in self.code if not isinstance(item, c_ast.For)]
        loop, = [item for item in self.code if isinstance(item, c_ast.For)]
        if not isinstance(before[-1], c_ast.Return) or len(before) != len(self.code) - 1:
            raise NotImplementedError("a function of declarations, one loop and a return")
        for item in before[:-1]:
            self.block(item, z3.BoolVal(True))
        self.block(loop.init, z3.BoolVal(True))
        for name, value in variables.items():
            self.vars[name] = fit(value, self.width[name])
        self.skip = z3.BoolVal(False)
        self.body(loop.stmt, z3.BoolVal(True))
        return self

    def result(self):
        return z3.simplify(self.value)

    @staticmethod
    def type_name(node):
        while not isinstance(node, c_ast.IdentifierType):
            node = node.type
        return " ".join(node.names)

    def must(self, condition, when):
        condition = z3.simplify(z3.Implies(z3.And(self.live, when), condition))
        if not z3.is_true(condition):
            self.program.obligations.append(condition)

    # ---- statements -----------------------------------------------------------------------------
    def block(self, node, when):
        when = z3.simplify(when)
        if node is None or z3.is_false(when) or z3.is_false(z3.simplify(self.live)):
            return
        kind = type(node).__name__
        if kind == "Compound":
            for item in node.block_items or []:
                self.block(item, when)
        elif kind == "Decl":
            self.declare(node, when)
        elif kind == "DeclList":
            for item in node.decls:
                self.declare(item, when)
        elif kind == "If":
            condition = truth(self.eval(node.cond, when))
            self.block(node.iftrue, z3.And(when, condition))
            self.block(node.iffalse, z3.And(when, z3.Not(condition)))
        elif kind in ("For", "While"):
            self.loop(node, when)
        elif kind == "Return":
            value, now = fit(self.eval(node.expr, when), self.returns), z3.And(when, self.live)
            self.value = value if self.value is None else z3.If(now, value, self.value)
            self.live = z3.simplify(z3.And(self.live, z3.Not(when)))
        elif kind == "Continue":
            self.skip = z3.simplify(z3.Or(self.skip, when))
        else:
            self.eval(node, when)

    def declare(self, node, when):
        if isinstance(node.type, c_ast.ArrayDecl):
            width = WIDTH[self.type_name(node.type)]
            self.vars[node.name] = [fit(self.eval(e, when), width) for e in node.init.exprs]
        else:
            self.width[node.name] = WIDTH[self.type_name(node.type)]
            initial = self.eval(node.init, when) if node.init else \
                z3.FreshConst(z3.BitVecSort(self.width[node.name]))
            self.vars[node.name] = z3.simplify(fit(initial, self.width[node.name]))

    def loop(self, node, when):
        if isinstance(node, c_ast.For) and node.init is not None:
            self.block(node.init, when)
        outer = getattr(self, "skip", None)
        for _ in range(UNROLL):
            condition = truth(self.eval(node.cond, when)) if node.cond else z3.BoolVal(True)
            when = z3.simplify(z3.And(when, condition))
            if self.impossible(when):
                self.skip = outer
                return
            self.skip = z3.BoolVal(False)
            self.body(node.stmt, when)
            if isinstance(node, c_ast.For) and node.next is not None:
                self.eval(node.next, z3.And(when, self.live))
        raise RuntimeError(f"{node.coord}: more than {UNROLL} rounds")

    def body(self, node, when):
        """Statements up to `continue` on the paths that take it."""
        for item in (node.block_items if isinstance(node, c_ast.Compound) else [node]):
            self.block(item, z3.And(when, z3.Not(self.skip)))

    def impossible(self, when):
        condition = z3.simplify(z3.And(when, self.live, *getattr(self.program, "given", [])))
        if z3.is_true(condition) or z3.is_false(condition):
            return z3.is_false(condition)
        solver = z3.Solver()
        solver.set("timeout", 200)  # to take one round more is no harm
        solver.add(condition)
        return solver.check() == z3.unsat

    # ---- expressions ----------------------------------------------------------------------------
    def assign(self, target, value, when):
        if not isinstance(target, c_ast.ID):
            raise NotImplementedError(f"{target.coord}: assignment")
        old, now = self.vars[target.name], z3.simplify(z3.And(when, self.live))
        value = fit(value, self.width[target.name])
        self.vars[target.name] = z3.simplify(value if z3.is_true(now) else z3.If(now, value, old))
        return value

    def eval(self, node, when):
        return getattr(self, "eval_" + type(node).__name__)(node, when)

    def eval_Constant(self, node, _):
        digits = node.value.lower().rstrip("ul")
        number = int(digits, 0) if digits != "0" else 0
        wide = "ll" in node.value.lower() or "l" in node.value.lower() or number >> 32
        return z3.BitVecVal(number, 64 if wide else 32)

    def eval_ID(self, node, _):
        value = self.vars[node.name]
        return value if isinstance(value, list) or value.size() > 1 else z3.ZeroExt(31, value)

    def eval_Cast(self, node, when):
        value = fit(self.eval(node.expr, when), WIDTH[self.type_name(node.to_type)])
        return value if value.size() > 1 else z3.ZeroExt(31, value)

    def eval_ArrayRef(self, node, when):
        array, index = self.vars[node.name.name], z3.simplify(self.eval(node.subscript, when))
        self.must(z3.ULT(index, len(array)), when)
        if z3.is_bv_value(index) and index.as_long() < len(array):
            return array[index.as_long()]
        value = array[0]
        for i, element in enumerate(array):
            value = z3.If(index == i, element, value)
        return value

    def eval_TernaryOp(self, node, when):
        condition = truth(self.eval(node.cond, when))
        if z3.is_true(condition) or z3.is_false(condition):
            return self.eval(node.iftrue if z3.is_true(condition) else node.iffalse, when)
        yes = self.eval(node.iftrue, z3.And(when, condition))
        no = self.eval(node.iffalse, z3.And(when, z3.Not(condition)))
        width = max(yes.size(), no.size())
        return z3.simplify(z3.If(condition, fit(yes, width), fit(no, width)))

    def eval_Assignment(self, node, when):
        value = self.eval(node.rvalue, when)
        if node.op != "=":
            value = self.binary(node.op[:-1], self.eval(node.lvalue, when), value, when)
        return self.assign(node.lvalue, value, when)

    def eval_UnaryOp(self, node, when):
        value = self.eval(node.expr, when)
        if node.op == "~":
            return z3.simplify(~value)
        if node.op == "!":
            return number(value == 0)
        if node.op in ("p++", "++", "p--", "--"):
            self.assign(node.expr, value + 1 if "+" in node.op else value - 1, when)
            return value if node.op[0] == "p" else value + (1 if "+" in node.op else -1)
        raise NotImplementedError(f"{node.coord}: {node.op}")

    def eval_BinaryOp(self, node, when):
        left = self.eval(node.left, when)
        if node.op in ("&&", "||"):
            left = truth(left)
            further = left if node.op == "&&" else z3.Not(left)
            right = truth(self.eval(node.right, z3.And(when, further)))
            return number(z3.And(left, right) if node.op == "&&" else z3.Or(left, right))
        return self.binary(node.op, left, self.eval(node.right, when), when)

    def binary(self, op, left, right, when):
        if op in ("<<", ">>"):
            self.must(z3.ULT(right, left.size()), when)
            right = fit(right, left.size())
            return z3.simplify(left << right if op == "<<" else z3.LShR(left, right))
        width = max(left.size(), right.size())
        left, right = fit(left, width), fit(right, width)
        if op in ("/", "%"):
            self.must(right != 0, when)
        if op in COMPARE:
            return number(COMPARE[op](left, right))
        return z3.simplify(ARITHMETIC[op](left, right))

    def eval_FuncCall(self, node, when):
        name = node.name.name
        args = [self.eval(arg, when) for arg in (node.args.exprs if node.args else [])]
        if name not in BUILTIN:
            value = self.program.call(name, *args, when=z3.And(when, self.live))
            return value if value.size() > 1 else z3.ZeroExt(31, value)
        value = fit(args[0], 64 if name.endswith("ll") else 32)
        if "popcount" not in name:
            self.must(value != 0, when)
        return z3.simplify(BUILTIN[name](value))


def number(condition):
    return z3.simplify(z3.If(condition, z3.BitVecVal(1, 32), z3.BitVecVal(0, 32)))


COMPARE = {"==": lambda a, b: a == b, "!=": lambda a, b: a != b, "<": z3.ULT, ">": z3.UGT,
           "<=": z3.ULE, ">=": z3.UGE}
ARITHMETIC = {"+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b,
              "/": z3.UDiv, "%": z3.URem, "&": lambda a, b: a & b, "|": lambda a, b: a | b,
              "^": lambda a, b: a ^ b}
BUILTIN = {"__builtin_ctzll": lowest_bit, "__builtin_ctz": lowest_bit,
           "__builtin_clzll": highest_zeros, "__builtin_clz": highest_zeros,
           "__builtin_popcountll": ones, "__builtin_popcount": ones}
