"""`python -m millrace.native` says in a line which routines are used here, or that there are none."""

from millrace.native.library import library

REASONS = {
    "off": "the environment says so",
    "platform": "there are none for this processor or system",
    "unbuilt": "they could not be compiled; is there a C compiler?",
    "unloadable": "the system does not load them",
    "stale": "they were built from other sources",
    "older": "this processor is older than AVX2 and FMA (2013)",
}

if __name__ == "__main__":
    found = library()
    if found.loaded is not None:
        print(f"Routines in C: {found.kind}")
    else:
        print(f"No routines in C ({REASONS[found.why]}): Millrace works without, more slowly. See `millrace doctor`.")
