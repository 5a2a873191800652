"""A training run on a folder of pictures, as a process that a test may kill: FOLDER RUN WORKERS EPOCHS."""

import sys
from pathlib import Path

import millrace as mr
from millrace.cli.train import position
from millrace.data.image_folder import ImageFolder
from millrace.layers import Conv2D, Dense, Dropout, Flatten, Input, RandomCrop, RandomFlip, Rescaling
from millrace.training.run import Run


def network():
    """Everything that is random in training: crops, reflections, dropout; and an optimizer that remembers."""
    mr.set_seed(0)
    model = mr.Sequential(
        [
            Input((12, 12, 3), dtype="uint8", name="image"),
            RandomCrop(10, 10, name="crop"),
            RandomFlip("horizontal", name="flip"),
            Rescaling(1 / 255, name="scale"),
            Conv2D(4, 3, activation="relu", name="conv"),
            Flatten(name="flatten"),
            Dropout(0.3, name="dropout"),
            Dense(3, "softmax", name="out"),
        ],
        name="pictures",
    )
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    return model


def main(folder, path, workers, epochs):
    run, model = Run(Path(path)), network()
    Path(path).mkdir(parents=True, exist_ok=True)
    with run.lock():
        epoch, step = position(run, model)
        if epoch < epochs:
            model.fit(
                ImageFolder(folder), batch_size=8, epochs=epochs, workers=workers, seed=3, verbose=0,
                callbacks=run.callbacks(save_every=2, best=None), initial_epoch=epoch, initial_step=step,
            )  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
