"""`millrace train`: start a run, or go on with one."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from millrace.data.datasets import Dataset
from millrace.engines.function import engine_named
from millrace.explain.report import write_report
from millrace.ir.errors import ArgumentError, FileError, MillraceError
from millrace.layers.arguments import number
from millrace.layers.base import set_seed
from millrace.models import Demonstration, Recipe, recipe
from millrace.training.callbacks import Progress, duration
from millrace.training.loop import Interrupted
from millrace.training.model import Model
from millrace.training.run import FINISHED, Run


def start_run(
    name: str, epochs: int | None, batch_size: int | None, learning_rate: float | None, engine: str | None, seed: int,
    out: Path, save_every: int | None = None, keep: int | None = None,
) -> None:  # fmt: skip
    """A new run directory, trained from the first step."""
    chosen = trained(name)
    number(0.0 if learning_rate is None else learning_rate, "--learning-rate", 0)
    if not 0 <= seed < 2**32:
        raise ArgumentError(f"--seed must be a whole number from 0 to 2^32 - 1, got {seed}.")
    config = {
        "model": name,
        "engine": engine_named(engine).name,
        "seed": seed,
        "epochs": positive(chosen.epochs if epochs is None else epochs, "--epochs"),
        "batch_size": positive(chosen.batch_size if batch_size is None else batch_size, "--batch-size"),
        "learning_rate": chosen.learning_rate if learning_rate is None else learning_rate,
        **saving(save_every, keep),
    }
    data = chosen.data(seed)
    set_seed(seed)
    model = compiled(config, data)
    run = Run.new(out, name)
    with run.lock(), run.noted():
        run.write_config(config)
        print(f"Training {chosen.about}.\nOn two cores it takes {chosen.seconds}.")
        print(f"Engine {config['engine']}, seed {seed}; run directory {run.path}\n")
        model.summary()
        prepare(run, model, data)
        fit(run, model, data, config, 0, 0)


def saving(save_every: int | None, keep: int | None) -> dict[str, int]:
    """The settings of how checkpoints are kept, as far as they are given."""
    given = {"save_every": (save_every, "--save-every"), "keep": (keep, "--keep")}
    return {name: positive(value, option) for name, (value, option) in given.items() if value is not None}


def prepare(run: Run, model: Model, data: Dataset) -> None:
    """Write what a run directory holds from its first step on."""
    run.write_words(data.classes, data.vocabulary)
    run.write_graph(model)


def resume_run(
    path: Path, name: str | None, epochs: int | None, engine: str | None, save_every: int | None, keep: int | None,
    *fixed: Any,
) -> None:  # fmt: skip
    """Go on with a run where its last good checkpoint stands; from the first step where it has none yet."""
    run = Run.open(path)
    config = run.config()
    if name not in (None, config["model"]) or any(value is not None for value in fixed):
        raise ArgumentError(
            f"{path} goes on as it began ({config['model']}, seed {config['seed']}, batches of "
            f"{config['batch_size']}): with --resume only --epochs, --engine, --save-every and --keep can be given."
        )
    if epochs is not None:
        config["epochs"] = positive(epochs, "--epochs")
    if engine is not None:
        config["engine"] = engine_named(engine).name
    config |= saving(save_every, keep)
    before = run.state.name
    with run.lock():
        chosen = trained(config["model"])
        data = chosen.data(config["seed"])
        set_seed(config["seed"])
        model = compiled(config, data)
        epoch, step = position(run, model)
        over = epoch >= config["epochs"]
        if over and before == FINISHED:
            raise ArgumentError(
                f"{path} has finished its {config['epochs']} epochs. Give --epochs {2 * config['epochs']}, say, to go "
                "on."
            )
        with run.noted():
            run.write_config({k: v for k, v in config.items() if k != "versions"})
            prepare(run, model, data)
            if over:
                print(f"{path} has made its {config['epochs']} epochs; the report follows.")
                return finish(run, model, data, chosen, time.perf_counter())
            print(f"Going on with {path} at epoch {epoch + 1}" + (f", step {step + 1}" if step else "") + ".\n")
            fit(run, model, data, config, epoch, step)


def position(run: Run, model: Model) -> tuple[int, int]:
    """Give a model the state of the last good checkpoint; returns the epochs and steps that it stands for."""
    if not run.checkpoints.files:
        print(f"{run.path} has no checkpoint yet: it starts from the first step.")
        return 0, 0
    found = run.checkpoints.latest_good(model.load_weights, set_aside=True)
    for message in found.messages:
        print(message)
    epoch, step = found.content.get("epoch"), found.content.get("step")
    if not isinstance(epoch, int) or not isinstance(step, int):
        raise FileError(f"{found.path} does not say how far it got: it is no checkpoint of a run.")
    return epoch, step


def positive(value: int, option: str) -> int:
    if value < 1:
        raise ArgumentError(f"{option} must be at least 1, got {value}.")
    return value


def trained(name: str) -> Recipe:
    """A recipe by name.  Raises ArgumentError for what is not trained."""
    chosen = recipe(name)
    if isinstance(chosen, Demonstration):
        raise ArgumentError(f"{name} is not trained step by step: `millrace train {name}` without options shows it.")
    return chosen


def demonstrate(chosen: Demonstration, seed: int, out: Path) -> None:
    """A demonstration, what it wrote in a directory of its own."""
    print(f"{chosen.about[:1].upper()}{chosen.about[1:]}.\nOn two cores it takes {chosen.seconds}.\n")
    run = Run.new(out, chosen.name)
    try:
        print(chosen.run(seed, run.path))
    except MillraceError:
        run.path.rmdir()  # nothing was shown, so nothing stays
        raise


def compiled(config: dict[str, Any], data: Dataset) -> Model:
    """The recipe's network, ready to train as the configuration says."""
    chosen = trained(config["model"])
    model = chosen.build(data)
    rate = config.get("learning_rate", chosen.learning_rate)
    model.compile(chosen.optimizer(rate), chosen.loss, list(chosen.metrics), engine=config["engine"])
    return model


def fit(run: Run, model: Model, data: Dataset, config: dict[str, Any], epoch: int, step: int) -> None:
    """Train to the end, then write the report."""
    started = time.perf_counter()
    chosen = trained(config["model"])
    recorders = run.callbacks(config.get("save_every"), config.get("keep", 3))
    try:
        model.fit(
            data.x_train, data.y_train, batch_size=config["batch_size"], epochs=config["epochs"],
            validation_data=data.validation, seed=config["seed"], workers=config.get("workers"),
            callbacks=[*chosen.callbacks(), *recorders, Progress(chosen.unit)], verbose=0,
            initial_epoch=epoch, initial_step=step,
        )  # fmt: skip
    except Interrupted as stop:
        if stop.epoch >= config["epochs"]:
            print("\nCtrl-C came when training was over; the report follows.")
            return finish(run, model, data, chosen, started)
        raise KeyboardInterrupt(
            f"stopped after {stop.step} steps of epoch {stop.epoch + 1}; everything is saved.\n"
            f"  Go on with: millrace train --resume {run.path}"
        ) from None
    finish(run, model, data, chosen, started)


def finish(run: Run, model: Model, data: Dataset, chosen: Recipe, started: float) -> None:
    """Write the report of a run that is over, and say what came of it."""
    print(f"\nTrained in {duration(time.perf_counter() - started)}.")
    said = chosen.show(model, data) if chosen.show is not None else ""
    if said:
        print(f"{said}\n")
    write_report(run, model, data, said)
    held = model.evaluate(data.x_validation, data.y_validation, batch_size=256)
    if "accuracy" in held and all(answer.target.ndim == 1 for answer in model.training_steps.answers):
        print(f"Validation accuracy {held['accuracy']:.1%} on {data.held} held-out examples.")
    else:
        print(f"Validation loss {held['loss']:.4f} on {data.held} held-out {chosen.unit}.")
    print(f"Report: {run.report}")
    if chosen.example is not None:
        what = "'A SENTENCE'" if data.vocabulary else "IMAGE..."
        print(f"Try it: millrace predict {run.path} {what}")
