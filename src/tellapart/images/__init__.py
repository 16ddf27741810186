"""One picture: open it, fit it to a model, glance at it, draw a sample of it."""

from tellapart.images.decoding import PICTURE_SUFFIXES, open_picture
from tellapart.images.fitting import Fit
from tellapart.images.glances import GLANCE

__all__ = ["GLANCE", "PICTURE_SUFFIXES", "Fit", "open_picture"]
