"""Runs: trainings from pictures to a report, each kept in a folder that is whole or marked unfinished."""

from tellapart.runs.run import Run
from tellapart.runs.training import resume, train

__all__ = ["Run", "resume", "train"]
