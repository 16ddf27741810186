"""Many pictures: the table of them, what people decided about them, how they are split."""

from tellapart.data.folds import fold_numbers, folds
from tellapart.data.groups import tie
from tellapart.data.journals import edited, journal_path, read_journal
from tellapart.data.leaks import find_split_leaks
from tellapart.data.splits import checked, split, split_like
from tellapart.data.table import ImageTable, Skipped, table_of

__all__ = [
    "ImageTable",
    "Skipped",
    "checked",
    "edited",
    "find_split_leaks",
    "fold_numbers",
    "folds",
    "journal_path",
    "read_journal",
    "split",
    "split_like",
    "table_of",
    "tie",
]
