"""A predictor as a server that speaks the Open Inference Protocol, version 2, over HTTP.

From the outside in: `running.py` opens the socket and ends gracefully, `connection.py` guards a connection, `app.py`
has the endpoints, `request.py` and `reply.py` read and write JSON and binary tensors (`tensors.py`), `examples.py`
makes arrays of what was sent, `batching.py` computes requests together, `served.py` is the model, `limits.py` what is
bounded, `metrics.py` what is counted, `command.py` a request to try.
"""
