"""Where tables of pictures come from: folders, tables of paths, pixels in files, arrays, shards, data sets."""

from tellapart.sources.columns import GUESSED, Columns
from tellapart.sources.folders import list_pictures
from tellapart.sources.reading import list_members, pictures_in, read

__all__ = ["GUESSED", "Columns", "list_members", "list_pictures", "pictures_in", "read"]
