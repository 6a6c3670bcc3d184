"""From what users have on disk to one prepared corpus. A new dataset is one new file with a `read`, named here."""

from collections.abc import Callable

from data_prep import covid, manifest, mimic, nih, openi, rsna, siim
from data_prep.study import Studies

READERS: dict[str, Callable[..., Studies]] = {
    "mimic": mimic.read,
    "nih": nih.read,
    "rsna": rsna.read,
    "siim": siim.read,
    "covid": covid.read,
    "openi": openi.read,
    "manifest": manifest.read,
}
