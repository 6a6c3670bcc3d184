"""What a dataset on disk holds and what is wrong with it, said before anything long runs on it."""

from data_prep.check.dataset import check
from data_prep.check.finding import Finding
from data_prep.check.report import Report

__all__ = ["Finding", "Report", "check"]
