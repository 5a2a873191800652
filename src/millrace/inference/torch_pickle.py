"""Pickle's language, as far as the state_dicts of PyTorch speak it: read as data, with nothing called or imported."""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from millrace.ir.errors import FileError

STORAGES = (
    "DoubleStorage", "FloatStorage", "HalfStorage", "BFloat16Storage", "LongStorage", "IntStorage", "ShortStorage",
    "CharStorage", "ByteStorage", "BoolStorage", "ComplexFloatStorage", "ComplexDoubleStorage", "UntypedStorage",
)  # fmt: skip
MARK = object()
CONSTANTS = (
    "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES",
    "SHORT_BINBYTES", "BINBYTES8", "BINSTRING", "SHORT_BINSTRING",
)  # fmt: skip


@dataclass(frozen=True)
class Storage:
    """Where numbers lie: the kind of PyTorch's storage, which entry of the archive it is, and how many it holds."""

    kind: str
    key: str
    count: int


@dataclass(frozen=True)
class Tensor:
    """A view of a storage: where it begins, its shape, and its strides, all in numbers."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True)
class Named:
    """A function or class that the file names. It is not looked for anywhere."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"

    @property
    def shown(self) -> str:
        """Its name as an error can have it, whatever it is made of."""
        return f"{str(self)!r:.80}".strip("'")


class Refused(Exception):
    """What the file asks for and does not get."""


def unpickled(content: bytes, path: Path) -> Any:
    """What a pickle describes: dictionaries, lists, tuples, numbers, texts, and `Tensor`s.

    Raises FileError for a damaged pickle, or one that asks for anything else, which it names.
    """
    try:
        return Machine().run(content)
    except Refused as error:
        raise FileError(f"{path} {error}") from None
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, RecursionError) as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise FileError(f"{path} is damaged: its pickle cannot be read ({said:.100}).") from None


class Machine:
    """A stack, a memory, and a method for each instruction that is known."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, content: bytes) -> Any:
        for code, argument, _ in pickletools.genops(content):
            name = code.name
            if name == "STOP":
                return self.stack.pop()
            if name in CONSTANTS:
                self.stack.append(argument)
                continue
            step: Callable[[Any], None] | None = getattr(self, f"do_{name.lower()}", None)
            if step is None:
                raise Refused(f"uses the pickle instruction {name}, which no state_dict needs: nothing of it was run.")
            step(argument)
        raise ValueError("it does not end")

    # ---- the stack

    def do_proto(self, version: int) -> None: ...

    def do_frame(self, size: int) -> None: ...

    def do_mark(self, _: Any) -> None:
        self.stack.append(MARK)

    def do_pop(self, _: Any) -> None:
        self.stack.pop()

    def since_mark(self) -> list[Any]:
        for place in range(len(self.stack) - 1, -1, -1):
            if self.stack[place] is MARK:
                found = self.stack[place + 1 :]
                del self.stack[place:]
                return found
        raise ValueError("no mark")

    def do_binput(self, place: int) -> None:
        self.memo[place] = self.stack[-1]

    do_long_binput = do_binput

    def do_memoize(self, _: Any) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def do_binget(self, place: int) -> None:
        self.stack.append(self.memo[place])

    do_long_binget = do_binget

    # ---- plain values

    def do_none(self, _: Any) -> None:
        self.stack.append(None)

    def do_newtrue(self, _: Any) -> None:
        self.stack.append(True)

    def do_newfalse(self, _: Any) -> None:
        self.stack.append(False)

    def do_empty_dict(self, _: Any) -> None:
        self.stack.append({})

    def do_empty_list(self, _: Any) -> None:
        self.stack.append([])

    def do_empty_tuple(self, _: Any) -> None:
        self.stack.append(())

    def do_tuple(self, _: Any) -> None:
        self.stack.append(tuple(self.since_mark()))

    def do_tuple1(self, _: Any) -> None:
        self.last(1)

    def do_tuple2(self, _: Any) -> None:
        self.last(2)

    def do_tuple3(self, _: Any) -> None:
        self.last(3)

    def last(self, count: int) -> None:
        if len(self.stack) < count:
            raise ValueError("the stack is too short")
        items = tuple(self.stack[-count:])
        del self.stack[-count:]
        self.stack.append(items)

    def do_append(self, _: Any) -> None:
        item = self.stack.pop()
        of_kind(self.stack[-1], list).append(item)

    def do_appends(self, _: Any) -> None:
        items = self.since_mark()
        of_kind(self.stack[-1], list).extend(items)

    def do_setitem(self, _: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.put(key, value)

    def do_setitems(self, _: Any) -> None:
        items = self.since_mark()
        for key, value in zip(items[::2], items[1::2], strict=True):
            self.put(key, value)

    def put(self, key: Any, value: Any) -> None:
        if not isinstance(key, (str, int, float, bool, type(None))):  # a tuple may nest until hashing it never ends
            raise ValueError(f"a key is a {type(key).__name__}")
        of_kind(self.stack[-1], dict)[key] = value

    # ---- what stands for objects

    def do_global(self, text: str) -> None:
        module, _, name = text.partition(" ")
        self.stack.append(Named(module, name))

    def do_stack_global(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.stack.append(Named(of_kind(module, str), of_kind(name, str)))

    def do_binpersid(self, _: Any) -> None:
        match self.stack.pop():
            case ("storage", Named(module="torch" | "torch.storage", name=kind), str(key), str(), int(count)) if (
                kind in STORAGES
            ):
                self.stack.append(Storage(kind, key, count))
            case ("storage", Named() as named, *_):
                raise Refused(f"keeps numbers as {named.shown}, which is no storage that is known here.")
            case other:
                raise ValueError(f"a storage is {type(other).__name__}")

    def do_reduce(self, _: Any) -> None:
        given, named = self.stack.pop(), self.stack.pop()
        if not isinstance(named, Named):
            raise ValueError("something is called that is no function")
        self.stack.append(made(named, of_kind(given, tuple)))

    def do_build(self, _: Any) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if not isinstance(target, dict) or not isinstance(state, dict):
            raise ValueError("something gets a state that has none")
        # of an OrderedDict only its _metadata, versions of modules, which nobody needs here

    def do_newobj(self, _: Any) -> None:
        _given, named = self.stack.pop(), self.stack.pop()
        raise refusal(named) if isinstance(named, Named) else ValueError("something is made that is no class")


def made(named: Named, given: Sequence[Any]) -> Any:
    """What a call stands for: one of the few that state_dicts need.  Raises Refused for every other one."""
    match str(named), *given:
        case "collections.OrderedDict", *pairs if len(pairs) < 2 and all(isinstance(p, list) for p in pairs):
            return {of_kind(key, str): value for key, value in (pairs[0] if pairs else ())}
        case "torch.Size", (tuple() | list()) as sizes:
            return tuple(sizes)
        case "torch._utils._rebuild_tensor_v2", Storage() as storage, offset, shape, strides, *_:
            return Tensor(storage, whole(offset), wholes(shape), wholes(strides))
        case "torch._utils._rebuild_parameter", Tensor() as tensor, *_:
            return tensor
        case "torch._utils._rebuild_tensor_v2" | "torch._utils._rebuild_parameter" | "torch.Size", *_:
            raise ValueError(f"{named} is called with other things than it takes")
    raise refusal(named)


def refusal(named: Named) -> Refused:
    """Why a function or class is refused, with what to do."""
    if named.module == "torch._utils":
        return Refused(
            f"holds a tensor that {named.shown} makes, which is not read here. In PyTorch, make it a plain one: "
            "{name: tensor.detach().clone().contiguous() for name, tensor in model.state_dict().items()}."
        )
    whole_module = named.module == "__main__" or ".modules." in named.module or named.module.startswith("torchvision")
    holds = "holds a whole module" if whole_module else "asks for code"
    return Refused(
        f"{holds}: {named.shown}, which was not run. Keep its weights alone, in PyTorch: "
        "torch.save(model.state_dict(), 'weights.pt')."
    )


def of_kind(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise ValueError(f"a {kind.__name__} is expected where a {type(value).__name__} stands")
    return value


def whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**62:
        raise ValueError("a size is no whole number")
    return value


def wholes(values: Any) -> tuple[int, ...]:
    if len(of_kind(values, tuple)) > 32:
        raise ValueError(f"a tensor has {len(values)} dimensions")
    return tuple(whole(value) for value in values)
