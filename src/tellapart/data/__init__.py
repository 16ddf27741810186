"""Many pictures: the table of them, where it is read from, how it is split."""

from tellapart.data.folders import list_pictures, read
from tellapart.data.splits import checked, fold_numbers, split
from tellapart.data.table import ImageTable, Skipped, table_of

__all__ = ["ImageTable", "Skipped", "checked", "fold_numbers", "list_pictures", "read", "split", "table_of"]
