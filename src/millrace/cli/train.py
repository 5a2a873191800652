"""`millrace train`: start a run, or go on with one."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from millrace.cli.bar import Bar
from millrace.cli.data import say
from millrace.data.datasets import Dataset
from millrace.engines.function import engine_named
from millrace.engines.processes import first_then_others, processes, said_by_first
from millrace.explain.report import write_report
from millrace.ir.errors import ArgumentError, FileError, LostProcessError, MillraceError, one_of
from millrace.ir.mesh import Mesh
from millrace.layers.arguments import number
from millrace.layers.base import set_seed
from millrace.models import Demonstration, Recipe, recipe
from millrace.training.callbacks import Advice, Progress, duration
from millrace.training.loop import ON_BROKEN, Interrupted
from millrace.training.model import Model
from millrace.training.run import FINISHED, Guest, Run


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
    data: Path | None = None
    variant: str | None = None
    width: float | None = None
    stats: Path | None = None
    mesh: str | None = None

    @property
    def any(self) -> bool:
        return any(value is not None for value in asdict(self).values())

    @property
    def fixed(self) -> bool:
        """Whether something is given that a run cannot change on its way."""
        held = (self.batch_size, self.learning_rate, self.seed, self.variant, self.width, self.stats)
        return any(value is not None for value in held)

    @property
    def of_recipe(self) -> dict[str, Any]:
        """What only some recipes take, as far as it is given; places are where they are from everywhere."""
        places = {"data": self.data, "stats": self.stats}
        found: dict[str, Any] = {name: str(path.expanduser().resolve()) for name, path in places.items() if path}
        return found | {n: v for n, v in (("variant", self.variant), ("width", self.width)) if v is not None}

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
        if self.mesh is not None:
            found["mesh"] = str(Mesh.of_text(self.mesh))
        if self.workers is not None and self.workers < 0:
            raise ArgumentError(f"--workers must be at least 0, got {self.workers}.")
        return found


def start_run(name: str, settings: Settings, out: Path) -> None:
    """A new run directory, trained from the first step."""
    rate, seed = settings.learning_rate, settings.seed or 0
    chosen = trained(name).configured(settings.of_recipe)
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
        **chosen.options,
        **settings.of_recipe,
    }
    data = first_then_others(lambda: chosen.data(seed))
    run = begun(out, name)
    with run.lock(), run.noted():
        run.write_config(config)
        print(f"Training {chosen.about}.")
        if chosen.seconds:
            print(f"On two cores it takes {chosen.seconds}.")
        else:
            print(f"{data.learners:,} {chosen.unit} to learn from, {data.held:,} held out.")
        print(f"Engine {config['engine']}, seed {seed}; run directory {run.path}\n")
        data = first_then_others(lambda: prepared(run, chosen, data))
        set_seed(seed)
        model = compiled(chosen, config, data)
        model.summary()
        write_beginning(run, model, data)
        fit(run, chosen, model, data, config, settings.workers, 0, 0)


def begun(out: Path, name: str) -> Run:
    """A new run directory; of several processes the first makes it, and the others take part in it."""
    if processes().count == 1:
        return Run.new(out, name)
    path = Path(said_by_first(str(Run.new(out, name).path) if processes().first else ""))
    return Run(path) if processes().first else Guest(path)


def prepared(run: Run, chosen: Recipe, data: Dataset) -> Dataset:
    """The data with what is to be known of them before the network is built; computed once, and kept in the run."""
    for source in (data.x_train, data.x_validation):
        for note in getattr(source, "notes", ()):
            say(f"Note: {source.name}: {note}")
    if chosen.prepare is None:
        return data
    with Bar(chosen.unit) as bar:
        try:
            return chosen.prepare(data, run.path, lambda done, total: bar.reach("measuring", done, total))
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"stopped after {bar.done:,} of {bar.total:,} {chosen.unit} were measured.\n"
                f"  Begin with them again: millrace train --resume {run.path}"
            ) from None


def write_beginning(run: Run, model: Model, data: Dataset) -> None:
    """Write what a run directory holds from its first step on."""
    run.write_words(data.classes, data.vocabulary)
    run.write_graph(model)


def resume_run(path: Path, name: str | None, settings: Settings) -> None:
    """Go on with a run where its last good checkpoint stands; from the first step where it has none yet."""
    run = Run.open(path) if processes().first else Guest(path)
    config = run.config()
    if name not in (None, config["model"]) or settings.fixed:
        raise ArgumentError(
            f"{path} goes on as it began ({config['model']}, seed {config['seed']}, batches of "
            f"{config['batch_size']}): with --resume only --epochs, --engine, --save-every, --keep, --on-broken, "
            "--workers, --mesh and, where it has moved, --data can be given."
        )
    config |= settings.lasting | settings.of_recipe
    before = run.state.name
    with run.lock():
        recipe = trained(config["model"])
        kept = {n: config[n] for n in recipe.options if n in config and n not in recipe.once}
        chosen = recipe.configured(settings.of_recipe | kept)
        opened = first_then_others(lambda: chosen.data(config["seed"]))
        data = first_then_others(lambda: prepared(run, chosen, opened))
        set_seed(config["seed"])
        model = compiled(chosen, config, data)
        epoch, step = first_then_others(lambda: position(run, model))
        over = epoch >= config["epochs"] or bool(model.progress.get("stopped"))
        if settings.epochs is not None and epoch < settings.epochs:
            over = model.progress["stopped"] = False  # asked to go on beyond where it had ended early
        if over and before == FINISHED:
            raise ArgumentError(f"{path} has finished its {epoch} epochs. Give --epochs {2 * epoch}, say, to go on.")
        with run.noted():
            run.write_config({k: v for k, v in config.items() if k != "versions"})
            write_beginning(run, model, data)
            if over:
                print(f"{path} has made its {epoch} epochs; the report follows.")
            else:
                print(f"Going on with {path} at epoch {epoch + 1}" + (f", step {step + 1}" if step else "") + ".\n")
            fit(run, chosen, model, data, config, settings.workers, epoch, step)


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


def compiled(chosen: Recipe, config: dict[str, Any], data: Dataset) -> Model:
    """The recipe's network, ready to train as the configuration says."""
    model = chosen.build(data)
    rate = config.get("learning_rate", chosen.learning_rate)
    model.compile(
        chosen.optimizer(rate), chosen.loss, list(chosen.metrics), engine=config["engine"], mesh=mesh_of(config)
    )
    return model


def mesh_of(config: dict[str, Any]) -> Mesh | None:
    """The devices of a run: those that were asked for, or those of all processes, which then share each batch."""
    mesh = None if config.get("mesh") is None else Mesh.of_text(config["mesh"])
    count = processes().count
    if count == 1:
        return mesh
    if config["engine"] != "xla" or (mesh is not None and mesh.size < count):
        what = f"the mesh {mesh}" if config["engine"] == "xla" else "the numpy engine"
        raise ArgumentError(f"{what} leaves {count} processes nothing to share: each would make the whole run.")
    if mesh is not None:
        return mesh
    from millrace.engines.devices import every_device

    return every_device()


def fit(
    run: Run, chosen: Recipe, model: Model, data: Dataset, config: dict[str, Any], workers: int | None, epoch: int,
    step: int,
) -> None:  # fmt: skip
    """Train to the end, then write the report."""
    started = time.perf_counter()
    recorders = run.callbacks(config.get("save_every"), config.get("keep", 3))
    try:
        model.fit(
            data.x_train, data.y_train, batch_size=config["batch_size"], epochs=config["epochs"],
            validation_data=data.validation, seed=config["seed"], workers=workers,
            on_broken=config.get("on_broken", ON_BROKEN[0]),
            callbacks=[*chosen.callbacks(), *recorders, Progress(chosen.unit), Advice()], verbose=0,
            initial_epoch=epoch, initial_step=step,
        )  # fmt: skip
    except Interrupted as stop:
        if stop.epoch >= config["epochs"]:
            print("\nCtrl-C came when training was over; the report follows.")
            return finish(run, model, data, chosen, config, started)
        raise KeyboardInterrupt(
            f"stopped after {stop.step} steps of epoch {stop.epoch + 1}; {saved_up_to(run, stop)}\n"
            f"  Go on with: millrace train --resume {run.path}"
        ) from None
    except Exception as error:
        if processes().count > 1 and type(error).__name__ == "JaxRuntimeError":
            said = (str(error).splitlines() or [""])[0]
            raise LostProcessError(f"another process of this run has ended, or cannot be reached ({said}).") from None
        raise
    finish(run, model, data, chosen, config, started)


def saved_up_to(run: Run, stop: Interrupted) -> str:
    """What a run that was stopped has kept."""
    kept = list(run.checkpoints.positions())
    if (stop.epoch, stop.step) in kept:
        return "everything is saved."
    if not kept:
        return "nothing was saved yet."
    epoch, step = kept[0]
    return f"saved is what it had learned after {step} steps of epoch {epoch + 1}."


def finish(
    run: Run, model: Model, data: Dataset, chosen: Recipe, config: dict[str, Any], started: float
) -> None:  # fmt: skip
    """Write the report of a run that is over, and say what came of it."""
    if processes().count > 1:
        alone(model, chosen, config)
        if not processes().first:
            return
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


def alone(model: Model, chosen: Recipe, config: dict[str, Any]) -> None:
    """Give every process the whole model, to use by itself: what follows is done by the first."""
    from millrace.engines.devices import bring_home

    bring_home(model.weights)
    rate, engine = chosen.learning_rate, config["engine"]
    model.compile(chosen.optimizer(rate), chosen.loss, list(chosen.metrics), engine=engine)
