"""Everything that `import millrace as mr` offers."""

from millrace import inference, layers
from millrace.engines.function import Function, evaluate, function
from millrace.engines.interpreter import Interpreter
from millrace.engines.processes import join_processes
from millrace.functional import *  # noqa: F403
from millrace.ir.core import Value
from millrace.ir.dims import dim
from millrace.ir.graph import Graph
from millrace.ir.mesh import Mesh
from millrace.ir.rewrite import rules as rewrites
from millrace.ir.rewrite import simplify
from millrace.ir.state import Variable
from millrace.ir.text import parse
from millrace.layers import initializers, regularizers
from millrace.layers.activations import activation
from millrace.layers.base import set_seed
from millrace.layers.calls import mask_of
from millrace.layers.policy import set_dtype_policy
from millrace.training import callbacks, losses, metrics, optimizers, schedules
from millrace.training.model import Model, Sequential, load_model
