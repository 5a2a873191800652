"""The `millrace` command: its verbs, and what becomes of an error."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from cyclopts import App, CycloptsError, Parameter

from millrace import __version__
from millrace.cli.ending import fail, leave, mistyped
from millrace.cli.options import Whole
from millrace.cli.paragraphs import adding
from millrace.ir.errors import ArgumentError, LostProcessError, MillraceError

LOST = 3  # exit code of a process whose run has lost another one
asked: list[str] | None = None  # what the command was called with

app = App(
    name="millrace",
    help="Deep learning whose whole training run is one graph that you can read.",
    version=__version__,
    help_format="plaintext",
    suppress_keyboard_interrupt=False,  # what Ctrl-C saved is said below
)
command = adding(app)


@command
def train(
    model: str | None = None,
    *,
    epochs: Whole | None = None,
    batch_size: Whole | None = None,
    learning_rate: float | None = None,
    engine: str | None = None,
    seed: Whole | None = None,
    out: Path = Path("runs"),
    resume: Path | None = None,
    save_every: Whole | None = None,
    keep: Whole | None = None,
    on_broken: str | None = None,
    workers: Whole | None = None,
    data: Path | None = None,
    variant: str | None = None,
    width: float | None = None,
    stats: Path | None = None,
    mesh: str | None = None,
    processes: Whole | None = None,
) -> None:
    """Train a network and write a run directory with a report.

    Parameters
    ----------
    model
        What to train. digits, perceptron and mlp learn from 1,797 handwritten digits that are at hand; lenet,
        fashion, cifar_quick, alexnet, char_rnn and sentiment from real data in the folder MILLRACE_DATA;
        memory_network from stories that it makes; hopfield stores ten digits and recalls them. digits unless given.
    epochs
        Passes over the training examples; each model has its own number.
    batch_size
        Examples a step; each model has its own number.
    learning_rate
        The size of a step; each model has its own.
    engine
        xla compiles, and is the default where JAX is installed; numpy interprets, and is slower.
    seed
        Decides first weights, order and dropout: the same seed, the same run. 0 unless given.
    out
        Where run directories are made.
    resume
        A run directory to go on with, to its planned epochs or to --epochs.
    save_every
        Steps after which to save within an epoch, too; without it a run is saved after each epoch.
    keep
        How many of the last checkpoints to keep, besides the best; 3 unless given.
    on_broken
        skip leaves records out that cannot be read and names them, stop ends the run at the first; skip unless given.
    workers
        Threads that read and decode ahead of the step; chosen by the data unless given. It changes no result.
    data
        For alexnet: a folder with train and val in it, such as ImageNet's, each with a folder for each class, or
        packed; Imagenette unless given. With --resume: where that folder is now.
    variant
        For alexnet: paper, one_gpu, release or torchvision; paper unless given.
    width
        For alexnet and resnet18: times the kernels and units of every layer, such as 0.25 for a network that a laptop
        trains.
    stats
        For alexnet: what `millrace data stats` wrote of the training pictures; computed first unless given.
    mesh
        The devices that work on each step, as axes and sizes: data=2 shares each batch, tower=2 lays alexnet's two
        towers on two devices, data=2,tower=2 both. One device unless given.
    processes
        So many processes on this machine, which share the mesh; without --mesh each takes its share of each batch.
        On several machines: one command on each, with MILLRACE_COORDINATOR, MILLRACE_PROCESSES and MILLRACE_PROCESS.
    """
    if processes is not None and processes != 1 and "MILLRACE_PROCESSES" not in os.environ:
        from millrace.cli.launch import launched
        from millrace.models import Demonstration, recipe

        if model is not None and isinstance(recipe(model), Demonstration):
            raise ArgumentError(f"{model} is shown by one process: leave --processes out.")
        raise SystemExit(launched(processes, sys.argv[1:] if asked is None else asked))
    from millrace.engines.processes import join_processes

    if not join_processes().first:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - the first process speaks for all
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # and decides when all end
    from millrace.cli.train import Settings, demonstrate, resume_run, start_run
    from millrace.models import Demonstration, recipe

    settings = Settings(
        epochs, batch_size, learning_rate, engine, seed, save_every, keep, on_broken, workers, data, variant, width,
        stats, mesh,
    )  # fmt: skip
    chosen = None if model is None else recipe(model)
    if isinstance(chosen, Demonstration) and resume is None and not replace(settings, seed=None, engine=None).any:
        demonstrate(chosen, seed or 0, out)
    elif resume is not None:
        resume_run(resume, model, settings)
    else:
        start_run(model or "digits", settings, out)


@command
def runs(directory: Path = Path("runs")) -> None:
    """List the runs in a directory, the last one first: their state, and how far they came.

    Parameters
    ----------
    directory
        Where run directories are, or one of them.
    """
    from millrace.cli.runs import list_runs

    list_runs(directory)


@command
def show(run: Path, *, html: Path | None = None) -> None:
    """Print a run as one graph: its regions, what each does, and the queues between them.

    Parameters
    ----------
    run
        A run directory that `millrace train` made.
    html
        A file to draw the run into as well. Folders on its way are made.
    """
    from millrace.cli.show import show_run

    show_run(run, html)


@command
def predict(
    model: Path,
    examples: Annotated[list[str], Parameter(negative=())],
    *,
    engine: str | None = None,
    out: Path | None = None,
) -> None:
    """Say what picture files show, or what sentences mean; or compute the answers for arrays of examples.

    Parameters
    ----------
    model
        A run directory that `millrace train` made, a saved or exported model, or an ONNX model.
    examples
        Picture files (PNG, JPEG, WebP ...), sentences in quotes, or .npy files of examples, as the network takes them;
        .npz files with the inputs' names for a network of several inputs.
    engine
        xla or numpy.
    out
        A .npy file to write the answers to, in place of a table; .npz for a network of several outputs.
    """
    from millrace.cli.predict import predict_examples

    predict_examples(model, examples, engine, out)


@command
def export(
    model: Path,
    out: Path,
    *,
    precision: str | None = None,
    platforms: str | None = None,
    check: bool = True,
) -> None:
    """Write a trained model for use elsewhere: as what predicts, as ONNX, or as StableHLO.

    Parameters
    ----------
    model
        A run directory that `millrace train` made, a saved or exported model, or an ONNX model.
    out
        The file to write. Its ending says the format: .onnx, .stablehlo, or .safetensors for Millrace's own.
    precision
        What the weights are kept in: float32, bfloat16 or int8; what the model has them in unless given. What fewer
        bits cost in accuracy is measured and printed.
    platforms
        For .stablehlo: what it shall run on, separated by commas: cpu, cuda, tpu. All three unless given.
    check
        Whether to compare the file's answers with the model's, where what reads the file is installed.
    """
    from millrace.cli.export import export_model

    export_model(model, out, precision, platforms, check)


@command
def import_(file: Path, out: Path, *, into: str | None = None, sizes: str | None = None) -> None:
    """Read a model or weights that another framework wrote, and keep them as Millrace's.

    Parameters
    ----------
    file
        An ONNX model; or weights: a PyTorch state_dict (.pt, .pth) or .safetensors, with --into.
    out
        The .safetensors file to write.
    into
        For weights: the network that takes them, one that `millrace train` knows, a run directory, or a saved model.
    sizes
        For an ONNX model: numbers for its open sizes, by their names: length=128,other=4.
    """
    from millrace.cli.importing import import_file

    import_file(file, out, into, sizes)


@command
def serve(
    model: Path,
    *,
    host: str = "127.0.0.1",
    port: Whole = 8000,
    name: str | None = None,
    max_batch: Whole = 32,
    max_queue: Whole = 256,
    max_bytes: Whole = 16_000_000,
    max_pixels: Whole = 25_000_000,
    timeout: float = 10.0,
    engine: str | None = None,
) -> None:
    """Serve a trained model over HTTP by the Open Inference Protocol (v2), with Prometheus metrics.

    Ctrl-C or a termination signal lets the requests that are under way end, then stops.

    Parameters
    ----------
    model
        A run directory that `millrace train` made, a saved or exported model, or an ONNX model.
    host
        The address to listen at; 127.0.0.1 is this machine alone.
    port
        The port; 0 for any that is free.
    name
        What the model is called in requests; its own name unless given.
    max_batch
        Examples that are computed at once, at most; 1 turns batching off.
    max_queue
        Requests that may wait; beyond, a request is answered with 429.
    max_bytes
        Bytes of a request, at most; beyond, it is answered with 413.
    max_pixels
        Pixels of a picture in a request, at most.
    timeout
        Seconds that a request may take to arrive, and to be answered.
    engine
        xla or numpy.
    """
    from millrace.cli.serve import serve_model

    serve_model(model, host, port, name, max_batch, max_queue, max_bytes, max_pixels, timeout, engine)


@command
def bench_serve(
    target: str,
    *,
    requests: Whole = 10_000,
    concurrency: Whole = 32,
    hostile: float = 0.0,
    seed: Whole = 0,
) -> None:
    """Put a server under load, and report latencies, throughput, lost and mixed-up answers.

    Parameters
    ----------
    target
        What to put under load: the address of a server, such as http://127.0.0.1:8000; or a model, which is then served
        by another process, with and without batching.
    requests
        How many requests to send.
    concurrency
        How many are under way at a time.
    hostile
        Which share of them is malformed, truncated, oversized or slow, from 0 to 1.
    seed
        Decides the examples and which requests are hostile.
    """
    from millrace.cli.bench_serve import bench

    bench(target, requests, concurrency, hostile, seed)


@command
def profile(model: str = "digits", *, batch_size: Whole | None = None, steps: Whole = 5) -> None:
    """Measure where the time of a training step goes, layer by layer, and name the largest gap.

    Parameters
    ----------
    model
        A network that `millrace train` knows, a run directory, or a saved model.
    batch_size
        Examples a step; each model has its own number.
    steps
        How many steps to measure.
    """
    from millrace.cli.profile import profile_network

    profile_network(model, batch_size, steps)


@command
def explain(
    name: str | None = None,
    image: Path | None = None,
    *more: Annotated[str, Parameter(show=False)],
    html: Path | None = None,
    lang: str = "en",
    kind: str | None = None,
    gradient: str | None = None,
    wrt: str | None = None,
    plan: Annotated[bool, Parameter(negative=())] = False,
    batch_size: Whole | None = None,
    mesh: str | None = None,
) -> None:
    """Explain a layer, function, operation, optimizer, loss or idea; or what a trained network sees in a picture.

    Without a name, list what can be explained.

    Parameters
    ----------
    name
        What to explain, such as Conv2D, softmax, adam or learning rate; or a run directory that `millrace train` made.
        With --plan: a network that `millrace train` knows, a run directory, or a saved model.
    image
        With a run directory: a picture file, to show what each layer makes of it and which of its pixels mattered.
    html
        A file to write the explanation to, as a page that opens in any browser. Folders on its way are made.
    lang
        en, or zh for Simplified Chinese.
    kind
        Which one, where a name has several: concept, layer, function, optimizer, loss or operation.
    gradient
        An expression such as "mean(tanh(w*x)**2)", to see it differentiated step by step.
    wrt
        With --gradient: by which of its names, separated by commas; by the first unless given.
    plan
        What was chosen to run a network's training step fast, and why: for the whole program, and for each layer.
    batch_size
        With --plan: examples a step; each model has its own number.
    mesh
        With --plan: devices, as in `millrace train --mesh`: then also what they send each other, and how many bytes.
    """
    from millrace.cli.explain import Question, explain

    explain(Question(name, image, more, html, lang, kind, gradient, wrt, plan, batch_size, mesh))


@command
def look(
    model: str,
    image: Path | None = None,
    *,
    port: Whole = 0,
    lang: str = "en",
    browser: bool = True,
) -> None:
    """Open a network as a page to touch: what each layer makes of a picture, with the numbers behind it.

    Parameters
    ----------
    model
        A network that `millrace train` knows, a run directory, or a saved model.
    image
        A picture file; one of the network's own data unless given.
    port
        Where the page is served on this machine, 127.0.0.1; any that is free unless given.
    lang
        en, or zh for Simplified Chinese.
    browser
        Whether to open the page in a browser.
    """
    from millrace.cli.look import look_at

    look_at(model, image, port, lang, browser)


@command
def experiment(
    name: str | None = None,
    *,
    full: Annotated[bool, Parameter(negative=())] = False,
    seeds: Whole | None = None,
    images: Whole | None = None,
    epochs: Whole | None = None,
    out: Path = Path("experiments"),
    run: Path | None = None,
) -> None:
    """Try a claim of the AlexNet paper, and write a table and a figure; without a name, list them.

    Parameters
    ----------
    name
        Which claim to try.
    full
        The form for a GPU or a night, in place of the one that ends within 10 minutes on two cores.
    seeds
        How often each network is trained, from another seed each time; each experiment has its own number.
    images
        How many images to train on, in place of the form's number.
    epochs
        How many passes over them, at most, in place of the form's number.
    out
        Where a directory with what it found is made.
    run
        For kernels and neighbours: a run of `millrace train alexnet` whose network they look at, such as one on
        ImageNet, in place of one that they train.
    """
    from millrace.cli.experiment import list_experiments, run_experiment

    if name is None:
        list_experiments()
    else:
        run_experiment(name, full, seeds, out, run, images, epochs)


app.command(  # its file is read when it is called
    "millrace.cli.data:app", name="data", help="Pack, show and measure what a network is to learn from."
)


@command
def doctor(*, verify: Annotated[bool, Parameter(negative=())] = False, lang: str = "en") -> None:
    """Say what is wrong with this installation and how to mend it, and what Millrace finds on this machine.

    The exit code is 1 where something is wrong, or --verify finds a difference.

    Parameters
    ----------
    verify
        Run every operation's samples through both engines, in every dtype, and report where they differ.
    lang
        en, or zh for Simplified Chinese.
    """
    from millrace.cli.doctor import examine

    if not examine(verify, lang):
        raise SystemExit(1)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command: exit code 2 for what the user can mend, 130 for Ctrl-C, no traceback."""
    global asked
    asked = tokens = list(sys.argv[1:] if arguments is None else arguments)
    try:
        app(tokens, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        fail(
            f"{mistyped(app, error)}\n  `millrace --help` lists the commands, `millrace COMMAND --help` its options.", 2
        )
    except LostProcessError as error:
        fail(str(error), LOST)
    except MillraceError as error:
        fail(str(error), 2)
    except KeyboardInterrupt as error:
        fail(str(error) or "stopped.", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has left: nothing to say
        leave(0)
    except Exception as error:
        if os.environ.get("MILLRACE_DEBUG"):
            raise
        from millrace.doctor.advice import advice, foreign

        if isinstance(error, ImportError) and foreign(error):
            fail(advice(error), 2)
        if isinstance(error, OSError) and error.filename is not None:
            fail(f"{error.filename}: {error.strerror}.", 2)
        fail(
            f"a fault of Millrace: {type(error).__name__}: {error}\n"
            "  MILLRACE_DEBUG=1 shows where; please report it with that.",
            1,
        )
