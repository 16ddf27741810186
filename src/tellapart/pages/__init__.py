"""What every HTML page is made of: templates, thumbnails, names from outside made fit to be shown."""

from tellapart.pages.templates import SHARED, page_environment
from tellapart.pages.texts import filename, shown
from tellapart.pages.thumbnails import DENSITY, Thumbnails, open_thumbnails

__all__ = ["DENSITY", "SHARED", "Thumbnails", "filename", "open_thumbnails", "page_environment", "shown"]
