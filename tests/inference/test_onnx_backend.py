"""ONNX's own cases of every operator that is imported: what is not listed with a reason has to pass."""

from pathlib import Path

import pytest
from onnx_backend import REASONS, cases, failure, operators, page

PAGE = Path(__file__).parents[2] / "docs" / "onnx.md"


@pytest.mark.parametrize("operator", operators())
def test_an_operator_passes_its_cases(operator):
    wrong = {case.name: why for case in cases().get(operator, []) if bool(why := failure(case)) != bool(case.reason)}
    assert not wrong, f"these fail without a reason in REASONS, or pass though they are listed there: {wrong}"


def test_the_page_has_the_table_as_it_is():
    text = PAGE.read_text()
    assert page(text) == text, "make docs renews it"


def test_no_reason_is_left_over():
    import fnmatch

    names = [case.name for mine in cases().values() for case in mine]
    assert not [pattern for pattern in REASONS if not fnmatch.filter(names, pattern)]
