"""One module a framework; each has `build(task)`, which returns something with `parameters` and `run(steps)`.

`parameters` is the number of trainable weights. `run(steps)` does so many training steps and gives the last one's
loss, or so many predictions and gives the mean sum of an example's probabilities, which must be 1; it returns when
the result is there. Only what is measured imports its framework: these modules are loaded in a process of their own.
"""
