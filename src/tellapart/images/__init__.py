"""One picture: open it, fit it to a model, draw a sample of it."""

from tellapart.images.decoding import PICTURE_SUFFIXES, open_picture
from tellapart.images.fitting import Fit

__all__ = ["PICTURE_SUFFIXES", "Fit", "open_picture"]
