"""Networks that are known by name, each a page, with the data and settings that train them."""

from millrace.ir.errors import one_of
from millrace.models.digits import DIGITS
from millrace.models.recipe import Recipe

RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in (DIGITS,)}


def recipe(name: str) -> Recipe:
    """A recipe by name.  Raises ArgumentError for an unknown one."""
    if name not in RECIPES:
        raise one_of("model", name, list(RECIPES))
    return RECIPES[name]


__all__ = ["RECIPES", "Recipe", "recipe"]
