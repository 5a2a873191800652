"""Every stage of a run: what its streams hold, what it refuses, and its text."""

import pytest

from millrace.ir.core import OPS, Node, Value
from millrace.ir.errors import MillraceError
from millrace.ir.graph import Graph
from millrace.ir.leaves import Placeholder
from millrace.ir.stream import Stage, StreamType
from millrace.ir.text import parse, text
from millrace.ir.types import TensorType
from millrace.ops.stages import Batch, Dequeue, Every, Queue, ReadRecords

STAGES = sorted((op for op in OPS.values() if issubclass(op, Stage)), key=lambda op: op.__name__)


def test_all_that_a_run_consists_of_is_there():
    names = {op.__name__ for op in STAGES}
    assert names == {
        "ReadRecords", "Shuffle", "Decode", "Convert", "Weigh", "Batch", "Queue", "Dequeue", "Every", "Evaluate",
        "WriteLog", "Save",
    }  # fmt: skip


@pytest.mark.parametrize("stage", STAGES, ids=lambda op: op.__name__)
def test_a_stage_infers_the_types_of_its_samples(stage):
    for sample in stage.samples():
        types = sample.op.infer(*sample.inputs)
        assert (types if isinstance(types, tuple) else (types,)) == sample.outputs


@pytest.mark.parametrize("stage", STAGES, ids=lambda op: op.__name__)
def test_a_stage_refuses_what_it_cannot_take_and_says_why(stage):
    assert stage.errors()
    for make, message in stage.errors():
        with pytest.raises(MillraceError, match=message):
            make()


@pytest.mark.parametrize(
    "type", [StreamType(()), StreamType((TensorType("int32", ()),)), ReadRecords.samples()[0].outputs[0]], ids=str
)
def test_a_streams_type_reads_back(type):
    assert StreamType.parse(str(type)) == type


def test_a_graph_with_stages_reads_back_from_its_text():
    records = ReadRecords("digits", 10, (TensorType("float32", (8, 8, 1)), TensorType("int32", ())))()
    x, _, _ = Dequeue()(Queue("training", 4, 2)(Batch(5)(records)))
    graph = Graph([], [x])
    again = parse(text(graph))
    assert text(again) == text(graph)
    assert again.nodes[0].op == records.op and isinstance(again.outputs[0], Value)


def test_an_array_is_no_stream():
    x = Placeholder("x", TensorType("float32", (3,)))()
    with pytest.raises(MillraceError, match="batch takes a stream, got"):
        Node(Batch(2), [x])


def test_every_is_due_at_its_steps():
    assert [n for n in range(1, 10) if Every(3).due(n)] == [3, 6, 9]
    assert not any(Every().due(n) for n in range(1, 10))
