"""An age as tables and DICOM headers write it."""


def parse_age(text: str) -> float | None:
    """Years from "058Y", "58", "018M" (months), "003W", "012D"; None for anything else or beyond 120 years."""
    text = text.strip().upper()
    per_year = {"Y": 1, "M": 12, "W": 52.18, "D": 365.25}.get(text[-1:], None)
    number, per_year = (text[:-1], per_year) if per_year else (text, 1)
    try:
        years = float(number) / per_year
    except ValueError:
        return None
    return round(years, 2) if 0 <= years <= 120 else None
