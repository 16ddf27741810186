"""One picture: open it, fit it to a model, draw a sample of it."""

from tellapart.images.decoding import open_picture
from tellapart.images.fitting import Fit
from tellapart.images.glances import GLANCE
from tellapart.images.limits import PICTURE_SUFFIXES

__all__ = ["GLANCE", "PICTURE_SUFFIXES", "Fit", "open_picture"]
