"""How good a classifier is: metrics, the report about it, and the report as one HTML page."""

from tellapart.evaluation.judged import Judged
from tellapart.evaluation.labels_report import LabelsReport
from tellapart.evaluation.report import Report

__all__ = ["Judged", "LabelsReport", "Report"]
