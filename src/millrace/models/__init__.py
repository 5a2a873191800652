"""Networks that are known by name, each a page, with the data and settings that train them."""

from typing import TYPE_CHECKING, Any

from millrace.ir.errors import one_of
from millrace.layers.keras_names import absent
from millrace.models.alexnets import alexnet
from millrace.models.char_rnn import CHAR_RNN
from millrace.models.cifar_quick import CIFAR_QUICK
from millrace.models.crop_testing import ten_crops
from millrace.models.digits import DIGITS
from millrace.models.fashion import FASHION
from millrace.models.hopfield import HOPFIELD
from millrace.models.imagenet import ALEXNET
from millrace.models.lenet import LENET
from millrace.models.memory_network import MEMORY_NETWORK
from millrace.models.mlp import MLP
from millrace.models.perceptron import PERCEPTRON
from millrace.models.recipe import Demonstration, Recipe
from millrace.models.resnet18 import RESNET18
from millrace.models.sentiment import SENTIMENT
from millrace.training.model import Model, Sequential, load_model

RECIPES: dict[str, Recipe | Demonstration] = {
    recipe.name: recipe
    for recipe in (
        DIGITS, PERCEPTRON, MLP, LENET, FASHION, CIFAR_QUICK, RESNET18, ALEXNET, CHAR_RNN, SENTIMENT, MEMORY_NETWORK,
        HOPFIELD,
    )
}  # fmt: skip


def recipe(name: str) -> Recipe | Demonstration:
    """A recipe or a demonstration by name.  Raises ArgumentError for an unknown one."""
    if name not in RECIPES:
        raise one_of("model", name, list(RECIPES))
    return RECIPES[name]


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        raise absent("models", name, __all__)


__all__ = ["RECIPES", "Demonstration", "Model", "Recipe", "Sequential", "alexnet", "load_model", "recipe", "ten_crops"]
