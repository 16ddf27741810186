"""What is wrong with the pictures: finders over `Evidence`, and the report of what they found."""

from tellapart.checks.evidence import Evidence, Need
from tellapart.checks.findings import KIND_NAMES, Finding
from tellapart.checks.inspection import CHECKS, inspect, needed
from tellapart.checks.report import DataReport

__all__ = ["CHECKS", "KIND_NAMES", "DataReport", "Evidence", "Finding", "Need", "inspect", "needed"]
