"""What each finding says and means, in English. Braces stand for what was found here."""

HEADS = {
    "error": "ERROR: ",
    "warning": "WARNING: ",
    "note": "NOTE: ",
    "mend": "To mend it:",
    "fine": "Nothing wrong found.",
    "count": "{error} to mend, {warning} to look at, {note} to know.",
    "instead": "millrace: {why}",
    "more": "`{command} doctor` says more.",
    "looked": "Looked at Python {python} ({executable})\non {system} {processor}: {packages}.",
    "absent": "absent",
}

# What is here, with nothing wrong: the names of the facts, and the sentences around their values.
FACTS = {
    "versions": "versions",
    "platform": "platform",
    "processor": "processor",
    "cores": "cores",
    "memory": "memory",
    "engine": "engine",
    "ynnpack": "YNNPACK",
    "routines": "routines",
    "allocator": "allocator",
    "cache": "cache",
    "settings": "settings",
    "counted": "{usable} that this process may use, {all} in the machine",
    "unknown": "unknown",
    "numpy-alone": "numpy alone: {why}",
    "xla": "xla on {platform}",
    "xla-named": "xla on {platform}: {devices}",
    "ynnpack-elsewhere": "not used on {platform}",
    "ynnpack-unsafe": "UNSAFE in jaxlib {version}, so it is never used. Install another jaxlib: what it sped up is "
    "slower now.",
    "ynnpack-fine": "no fault known in jaxlib {version}; in use where it is fast (`millrace explain --plan MODEL` says "
    "where)",
    "routines-used": "in C, built for {kind}",
    "routines-elsewhere": "in C for processors only, not used on {platform}",
    "routines-off": "none, as MILLRACE_NATIVE={about} says: XLA computes everything, more slowly",
    "routines-platform": "none for this kind of processor or system: XLA computes everything",
    "routines-unbuilt": "none were built when Millrace was installed, most often for want of a C compiler, so that "
    "XLA computes everything, more slowly. Install one ({compiler}), then: {build}",
    "routines-stale": "none: {about} was built from other sources than those that are here, so that XLA computes "
    "everything, more slowly. To build it again: {build}",
    "routines-unloadable": "none: the system does not load what was built ({about}), so that XLA computes everything, "
    "more slowly. To build it again: {build}",
    "routines-refused": "none: this jaxlib does not take them, so that XLA computes everything, more slowly. It says: "
    "{about}",
    "routines-older": "none for this processor: they need AVX2 and FMA (2013). XLA computes everything",
    "allocator-keeps": "keeps the memory of large arrays: fresh pages would fault in every step",
    "allocator-left": "as it was: {why}",
    "cache-none": "none: {folder} cannot be written, so every run compiles anew. MILLRACE_CACHE names another "
    "directory.",
    "cache-kept": "{folder}: {size} in {files} files, writable",
    "cache-fixed": "{folder}: {size} in {files} files, NOT writable",
    "cache-of-jax": ", chosen by JAX's own setting",
    "none-set": "none of JAX, XLA, the allocator or Millrace in the environment",
    "verifying": "Both engines on the samples of {count} operations (a minute the first time)",
    "comparing": "comparing",
    "different": "DIFFERENT: {difference}",
    "compared": "{results} results of {count} operations compared in {seconds} s ({dtypes}).",
    "agree": "Both engines agree on all of them.",
    "differ": "{count} DIFFER, of {names}: do not trust the compiled results of these on this machine. `--engine "
    "numpy` computes without the compiler; please report it with the lines above.",
    "comma": ", ",
}

# A finding's code: what was found, and what it means.
TEXTS = {
    "python-old": (
        "Python {have} is too old.",
        "Millrace needs Python {oldest} to {newest}. Older ones cannot read its sources, and JAX has no package for "
        "them.",
    ),
    "python-new": (
        "Python {have} is newer than any that Millrace was tested with.",
        "Packages are ready-made for Python {oldest} to {newest}. For a newer one pip may try to build them, and fail.",
    ),
    "python-kind": (
        "This is {kind}, not CPython.",
        "NumPy's and JAX's packages contain machine code for CPython, the usual Python. {kind} cannot load it.",
    ),
    "python-32-bit": (
        "This is a {bits}-bit Python.",
        "The packages are made for 64-bit Pythons only. The machine can nearly always run one.",
    ),
    "python-free-threaded": (
        "This Python is free-threaded (built without the global interpreter lock).",
        "Millrace was not tested with it, and some packages may not be ready-made for it. The usual Python of the same "
        "version works.",
    ),
    "python-store": (
        "This Python comes from the Microsoft Store.",
        "It may not write everywhere: what it puts into AppData lands in a hidden copy of that folder, under a long "
        "path. It works; where files seem to vanish, use the Python from python.org.",
    ),
    "no-wheels": (
        "No packages are made for {system} on {processor}.",
        "ml_dtypes and jaxlib are made for Linux (x86_64, arm64), macOS and Windows. Elsewhere they have to be built "
        "from source. Another machine is the easier way.",
    ),
    "musl": (
        "This Linux uses the C library musl, as Alpine does.",
        "ml_dtypes and jaxlib are made for glibc, the usual C library. Use a Debian, Ubuntu or Fedora, for example in "
        "a container:",
    ),
    "glibc-old": (
        "The C library glibc {have} is too old.",
        "NumPy and jaxlib need glibc {least} or newer. It belongs to the system and cannot be replaced alone: use a "
        "newer system, for example in a container:",
    ),
    "macos-old": (
        "macOS {have} is too old.",
        "The packages need macOS {least} or newer.",
    ),
    "macos-intel": (
        "JAX is no longer made for Macs with an Intel processor.",
        "Millrace runs here in its interpreter, which needs only NumPy: the same results, many times slower. Small "
        "networks train well with it.",
    ),
    "windows-arm": (
        "JAX is not made for Windows on ARM.",
        "Windows runs programs for x64 on this processor, too: with a Python for x64 the compiler works. With this one "
        "Millrace runs in its interpreter, many times slower.",
    ),
    "rosetta": (
        "This Python is made for Intel processors; Rosetta translates it for this Mac.",
        "There is no JAX for it. A Python for Apple silicon has one, and is faster.",
    ),
    "no-avx": (
        "This processor has no AVX instructions, or they are switched off.",
        "jaxlib was built with them, so XLA cannot be loaded here. Millrace's interpreter needs only NumPy. In a "
        "virtual machine, let the guest see the host's processor: AVX is often only hidden.",
    ),
    "no-sse42": (
        "This processor lacks SSE4.2.",
        "NumPy 2.4 and newer refuse to load without it, and XLA needs even more. An older NumPy runs Millrace's "
        "interpreter.",
    ),
    "runtime-missing": (
        "Microsoft's C++ runtime is missing: {files}.",
        "NumPy's and JAX's machine code needs it. Without it their import ends with 'DLL load failed'. Installing it "
        "needs no restart, only a new terminal.",
    ),
    "paths-short": (
        "Windows allows paths of 260 letters only, and this environment lies deep: {folder}",
        "Some files of JAX then cannot be written or found. Allow long paths as an administrator and open a new "
        "terminal, or put the environment into a short path such as C:\\millrace.",
    ),
    "missing-base": (
        "Not installed: {names}.",
        "Without NumPy and ml_dtypes nothing of Millrace runs. The command below installs all that is missing.",
    ),
    "missing-compiler": (
        "Not installed: {names}.",
        "Millrace runs in its interpreter, with the same results and many times slower. JAX brings the compiler.",
    ),
    "missing-part": (
        "Not installed: {names}.",
        "Commands that need them stop. The language itself needs only NumPy and ml_dtypes.",
    ),
    "missing-behind": (
        "{name} needs {other}, which is not installed.",
        "JAX cannot be imported without it. It was removed, or the installation was cut short.",
    ),
    "unregistered": (
        "{name} is there, but no installation of it is registered.",
        "Its version cannot be told, and pip may put a second one beside it. Where it works, leave it.",
    ),
    "file-missing": (
        "The installation of {name} {version} is not whole.",
        "This file is gone: {file}",
    ),
    "file-cut": (
        "The installation of {name} {version} is damaged.",
        "This file is not as long as it should be: {file}  A full disk or a broken download does that.",
    ),
    "other-python": (
        "{name} was installed by another Python.",
        "Its machine code is for {tag}, and this is Python {have}. A PYTHONPATH that points to another Python's "
        "packages does that, or an environment that outlived an update of Python. The folder: {folder}",
    ),
    "version-unfit": (
        "{name} {version} is a version that Millrace cannot use.",
        "Millrace needs {name}{bounds}.",
    ),
    "wrong-results": (
        "{name} {version} computes wrong results or crashes on CPUs.",
        "That is a fault of this version (jax issues 39103 and 39257). What was trained with it is not to be trusted.",
    ),
    "disagree": (
        "{name} {version} and {other} {have} do not fit each other.",
        "{name} asks for {want}.",
    ),
    "twice": (
        "{name} is installed twice: {version} and {other}.",
        "The first hides the second. First: {folder}  Second: {second}",
    ),
    "twice-in-one": (
        "Two installations of {name} lie in one folder: {version} and {other}.",
        "The files of one overwrote those of the other, as happens when conda ({by}) and pip ({by_other}) install the "
        "same package. Remove both, then install it once. The folder: {folder}",
    ),
    "two-millraces": (
        "There are two Millraces.",
        "This one runs: {first}  The other lies in: {second}",
    ),
    "masked": (
        "{file} takes the place of {module}.",
        "Python imports the first file or folder of that name. Everything that needs {module} gets this one instead.",
    ),
    "masked-library": (
        "{file} takes the place of Python's own module {module}.",
        "Packages that import {module} get this file instead and may fail with errors that say nothing of it. Programs "
        "started in this folder are concerned.",
    ),
    "command-elsewhere": (
        "The command `millrace` belongs to another Python.",
        "Found first: {command}, which runs {other}. This Python is {python}.",
    ),
    "pip-elsewhere": (
        "The command `pip` belongs to another Python.",
        "What it installs is not seen here. It runs {other}. Let this Python call its own pip.",
    ),
    "import-flags": (
        "XLA does not know what XLA_FLAGS says: {found}",
        "It ends the whole program when it meets a flag that it does not know. Flags come and go with its versions.",
    ),
    "import-platform": (
        "JAX was told to compute on {found}, which it cannot find.",
        "JAX_PLATFORMS says so. Without it JAX takes the best that is there.",
    ),
    "import-glibc": (
        "{name} needs a newer C library: {found}.",
        "The C library belongs to the system and cannot be replaced alone: use a newer system, for example in a "
        "container:",
    ),
    "import-cpp": (
        "{name} needs a newer C++ library: {found}.",
        "An older libstdc++ was found first, the system's or one that conda or LD_LIBRARY_PATH brings.",
    ),
    "import-disagree": (
        "jax and jaxlib do not fit each other.",
        "JAX says: {said}",
    ),
    "import-abi": (
        "{name} was built for another NumPy than the one installed.",
        "Packages for NumPy 1 do not run with NumPy 2. Choose their versions together. It says: {said}",
    ),
    "import-cut": (
        "A file of {name} is damaged or for another system.",
        "A full disk or a broken download leaves files that are cut short. It says: {said}",
    ),
    "import-architecture": (
        "{name} was installed for another kind of processor.",
        "That happens where an environment was copied from another machine. It says: {said}",
    ),
    "import-macos": (
        "{name} is made for a newer macOS.",
        "It says: {said}",
    ),
    "import-map": (
        "The system does not let {name} load its machine code.",
        "Either memory is limited (see `ulimit -v`), or the environment lies on a disk that forbids running programs "
        "(mounted noexec): put it elsewhere. It says: {said}",
    ),
    "import-memory": (
        "There was too little memory to load {name}.",
        "Close other programs. JAX needs about half a gigabyte; Millrace's interpreter needs less.",
    ),
    "import-library": (
        "{name} lacks a library of the system: {found}",
        "Small systems and containers leave it out. On systems without apt the package has a similar name.",
    ),
    "import-dll": (
        "{name} cannot be loaded: DLL load failed.",
        "Nearly always Microsoft's C++ runtime is missing or too old; else a file of {name} is damaged. Try the "
        "commands in their order, each time with a new terminal.",
    ),
    "import-symbol": (
        "Parts of {name} come from different versions.",
        "A part asks for something that another does not have. It says: {said}",
    ),
    "import-permission": (
        "Files of {name} may not be read.",
        "Somebody else installed them, perhaps with sudo. It says: {said}",
    ),
    "import-masked": (
        "A file of yours may have the name of a module that {name} needs.",
        "Look for one in this folder and rename it. If there is none, {name} is damaged. It says: {said}",
    ),
    "import-absent": (
        "{name} cannot be imported: the module {found} is missing.",
        "It was removed, or the installation was cut short.",
    ),
    "import-slow": (
        "Importing {name} did not end within two minutes.",
        "A folder on a slow network drive does that, or a GPU's driver that hangs. The command prints what is imported "
        "and stops where the time goes.",
    ),
    "import-illegal": (
        "Importing {name} ended with an illegal instruction.",
        "The package was built for a newer processor, or an emulator lacks part of one. Millrace's interpreter needs "
        "only NumPy.",
    ),
    "import-crash": (
        "Importing {name} crashed (exit code {found}).",
        "Mixed versions or a damaged file do that. Install it anew. If it still crashes, set PYTHONFAULTHANDLER=1 and "
        "see which file it names.",
    ),
    "import-killed": (
        "Importing {name} was ended by the system.",
        "Memory ran out, nearly always. Close other programs, or give the container more.",
    ),
    "import-unknown": (
        "{name} cannot be imported.",
        "The doctor does not know this error: {said}",
    ),
    "platform-absent": (
        "JAX was told to compute on {platform}, and the plugin for it is not installed.",
        "JAX_PLATFORMS={value} says so. Without it JAX takes the best that is there.",
    ),
    "flags-unreadable": (
        "XLA_FLAGS begins with {flag}, which is not a flag.",
        "Flags begin with --. Anything else XLA takes for the name of a file with flags; where there is none, it ends "
        "the program.",
    ),
    "compiler-off": (
        "JAX_DISABLE_JIT switches compilation off.",
        "Every operation then runs alone: right, and many times slower.",
    ),
    "one-thread": (
        "{variable}=1: NumPy's products use one of {cores} cores.",
        "Millrace's interpreter is slower for it; compiled programs are not.",
    ),
    "gpu-no-plugin": (
        "There is a GPU ({gpu}), and JAX computes on the CPU.",
        "JAX's plugin for NVIDIA's GPUs is not installed. The driver {driver} is new enough for it. The download takes "
        "several gigabytes.",
    ),
    "gpu-no-driver": (
        "{plugin} is installed, and no NVIDIA driver answers.",
        "JAX computes on the CPU. If there is a GPU, see what its driver says. A container has to be started with "
        "--gpus all.",
    ),
    "gpu-silent": (
        "There seems to be an NVIDIA GPU, and its driver does not answer.",
        "The command nvidia-smi is missing or fails. See what it says; in a container, start it with --gpus all.",
    ),
    "gpu-hidden": (
        "CUDA_VISIBLE_DEVICES hides the GPU ({gpu}).",
        "JAX computes on the CPU as long as it is set so.",
    ),
    "gpu-too-old": (
        "The GPU ({gpu}) or its driver {driver} is too old for JAX.",
        "JAX needs driver {least} or newer and compute capability {capability} or higher. A newer driver may suffice; "
        "until then Millrace computes on the CPU.",
    ),
    "gpu-plugin-version": (
        "{plugin} {have} does not fit jaxlib {jaxlib}.",
        "JAX leaves a plugin of another version out and computes on the CPU.",
    ),
    "gpu-driver-old": (
        "The driver {driver} or the GPU ({gpu}) is too old for CUDA {cuda}.",
        "JAX's plugin for CUDA {cuda} needs driver {least} or newer and compute capability {capability} or higher.",
    ),
    "gpu-libraries": (
        "LD_LIBRARY_PATH brings other CUDA libraries.",
        "They are found before those of {plugin} and may be of another version: {file} in {folder}",
    ),
    "gpu-windows": (
        "On Windows, JAX computes on the CPU only, though there is a GPU ({gpu}).",
        "Windows' subsystem for Linux (WSL 2) can use it: install Millrace there.",
    ),
    "runs-unwritable": (
        "Nothing can be written into this folder: {folder}",
        "Runs are kept in `runs` within it. The system says: {why}. Call Millrace elsewhere, or name another place:",
    ),
    "cache-unwritable": (
        "Compiled programs cannot be kept in {folder}",
        "Every run compiles anew, which takes seconds to minutes. The system says: {why}.",
    ),
    "temporary-unwritable": (
        "Nothing can be written into the folder for temporary files: {folder}",
        "Pip, JAX and Millrace need one. The system says: {why}.",
    ),
    "data-missing": (
        "MILLRACE_DATA names a folder that is not there: {folder}",
        "Data sets are looked for in it. Correct the name, or make the folder.",
    ),
    "disk-full": (
        "The disk is nearly full: {free} left for {folder}",
        "Checkpoints and reports will not be written. Installing takes about 750 MB, a run of AlexNet about 2 GB.",
    ),
    "disk-little": (
        "There is little room on the disk: {free} left for {folder}",
        "Small runs fit. Installing takes about 750 MB, a run of AlexNet about 2 GB.",
    ),
    "memory-little": (
        "There is little memory: {usable}.",
        "JAX alone takes about half a gigabyte. Millrace's interpreter needs less and trains the small networks.",
    ),
    "memory-small": (
        "Memory of {usable} suffices for the small networks.",
        "AlexNet with batches of 128 takes about 4 GiB. Smaller batches take less.",
    ),
    "memory-limited": (
        "This process may use {usable} of the machine's {whole} of memory.",
        "A container or a batch system sets that limit, and ends what goes beyond it.",
    ),
}
