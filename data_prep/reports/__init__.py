"""Chest radiograph reports -> triplets (anatomy of the 51, pathology of the 75, state), offline and explainable.

`read_report` is the whole of it: sections, sentences, terms of `lexicon.toml`, scope, places. Every triplet carries the
characters it was read from. Reports are read in English: of others, what they deny may count as present, and
`data_prep.doubts` warns of them. Source of the labels' form: RadGraph as used by MeDSLIP (paper, section "Data").
"""

from data_prep.reports.reader import Mention, Triplet, read_mentions, read_report

__all__ = ["Mention", "Triplet", "read_mentions", "read_report"]
