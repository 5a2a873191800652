"""The routines called without XLA: what it hands them (native/source/ffi.h) is made up here.

So a test chooses the library, how many threads there seem to be and how they behave, and needs no compiled program.
"""

import ctypes
import mmap
import threading
from ctypes import CFUNCTYPE, POINTER, Structure, c_char_p, c_int, c_int64, c_size_t, c_uint32, c_void_p

import numpy as np

EXECUTE, FLOAT32, GUARD = 3, 11, 64  # numbers before and behind each result that must stay as they are


def struct(name, *fields):
    head = [("size", c_size_t), ("extensions", c_void_p)]
    return type(name, (Structure,), {"_fields_": head + list(fields)})


Version = struct("Version", ("major", c_int), ("minor", c_int))
Buffer = struct("Buffer", ("type", c_int), ("data", c_void_p), ("rank", c_int64), ("shape", POINTER(c_int64)))
Operands = struct("Operands", ("count", c_int64), ("types", c_void_p), ("buffers", POINTER(POINTER(Buffer))))
Attributes = struct(
    "Attributes", ("count", c_int64), ("types", c_void_p), ("names", c_void_p), ("values", POINTER(c_void_p))
)
Task = CFUNCTYPE(None, c_void_p)
ErrorArguments = struct("ErrorArguments", ("message", c_char_p), ("code", c_int))
ScheduleArguments = struct("ScheduleArguments", ("context", c_void_p), ("task", Task), ("data", c_void_p))
ThreadsArguments = struct("ThreadsArguments", ("context", c_void_p), ("count", POINTER(c_int64)))
Create = CFUNCTYPE(c_void_p, POINTER(ErrorArguments))
Destroy = CFUNCTYPE(None, c_void_p)
Schedule = CFUNCTYPE(c_void_p, POINTER(ScheduleArguments))
Count = CFUNCTYPE(c_void_p, POINTER(ThreadsArguments))
Api = struct(
    "Api", ("version", Version), ("internal", c_void_p), ("create", Create), ("message", c_void_p),
    ("destroy", Destroy), ("others", c_void_p * 8), ("schedule", Schedule), ("threads", Count),
)  # fmt: skip
Frame = struct(
    "Frame", ("api", POINTER(Api)), ("context", c_void_p), ("stage", c_int), ("arguments", Operands),
    ("results", Operands), ("attributes", Attributes), ("future", c_void_p),
)  # fmt: skip


class Array(Structure):
    _fields_ = [("type", c_int), ("size", c_size_t), ("data", c_void_p)]


class Extension(Structure):
    _fields_ = [("size", c_size_t), ("type", c_int), ("next", c_void_p)]


class Metadata(Structure):
    _fields_ = [("size", c_size_t), ("version", Version), ("traits", c_uint32), ("state", c_int64)]


class MetadataExtension(Structure):
    _fields_ = [("base", Extension), ("metadata", POINTER(Metadata))]


class Pool:
    """XLA's threads: so many, it is said, and each task that is handed to them runs ...

    "soon", on a thread of its own; "here", before the caller goes on; "late", when the routine has long returned;
    "never": the pool refuses it with an error, which is to be given back.
    """

    def __init__(self, count=1, when="soon"):
        self.count, self.when, self.kept, self.errors, self.message = count, when, [], 0, ""
        self.api = Api(
            size=ctypes.sizeof(Api), create=Create(self.create), destroy=Destroy(self.destroy),
            schedule=Schedule(self.schedule), threads=Count(self.counted),
        )  # fmt: skip

    def counted(self, arguments):
        arguments.contents.count[0] = self.count

    def schedule(self, arguments):
        task, data = Task(ctypes.cast(arguments.contents.task, c_void_p).value), arguments.contents.data
        if self.when == "never":
            self.errors += 1
            return 1
        if self.when == "here":
            task(data)
        else:
            self.kept.append(threading.Thread(target=task, args=(data,)))
            if self.when == "soon":
                self.kept[-1].start()
        return None

    def create(self, arguments):
        self.message = arguments.contents.message.decode()
        self.errors += 1
        return 1

    def destroy(self, arguments):
        self.errors -= 1

    def finish(self):
        for thread in self.kept:
            if self.when == "late":
                thread.start()
            thread.join()
        self.kept.clear()


def buffers(arrays):
    """Operands that lie in these arrays, and what has to be kept as long as they are used."""
    made = [
        Buffer(ctypes.sizeof(Buffer), None, FLOAT32, x.ctypes.data, x.ndim, (c_int64 * x.ndim)(*x.shape))
        for x in arrays
    ]
    pointers = (POINTER(Buffer) * len(made))(*map(ctypes.pointer, made))
    return Operands(ctypes.sizeof(Operands), None, len(made), None, pointers), (made, pointers)


def at_the_edge(array):
    """A copy of float32 behind which memory ends: who reads on, though it were nothing that counts, ends with it."""
    array = np.ascontiguousarray(array, np.float32)
    size = (-(-array.nbytes // mmap.PAGESIZE) + 1) * mmap.PAGESIZE
    memory = np.frombuffer(mmap.mmap(-1, size), np.uint8)
    refused = c_void_p(memory.ctypes.data + size - mmap.PAGESIZE)
    protect = ctypes.CDLL(None).mprotect
    protect.argtypes = [c_void_p, c_size_t, c_int]
    assert protect(refused, mmap.PAGESIZE, 0) == 0
    copy = memory[size - mmap.PAGESIZE - array.nbytes : size - mmap.PAGESIZE].view(np.float32).reshape(array.shape)
    copy[...] = array
    return copy


def call(library, name, shapes, arrays, how=(), pool=None, over=None):
    """The results, of these shapes, of a routine on float32 arrays.

    over: of results the arguments in whose memory they lie.
    """
    pool, routine = pool or Pool(), getattr(library, f"millrace_{name}")
    routine.restype, routine.argtypes = c_void_p, [POINTER(Frame)]
    arrays = [np.ascontiguousarray(x, np.float32) for x in arrays]
    sizes = [int(np.prod(shape)) for shape in shapes]
    held = [np.full(size + 2 * GUARD, np.nan, np.float32) for size in sizes]
    results = [
        whole[GUARD : GUARD + size].reshape(shape) for whole, size, shape in zip(held, sizes, shapes, strict=True)
    ]
    for n, k in (over or {}).items():
        results[n][...] = arrays[k]
        arrays[k] = results[n]
    numbers = np.array(how, np.int64)
    attribute = Array(5, numbers.size, numbers.ctypes.data)
    given, kept = buffers(arrays)
    made, kept_too = buffers(results)
    values = (c_void_p * 1)(ctypes.addressof(attribute))
    frame = Frame(
        size=ctypes.sizeof(Frame), api=ctypes.pointer(pool.api), stage=EXECUTE, arguments=given, results=made,
        attributes=Attributes(ctypes.sizeof(Attributes), None, 1, None, None, values),
    )  # fmt: skip
    error = routine(ctypes.byref(frame))
    pool.finish()
    assert kept and kept_too and pool.errors == bool(error)
    for whole in held:
        assert np.isnan(whole[:GUARD]).all() and np.isnan(whole[-GUARD:]).all(), f"{name} wrote outside its result"
    if error:
        raise RuntimeError(pool.message)
    return results


def version_of(library, name):
    """The version of XLA's interface that a routine says it is for."""
    metadata = Metadata(size=ctypes.sizeof(Metadata))
    extension = MetadataExtension(Extension(ctypes.sizeof(MetadataExtension), 1, None), ctypes.pointer(metadata))
    frame = Frame(size=ctypes.sizeof(Frame), extensions=ctypes.addressof(extension), stage=0)
    routine = getattr(library, f"millrace_{name}")
    routine.restype, routine.argtypes = c_void_p, [POINTER(Frame)]
    assert routine(ctypes.byref(frame)) is None
    return metadata.version.major, metadata.version.minor
