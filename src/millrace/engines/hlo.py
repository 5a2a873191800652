"""Which node of a graph each instruction of a compiled program comes from, read from XLA's own text of it.

The compiler lowers each node of a graph inside a scope that is called n and the node's number; XLA hands that name
on through its rewriting, as `op_name="jit(program)/n12/dot_general"`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

SCOPE = re.compile(r"(?:^|/)n(\d+)(?:/|$)")
NAME = re.compile(r"%([\w.\-]+)")
CALLED = re.compile(r"(?:calls|to_apply|body|condition|true_computation|false_computation)=%?([\w.\-]+)")
BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")
LINE = re.compile(r"^\s+(?:ROOT )?%?([\w.\-]+) = (.*)$")
OP_NAME = re.compile(r'op_name="([^"]*)"')
ROUNDS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')
AROUND = ("while", "call", "conditional")  # instructions that only run others


@dataclass
class Instruction:
    """One instruction of a program: what it reads, which computations it runs, and where it says it comes from."""

    name: str
    opcode: str
    operands: list[str]
    called: list[str]
    scope: int | None  # the number of the node in its own name
    rounds: int = 1  # of a loop, as far as XLA knows


@dataclass
class Program:
    """Instructions by name, and for each computation its instructions and who runs it."""

    instructions: dict[str, Instruction] = field(default_factory=dict)
    inside: dict[str, list[str]] = field(default_factory=dict)
    runs: dict[str, str] = field(default_factory=dict)
    stands_in: dict[str, str] = field(default_factory=dict)


def after_type(text: str) -> str:
    """What follows an instruction's type, which is one word or a tuple in parentheses."""
    if not text.startswith("("):
        return text.partition(" ")[2]
    depth = 0
    for place, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if not depth:
            return text[place + 1 :].lstrip()
    return ""


def parse(text: str) -> Program:
    """A program from its text."""
    program, computation = Program(), ""
    for line in text.splitlines():
        if line.endswith("{") and not line[:1].isspace():
            computation = line.removeprefix("ENTRY").split("(")[0].strip().lstrip("%")
            program.inside[computation] = []
            continue
        found = LINE.match(line)
        if found is None or not computation:
            continue
        rest = after_type(found[2])
        opcode, _, arguments = rest.partition("(")
        said = OP_NAME.search(rest)
        scope = SCOPE.search(said[1]) if said else None
        called = CALLED.findall(rest) + [name for group in BRANCHES.findall(rest) for name in NAME.findall(group)]
        made = Instruction(
            found[1], opcode, NAME.findall(arguments.partition(")")[0]), called, int(scope[1]) if scope else None,
            int(rounds[1]) if (rounds := ROUNDS.search(rest)) else 1,
        )  # fmt: skip
        program.instructions[made.name] = made
        program.inside[computation].append(made.name)
        program.stands_in[made.name] = computation
    for made in program.instructions.values():
        program.runs |= dict.fromkeys(made.called, made.name)
    return program


def sources(program: Program) -> dict[str, int]:
    """The number of the node that each instruction comes from, for those where it can be told.

    An instruction says so itself, or what it consists of does (a fusion's last instruction first), or whoever runs
    it; a copy that XLA has put in belongs to what it copies, and to its user where that is an argument.
    """
    users: dict[str, list[str]] = {}
    for made in program.instructions.values():
        for operand in made.operands:
            users.setdefault(operand, []).append(made.name)
    known: dict[str, int | None] = {}

    def outright(name: str) -> int | None:
        """From its own name, what it consists of, or who runs it."""
        if name in known:
            return known[name]
        known[name] = None  # while it is being looked for
        made = program.instructions[name]
        number = made.scope
        if number is None and made.opcode == "fusion":
            inner = [program.instructions[x].scope for c in made.called for x in reversed(program.inside.get(c, []))]
            number = next((n for n in inner if n is not None), None)
        if number is None:
            caller = program.runs.get(program.stands_in[name])
            number = outright(caller) if caller is not None else None
        known[name] = number
        return number

    def beside(name: str, near: dict[str, list[str]], depth: int = 4) -> int | None:
        """From the nearest instruction in one direction that can tell."""
        for other in near.get(name, ()) if depth else ():
            if other in program.instructions and program.instructions[other].opcode != "parameter":
                number = outright(other)
                number = beside(other, near, depth - 1) if number is None else number
                if number is not None:
                    return number
        return None

    operands = {made.name: made.operands for made in program.instructions.values()}
    found = {}
    for name in program.instructions:
        number = outright(name)
        for near in (operands, users):
            number = beside(name, near) if number is None else number
        if number is not None:
            found[name] = number
    return found


def containers(program: Program) -> set[str]:
    """Instructions whose time is that of others, which they run."""
    return {made.name for made in program.instructions.values() if made.opcode in AROUND}
