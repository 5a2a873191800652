"""Every operation is held to something from outside Millrace: PyTorch, a publication, or a sum done by hand."""

import pytest
import test_against_pytorch
import test_by_hand

from millrace.ir.composite import Composite
from millrace.ir.core import OPS, Primitive

OPERATIONS = sorted(name for name, op in OPS.items() if issubclass(op, (Primitive, Composite)))
TABLES = (test_by_hand.UNARY, test_by_hand.BINARY, test_by_hand.BITS, test_by_hand.FOLDS)


def covered():
    """The names of all operations that a case in the two files checks."""
    by_pytorch = {name for _, names in test_against_pytorch.CASES.values() for name in names}
    by_hand = {name for names in test_by_hand.COVERED.values() for name in names} - {"parametrized"}
    return by_pytorch | by_hand | {name for table in TABLES for name in table}


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_has_a_case_from_outside(name):
    assert name in covered(), f"add a case for {name} to test_against_pytorch.py or test_by_hand.py"


def test_no_case_names_an_operation_that_does_not_exist():
    assert covered() <= set(OPERATIONS)
