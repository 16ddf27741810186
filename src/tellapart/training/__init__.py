"""From pictures to a classifier: recipe, backbone, head, bundle."""

from tellapart.training.recipe import Recipe
from tellapart.training.trainer import Training, embed_table, fit_classifier

__all__ = ["Recipe", "Training", "embed_table", "fit_classifier"]
