"""The engines held against each other: faults put into lowerings are found and named."""

import numpy as np
import pytest

import millrace.api  # noqa: F401  the whole vocabulary
from millrace.engines.verify import compare, examined, in_dtypes, operations, verify
from millrace.ir.core import Sample
from millrace.ops.arithmetic import Add
from millrace.ops.contract import Dot
from millrace.ops.elementwise import Relu, Tanh
from millrace.ops.scan import Scan


def test_right_lowerings_are_compared_in_every_dtype_that_they_take():
    tanh, add = verify([Tanh, Add])
    assert not tanh.differences and not add.differences
    assert tanh.dtypes == {"bfloat16", "float16", "float32", "float64"}
    assert {"int8", "int16", "int32", "int64"} <= add.dtypes
    assert tanh.compared > 8


def test_every_operation_is_examined():
    assert len(operations()) >= 85
    assert {Dot, Relu, Scan} <= set(operations())


def test_a_wrong_lowering_is_reported_with_its_sample_and_how_far_it_is_off(monkeypatch):
    monkeypatch.setattr(Relu, "lower", lambda self, low, x: low.jnp.maximum(x, 0) * np.asarray(1.25, x.dtype))
    found = examined(Relu)
    assert {d.types.split("[")[0] for d in found.differences} == {"bfloat16", "float16", "float32", "float64"}
    sample = Relu.samples(np.random.default_rng(1))[0]
    worst = next(d for d in found.differences if d.sample == 0 and d.types.startswith("float32"))
    assert worst.largest == pytest.approx(0.25 * float(sample.inputs[0].max()), rel=1e-4)
    assert worst.allowed < 1e-4
    assert str(worst).startswith("Relu, sample 1 (float32[")


def test_a_lowering_of_one_dtype_that_breaks_is_told_from_those_that_work(monkeypatch):
    right = Tanh.lower

    def broken(self, low, x):
        if x.dtype == np.float64:
            raise ValueError("no such kernel")
        return right(self, low, x)

    monkeypatch.setattr(Tanh, "lower", broken)
    found = examined(Tanh)
    assert found.differences and all("float64" in d.types for d in found.differences)
    assert "ValueError: no such kernel" in str(found.differences[0])
    assert found.dtypes == {"bfloat16", "float16", "float32"}


def test_a_result_of_another_dtype_is_an_error_of_that_operation(monkeypatch):
    monkeypatch.setattr(Relu, "lower", lambda self, low, x: low.jnp.maximum(x, 0).astype(np.float32))
    found = examined(Relu)
    assert found.differences
    assert not any(d.types.startswith("float32") for d in found.differences)


def test_nan_and_infinity_must_be_where_the_definition_has_them():
    a = np.array([1.0, np.nan, np.inf], np.float32)
    assert compare(a, a) is None
    assert compare(np.array([1.0, 2.0, np.inf], np.float32), a)[0] == np.inf
    assert compare(np.array([1.0, np.nan, -np.inf], np.float32), a)[0] == np.inf
    assert compare(np.array([1.0 + 1e-6, np.nan, np.inf], np.float32), a) is None
    assert compare(np.array([3], np.int32), np.array([4], np.int32))[:2] == (1.0, 0.0)


def test_whole_numbers_are_only_put_where_they_fit():
    sample = Sample(Add(), (np.array([-1, 300], np.int32), np.array([0, 1], np.int32)))
    assert [case.inputs[0].dtype.name for case in in_dtypes(sample)] == ["int32", "int16", "int64"]


def test_the_fixed_types_of_a_body_stay():
    sample = Scan.samples(np.random.default_rng(1))[0]
    assert in_dtypes(sample) == [sample]
