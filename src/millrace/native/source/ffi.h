/* What XLA hands a routine that a program calls (XLA FFI, C interface 0.3, jaxlib 0.10 to 0.12), and the little that
   the routines use of it. Names are this project's; order and types are the interface's, which tests hold to jaxlib's
   own. */
#ifndef FFI_H
#define FFI_H

#include <stddef.h>
#include <stdint.h>

typedef struct Extension {
  size_t size;
  int type; /* 1: XLA asks for the routine's metadata */
  struct Extension *next;
} Extension;

typedef struct Version {
  size_t size;
  Extension *extensions;
  int major, minor;
} Version;

typedef struct Metadata {
  size_t size;
  Version version;
  uint32_t traits;
  int64_t state;
} Metadata;

typedef struct MetadataExtension {
  Extension base;
  Metadata *metadata;
} MetadataExtension;

typedef struct Buffer {
  size_t size;
  Extension *extensions;
  int type;
  void *data;
  int64_t rank;
  int64_t *shape;
} Buffer;

typedef struct Array {
  int type;
  size_t size;
  void *data;
} Array;

typedef struct Operands {
  size_t size;
  Extension *extensions;
  int64_t count;
  int *types;
  Buffer **buffers;
} Operands;

typedef struct Attributes { /* sorted by name */
  size_t size;
  Extension *extensions;
  int64_t count;
  int *types;
  void **names;
  void **values;
} Attributes;

typedef struct Api Api;

typedef struct Frame {
  size_t size;
  Extension *extensions;
  const Api *api;
  void *context;
  int stage; /* 3: run */
  Operands arguments, results;
  Attributes attributes;
  void *future;
} Frame;

typedef struct ErrorArguments {
  size_t size;
  Extension *extensions;
  const char *message;
  int code;
} ErrorArguments;

typedef struct ErrorHandle {
  size_t size;
  Extension *extensions;
  void *error;
} ErrorHandle;

typedef struct ScheduleArguments {
  size_t size;
  Extension *extensions;
  void *context;
  void (*task)(void *);
  void *data;
} ScheduleArguments;

typedef struct ThreadsArguments {
  size_t size;
  Extension *extensions;
  void *context;
  int64_t *count;
} ThreadsArguments;

struct Api {
  size_t size;
  Extension *extensions;
  Version version;
  const void *internal;
  void *(*error_create)(ErrorArguments *);
  void *error_message;
  void (*error_destroy)(ErrorHandle *);
  void *others[8];
  void *(*schedule)(ScheduleArguments *);
  void *(*threads)(ThreadsArguments *);
};

/* The one attribute of every routine: its integers. */
static inline const int64_t *how(const Frame *frame) { return ((const Array *)frame->attributes.values[0])->data; }
static inline size_t how_many(const Frame *frame) { return ((const Array *)frame->attributes.values[0])->size; }

static inline float *argument(const Frame *frame, int n) { return frame->arguments.buffers[n]->data; }
static inline float *result(const Frame *frame, int n) { return frame->results.buffers[n]->data; }

static inline int64_t elements(const Buffer *buffer) {
  int64_t count = 1;
  for (int64_t n = 0; n < buffer->rank; n++) count *= buffer->shape[n];
  return count;
}

/* Whether there is work to do: results of an empty batch, say, have no numbers. What XLA asks for before, it is told.
 */
static inline int asked_to_run(const Frame *frame) {
  for (Extension *extension = frame->extensions; extension; extension = extension->next)
    if (extension->type == 1) {
      Metadata *metadata = ((MetadataExtension *)extension)->metadata;
      metadata->version.major = 0;
      metadata->version.minor = 3;
      metadata->traits = 0;
      return 0;
    }
  if (frame->stage != 3) return 0;
  for (int64_t n = 0; n < frame->results.count; n++)
    if (elements(frame->results.buffers[n])) return 1;
  return 0;
}

static inline void *no_memory(const Frame *frame) {
  ErrorArguments arguments = {sizeof arguments, NULL, "not enough memory for a routine's working space", 8};
  return frame->api->error_create(&arguments);
}

/* What the library shows to others; all else is its own, so that no name of it can be taken for another library's. */
#define EXPORTED __attribute__((visibility("default")))

/* ROUTINE(name) { ... } defines what a program calls as millrace.name; it returns NULL, or an error. Some result has
   numbers; an argument may have none. */
#define ROUTINE(name)                                                                                     \
  static void *run_##name(const Frame *frame);                                                            \
  EXPORTED void *millrace_##name(Frame *frame) { return asked_to_run(frame) ? run_##name(frame) : NULL; } \
  static void *run_##name(const Frame *frame)

#endif
