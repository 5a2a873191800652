"""Input pipelines of Millrace and its peers, as contenders of `python -m benchmarks.input`."""
