"""From pictures to a classifier: recipe, backbone, head, bundle."""

from tellapart.training.recipe import Recipe
from tellapart.training.trainer import Embedded, Fitted, embed_table, fit_classifier, refuse_channels

__all__ = ["Embedded", "Fitted", "Recipe", "embed_table", "fit_classifier", "refuse_channels"]
