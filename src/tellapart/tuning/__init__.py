"""Tuning: many trainings of one data set, each with another recipe, drawn by what the ones before have shown."""

from tellapart.tuning.results import Tuning
from tellapart.tuning.trying import resume, tune

__all__ = ["Tuning", "resume", "tune"]
