"""How good a classifier is: metrics, the report about it, and the report as one HTML page."""

from tellapart.evaluation.report import Judged, Report

__all__ = ["Judged", "Report"]
