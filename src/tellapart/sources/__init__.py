"""Where tables of pictures come from: folders, tables of paths, pixels in files, arrays, shards, data sets."""

from tellapart.sources.columns import GUESSED, Columns
from tellapart.sources.folders import list_pictures
from tellapart.sources.reading import list_folder, list_members, read

__all__ = ["GUESSED", "Columns", "list_folder", "list_members", "list_pictures", "read"]
