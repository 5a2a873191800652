/* Compiles only if source/ffi.h declares what jaxlib's own header does: size, place and type of all that routines use. */
#include "ffi.h"

#include "xla/ffi/api/c_api.h"

#define SIZE(ours, theirs) _Static_assert(sizeof(ours) == sizeof(theirs), "size of " #ours);
#define PLACE(ours, field, theirs, name)                                                       \
  _Static_assert(offsetof(ours, field) == offsetof(theirs, name), "place of " #ours "." #field); \
  _Static_assert(sizeof(((ours *)0)->field) == sizeof(((theirs *)0)->name), "size of " #ours "." #field);
#define HEAD(ours, theirs)                 \
  SIZE(ours, theirs)                       \
  PLACE(ours, size, theirs, struct_size)   \
  PLACE(ours, extensions, theirs, extension_start)

SIZE(Extension, XLA_FFI_Extension_Base)
PLACE(Extension, size, XLA_FFI_Extension_Base, struct_size)
PLACE(Extension, type, XLA_FFI_Extension_Base, type)
PLACE(Extension, next, XLA_FFI_Extension_Base, next)

HEAD(Version, XLA_FFI_Api_Version)
PLACE(Version, major, XLA_FFI_Api_Version, major_version)
PLACE(Version, minor, XLA_FFI_Api_Version, minor_version)

SIZE(Metadata, XLA_FFI_Metadata)
PLACE(Metadata, size, XLA_FFI_Metadata, struct_size)
PLACE(Metadata, version, XLA_FFI_Metadata, api_version)
PLACE(Metadata, traits, XLA_FFI_Metadata, traits)
PLACE(Metadata, state, XLA_FFI_Metadata, state_type_id)

SIZE(MetadataExtension, XLA_FFI_Metadata_Extension)
PLACE(MetadataExtension, base, XLA_FFI_Metadata_Extension, extension_base)
PLACE(MetadataExtension, metadata, XLA_FFI_Metadata_Extension, metadata)

HEAD(Buffer, XLA_FFI_Buffer)
PLACE(Buffer, type, XLA_FFI_Buffer, dtype)
PLACE(Buffer, data, XLA_FFI_Buffer, data)
PLACE(Buffer, rank, XLA_FFI_Buffer, rank)
PLACE(Buffer, shape, XLA_FFI_Buffer, dims)

SIZE(Array, XLA_FFI_Array)
PLACE(Array, type, XLA_FFI_Array, dtype)
PLACE(Array, size, XLA_FFI_Array, size)
PLACE(Array, data, XLA_FFI_Array, data)

HEAD(Operands, XLA_FFI_Args)
PLACE(Operands, count, XLA_FFI_Args, size)
PLACE(Operands, types, XLA_FFI_Args, types)
PLACE(Operands, buffers, XLA_FFI_Args, args)
HEAD(Operands, XLA_FFI_Rets)
PLACE(Operands, count, XLA_FFI_Rets, size)
PLACE(Operands, types, XLA_FFI_Rets, types)
PLACE(Operands, buffers, XLA_FFI_Rets, rets)

HEAD(Attributes, XLA_FFI_Attrs)
PLACE(Attributes, count, XLA_FFI_Attrs, size)
PLACE(Attributes, types, XLA_FFI_Attrs, types)
PLACE(Attributes, names, XLA_FFI_Attrs, names)
PLACE(Attributes, values, XLA_FFI_Attrs, attrs)

HEAD(Frame, XLA_FFI_CallFrame)
PLACE(Frame, api, XLA_FFI_CallFrame, api)
PLACE(Frame, context, XLA_FFI_CallFrame, ctx)
PLACE(Frame, stage, XLA_FFI_CallFrame, stage)
PLACE(Frame, arguments, XLA_FFI_CallFrame, args)
PLACE(Frame, results, XLA_FFI_CallFrame, rets)
PLACE(Frame, attributes, XLA_FFI_CallFrame, attrs)
PLACE(Frame, future, XLA_FFI_CallFrame, future)

HEAD(ErrorArguments, XLA_FFI_Error_Create_Args)
PLACE(ErrorArguments, message, XLA_FFI_Error_Create_Args, message)
PLACE(ErrorArguments, code, XLA_FFI_Error_Create_Args, errc)
HEAD(ErrorHandle, XLA_FFI_Error_Destroy_Args)
PLACE(ErrorHandle, error, XLA_FFI_Error_Destroy_Args, error)
HEAD(ScheduleArguments, XLA_FFI_ThreadPool_Schedule_Args)
PLACE(ScheduleArguments, context, XLA_FFI_ThreadPool_Schedule_Args, ctx)
PLACE(ScheduleArguments, task, XLA_FFI_ThreadPool_Schedule_Args, task)
PLACE(ScheduleArguments, data, XLA_FFI_ThreadPool_Schedule_Args, data)
HEAD(ThreadsArguments, XLA_FFI_ThreadPool_NumThreads_Args)
PLACE(ThreadsArguments, context, XLA_FFI_ThreadPool_NumThreads_Args, ctx)
PLACE(ThreadsArguments, count, XLA_FFI_ThreadPool_NumThreads_Args, num_threads)

/* A newer interface may add functions behind those that are used. */
_Static_assert(sizeof(Api) <= sizeof(XLA_FFI_Api), "size of Api");
PLACE(Api, size, XLA_FFI_Api, struct_size)
PLACE(Api, extensions, XLA_FFI_Api, extension_start)
PLACE(Api, version, XLA_FFI_Api, api_version)
PLACE(Api, internal, XLA_FFI_Api, internal_api)
PLACE(Api, error_create, XLA_FFI_Api, XLA_FFI_Error_Create)
PLACE(Api, error_message, XLA_FFI_Api, XLA_FFI_Error_GetMessage)
PLACE(Api, error_destroy, XLA_FFI_Api, XLA_FFI_Error_Destroy)
PLACE(Api, schedule, XLA_FFI_Api, XLA_FFI_ThreadPool_Schedule)
PLACE(Api, threads, XLA_FFI_Api, XLA_FFI_ThreadPool_NumThreads)

/* The numbers that ffi.h writes out. */
_Static_assert(XLA_FFI_Extension_Metadata == 1, "the extension that asks for metadata");
_Static_assert(XLA_FFI_ExecutionStage_EXECUTE == 3, "the stage in which a routine runs");
_Static_assert(XLA_FFI_Error_Code_RESOURCE_EXHAUSTED == 8, "the error for too little memory");
_Static_assert(XLA_FFI_API_MAJOR == 0 && XLA_FFI_API_MINOR >= 3, "the version that routines say they are for");
