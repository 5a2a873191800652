"""Scaled dot-product attention, worked out by hand."""

import numpy as np

import millrace as mr


def test_a_target_takes_its_sources_in_proportion_to_what_they_answer():
    query, key = np.array([[2.0, 0.0]], np.float32), np.array([[np.log(3), 5.0], [0.0, 7.0]], np.float32)
    value = np.array([[1.0], [9.0]], np.float32)
    out, weights = mr.dot_product_attention(query, key, value, scale=0.5)  # scores log 3 and 0
    np.testing.assert_allclose(mr.evaluate(weights), [[0.75, 0.25]], rtol=1e-6)
    np.testing.assert_allclose(mr.evaluate(out), [[3.0]], rtol=1e-6)
    _, usual = mr.dot_product_attention(query, key, value)  # divided by the root of 2
    odds = 3 ** np.sqrt(2)
    np.testing.assert_allclose(mr.evaluate(usual)[0, 0], odds / (odds + 1), rtol=1e-6)


def test_a_masked_source_is_not_looked_at_and_a_target_with_none_gets_nothing():
    x = np.eye(2, dtype=np.float32)
    out, weights = mr.dot_product_attention(x, x, x, mask=np.array([[True, False], [False, False]]))
    assert mr.evaluate(weights).tolist() == [[1, 0], [0, 0]] and mr.evaluate(out).tolist() == [[1, 0], [0, 0]]
