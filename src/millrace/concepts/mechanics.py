"""The concepts about how networks and the framework work."""

from millrace.concepts.compiling import COMPILER
from millrace.concepts.convolution import CONVOLUTION
from millrace.concepts.convolution_3d import CONVOLUTION_3D
from millrace.concepts.dataflow_graph import DATAFLOW_GRAPH
from millrace.concepts.feedback_and_memory import FEEDBACK_AND_MEMORY
from millrace.concepts.frameworks import FRAMEWORKS_CONCEPT
from millrace.concepts.local_response_normalization import LOCAL_RESPONSE_NORMALIZATION
from millrace.concepts.pooling import POOLING
from millrace.concepts.symbolic_differentiation import SYMBOLIC_DIFFERENTIATION

MECHANICS = (
    CONVOLUTION, CONVOLUTION_3D, POOLING, LOCAL_RESPONSE_NORMALIZATION, FEEDBACK_AND_MEMORY, DATAFLOW_GRAPH,
    SYMBOLIC_DIFFERENTIATION, COMPILER, FRAMEWORKS_CONCEPT,
)  # fmt: skip
