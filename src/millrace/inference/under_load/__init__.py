"""A server of the Open Inference Protocol put under load, by a client that checks every answer.

`client.py` speaks HTTP, `probe.py` makes the requests with their right answers, `hostile.py` the wrong ones with the
status each has to get, `load.py` sends them and counts, `server.py` starts a server to be tested.
"""
