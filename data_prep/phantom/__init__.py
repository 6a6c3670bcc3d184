"""A procedural phantom of the chest radiograph: patients, studies, exact truth."""

from data_prep.phantom.catalogue import CATALOGUE
from data_prep.phantom.finding import Finding
from data_prep.phantom.patient import PhantomPatient, draw_patient
from data_prep.phantom.population import POPULATIONS, Population
from data_prep.phantom.render import PhantomStudy, draw_study

__all__ = [
    "CATALOGUE", "POPULATIONS", "Finding", "PhantomPatient", "PhantomStudy", "Population", "draw_patient", "draw_study",
]  # fmt: skip
