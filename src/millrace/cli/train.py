"""`millrace train`: start a run, or go on with one."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from millrace.data.datasets import Dataset
from millrace.engines.function import engine_named
from millrace.explain.report import write_report
from millrace.ir.errors import ArgumentError, FileError, MillraceError, one_of
from millrace.layers.arguments import number
from millrace.layers.base import set_seed
from millrace.models import Demonstration, Recipe, recipe
from millrace.training.callbacks import Progress, duration
from millrace.training.loop import ON_BROKEN, Interrupted
from millrace.training.model import Model
from millrace.training.run import FINISHED, Run


@dataclass(frozen=True)
class Settings:
    """What `millrace train` was told; None where it was not."""

    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    engine: str | None = None
    seed: int | None = None
    save_every: int | None = None
    keep: int | None = None
    on_broken: str | None = None
    workers: int | None = None

    @property
    def any(self) -> bool:
        return any(value is not None for value in asdict(self).values())

    @property
    def fixed(self) -> bool:
        """Whether something is given that a run cannot change on its way."""
        return any(value is not None for value in (self.batch_size, self.learning_rate, self.seed))

    @property
    def lasting(self) -> dict[str, Any]:
        """What may change when a run goes on, as far as it is given, and stays so.

        Raises ArgumentError for a value out of range.
        """
        found: dict[str, Any] = {}
        for name in ("epochs", "save_every", "keep"):
            value = getattr(self, name)
            if value is not None:
                found[name] = positive(value, f"--{name.replace('_', '-')}")
        if self.engine is not None:
            found["engine"] = engine_named(self.engine).name
        if self.on_broken is not None:
            if self.on_broken not in ON_BROKEN:
                raise one_of("--on-broken", self.on_broken, ON_BROKEN)
            found["on_broken"] = self.on_broken
        if self.workers is not None and self.workers < 0:
            raise ArgumentError(f"--workers must be at least 0, got {self.workers}.")
        return found


def start_run(name: str, settings: Settings, out: Path) -> None:
    """A new run directory, trained from the first step."""
    chosen, rate, seed = trained(name), settings.learning_rate, settings.seed or 0
    number(0.0 if rate is None else rate, "--learning-rate", 0)
    if not 0 <= seed < 2**32:
        raise ArgumentError(f"--seed must be a whole number from 0 to 2^32 - 1, got {seed}.")
    batch = chosen.batch_size if settings.batch_size is None else settings.batch_size
    config = {
        "model": name,
        "engine": engine_named(settings.engine).name,
        "seed": seed,
        "epochs": chosen.epochs,
        "batch_size": positive(batch, "--batch-size"),
        "learning_rate": chosen.learning_rate if rate is None else rate,
        **settings.lasting,
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
        fit(run, model, data, config, settings.workers, 0, 0)


def prepare(run: Run, model: Model, data: Dataset) -> None:
    """Write what a run directory holds from its first step on."""
    run.write_words(data.classes, data.vocabulary)
    run.write_graph(model)


def resume_run(path: Path, name: str | None, settings: Settings) -> None:
    """Go on with a run where its last good checkpoint stands; from the first step where it has none yet."""
    run = Run.open(path)
    config = run.config()
    if name not in (None, config["model"]) or settings.fixed:
        raise ArgumentError(
            f"{path} goes on as it began ({config['model']}, seed {config['seed']}, batches of "
            f"{config['batch_size']}): with --resume only --epochs, --engine, --save-every, --keep, --on-broken and "
            "--workers can be given."
        )
    config |= settings.lasting
    before = run.state.name
    with run.lock():
        chosen = trained(config["model"])
        data = chosen.data(config["seed"])
        set_seed(config["seed"])
        model = compiled(config, data)
        epoch, step = position(run, model)
        over = epoch >= config["epochs"] or bool(model.progress.get("stopped"))
        if settings.epochs is not None and epoch < settings.epochs:
            over = model.progress["stopped"] = False  # asked to go on beyond where it had ended early
        if over and before == FINISHED:
            raise ArgumentError(f"{path} has finished its {epoch} epochs. Give --epochs {2 * epoch}, say, to go on.")
        with run.noted():
            run.write_config({k: v for k, v in config.items() if k != "versions"})
            prepare(run, model, data)
            if over:
                print(f"{path} has made its {epoch} epochs; the report follows.")
            else:
                print(f"Going on with {path} at epoch {epoch + 1}" + (f", step {step + 1}" if step else "") + ".\n")
            fit(run, model, data, config, settings.workers, epoch, step)


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


def fit(
    run: Run, model: Model, data: Dataset, config: dict[str, Any], workers: int | None, epoch: int, step: int
) -> None:  # fmt: skip
    """Train to the end, then write the report."""
    started = time.perf_counter()
    chosen = trained(config["model"])
    recorders = run.callbacks(config.get("save_every"), config.get("keep", 3))
    try:
        model.fit(
            data.x_train, data.y_train, batch_size=config["batch_size"], epochs=config["epochs"],
            validation_data=data.validation, seed=config["seed"], workers=workers,
            on_broken=config.get("on_broken", ON_BROKEN[0]),
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
