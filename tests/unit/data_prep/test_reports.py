"""Sentences, one rule each: what is stated, denied, left open or gone; where it lies and on which side."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.errors import DataError
from data_prep.reports import read_mentions, read_report
from data_prep.reports.findings import mention_labels
from data_prep.reports.lexicon import LEXICON_FILE, expand, load_lexicon
from data_prep.reports.page import report_html
from medslip_core.report_sections import split_sections
from medslip_core.vocabulary import (
    ABSENT,
    ANATOMY_INDEX,
    PATHOLOGY_INDEX,
    PRESENT,
    UNCERTAIN,
)

SIGNS = {"+": PRESENT, "-": ABSENT, "?": UNCERTAIN}


def stated(text: str) -> set[tuple[str, str, int]]:
    return {(triplet.anatomy, triplet.pathology, triplet.state) for triplet in read_report(text)}


def states(text: str) -> dict[str, int]:
    """Pathology -> its state; the last one when it comes several times."""
    return {triplet.pathology: triplet.state for triplet in read_report(text)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # negation and its end
        ("There is no pleural effusion or pneumothorax.", "-effusion -pneumothorax"),
        ("No edema, effusion, or consolidation.", "-edema -effusion -consolidation"),
        ("No pneumothorax, stable cardiomegaly.", "-pneumothorax +stable +cardiomegaly"),
        ("No effusion. Minimal atelectasis.", "-effusion +atelectasis"),
        ("No infiltrate, but there is atelectasis at the left base.", "-infiltrate +atelectasis"),
        ("No pneumothorax and the heart is enlarged.", "-pneumothorax +cardiomegaly"),
        ("There is no pneumothorax the lungs are hyperinflated.", "-pneumothorax +hyperinflate"),
        ("Lungs are clear of consolidation.", "-consolidation"),
        ("The lungs are clear without infiltrate.", "+clear -infiltrate"),
        ("Negative for fracture.", "-fracture"),
        ("An effusion is not seen.", "-effusion"),
        ("No focal opacity to suggest pneumonia.", "-opacity -pneumonia"),
        ("The heart is not enlarged.", "+normal"),
        ("Hilar engorgement appears within normal limits.", "-engorgement +normal"),
        ("Hilar engorgement bilaterally is unremarkable.", "-engorgement +unremarkable"),
        ("Engorgement and hila are within normal limits.", "+engorgement +normal"),
        ("The study is negative for pneumonia.", "-pneumonia"),
        ("It is unlikely that this represents pneumonia.", "-pneumonia"),
        ("The opacity is unlikely to represent pneumonia.", "+opacity -pneumonia"),
        ("Consolidation: absent.", "-consolidation"),
        ("Pleural effusion: no.", "-effusion"),
        ("A pneumothorax cannot be seen.", "-pneumothorax"),
        # no negations
        ("Non-displaced left rib fracture.", "+fracture"),
        ("The ETT has been withdrawn and now ends above the carina.", "+tube"),
        ("No change in the small effusion.", "+effusion"),
        ("Opacity in the left base, not seen on the prior study.", "+opacity"),
        ("Atelectasis has not changed.", "+atelectasis"),
        ("No relevant change in the moderate left effusion.", "+effusion"),
        ("There is not a significant change in the large left effusion.", "+effusion"),
        ("Persistent but not worsening right lower lobe pneumonia.", "+pneumonia"),
        # a negation and what goes on behind it
        ("No effusion is evident or pneumothorax.", "-effusion -pneumothorax"),
        ("No consolidation is present to suggest pneumonia.", "-consolidation -pneumonia"),
        ("No effusion, chronic consolidation or pneumothorax.", "-effusion -consolidation -pneumothorax"),
        # what a negation does not reach
        ("No effusion, persistent cardiomegaly.", "-effusion +cardiomegaly"),
        ("No pneumothorax, healed rib fractures.", "-pneumothorax +fracture"),
        ("No pneumothorax the lungs are hyperinflated.", "-pneumothorax +hyperinflate"),
        ("No pneumothorax, and the left effusion has decreased.", "-pneumothorax +effusion"),
        ("No consolidation and atelectasis has worsened.", "-consolidation +atelectasis"),
        ("No pneumothorax and left lower lobe atelectasis persists.", "-pneumothorax +atelectasis"),
        ("No consolidation, only streaky atelectasis.", "-consolidation +atelectasis"),
        ("No pneumothorax \u2014 small left effusion.", "-pneumothorax +effusion"),
        ("Removal of the tube and development of a pneumothorax.", "-tube +pneumothorax"),
        ("No abnormality beyond mild cardiomegaly.", "-abnormality +cardiomegaly"),
        ("No pneumothorax with right chest tube in place.", "-pneumothorax +tube"),
        ("No pneumothorax after placement of right IJ line.", "-pneumothorax +line"),
        ("There is no pneumothorax and a right IJ catheter terminates in the SVC.", "-pneumothorax +catheter"),
        ("There is no pneumothorax, and the left pleural effusion is unchanged.", "-pneumothorax +effusion +stable"),
        ("No pneumothorax, bilateral pleural effusions are small.", "-pneumothorax +effusion"),
        ("No consolidation, effusion, tubes or catheters.", "-consolidation -effusion -tube -catheter"),
        ("No chest tube, and no central line.", "-tube -line"),
        ("No effusion, pneumothorax is seen.", "-effusion -pneumothorax"),
        ("Small effusions and atelectasis, pneumonia is unlikely.", "+effusion +atelectasis -pneumonia"),
        # resolved and removed
        ("No pneumothorax following chest tube removal.", "-pneumothorax -tube"),
        ("Cardiomegaly with resolved pulmonary edema.", "+cardiomegaly -edema"),
        ("Resolved edema and effusion.", "-edema -effusion"),
        ("The right effusion has not resolved.", "+effusion"),
        ("Left lower lobe pneumonia has not yet cleared.", "+pneumonia"),
        ("Near complete resolution of the left pleural effusion.", "+effusion"),
        ("Pulmonary edema has nearly resolved.", "+edema"),
        ("Radiographs are recommended to document resolution of pneumonia.", "+pneumonia"),
        ("The right effusion has resolved.", "-effusion"),
        ("The effusion and small left pneumothorax have resolved.", "-effusion -pneumothorax"),
        ("Interval resolution of the pneumonia.", "-pneumonia"),
        ("The endotracheal tube has been removed.", "-tube"),
        ("Interval removal of the right PICC.", "-picc"),
        ("The effusion has improved.", "+effusion"),
        # hedges and their end
        ("Opacity may represent pneumonia.", "+opacity ?pneumonia"),
        ("Possible pneumonia. Cardiomegaly.", "?pneumonia +cardiomegaly"),
        ("Possible pneumonia, cardiomegaly.", "?pneumonia +cardiomegaly"),
        ("Pneumonia cannot be excluded.", "?pneumonia"),
        ("Atelectasis versus consolidation.", "?atelectasis ?consolidation"),
        ("Opacity, likely atelectasis.", "+opacity +atelectasis"),
        ("Consolidation consistent with pneumonia.", "+consolidation +pneumonia"),
        ("It would be difficult to exclude pneumonia.", "?pneumonia"),
        ("?pneumonia", "?pneumonia"),
        ("? RLL pneumonia", "?pneumonia"),
        ("Rule out pneumonia.", "?pneumonia"),
        ("A skin fold mimics pneumothorax.", "?pneumothorax"),
        ("An effusion is doubtful.", "?effusion"),
        ("Pneumothorax not assessed.", "?pneumothorax"),
        ("No prior pneumothorax.", "-pneumothorax"),
        ("Patchy opacity, atelectasis versus pneumonia.", "+opacity ?atelectasis ?pneumonia"),
        ("Left effusion with atelectasis, consolidation cannot be excluded.", "+effusion +atelectasis ?consolidation"),
        ("Effusion and consolidation cannot be excluded.", "?effusion ?consolidation"),
        ("Effusion and left basilar consolidation cannot be excluded.", "?effusion ?consolidation"),
        ("Opacity most likely represents atelectasis, pneumonia less likely.", "+opacity +atelectasis ?pneumonia"),
        ("Superimposed pneumonia would have to be considered.", "?pneumonia"),
        ("Pleural effusions, if any, are minimal.", "?effusion"),
        # traps
        ("Changes of cystic fibrosis.", "+disease"),
        ("Small pericardial effusion.", "+fluid"),
        ("Subcutaneous emphysema in the neck.", "+air"),
        ("Increased retrosternal airspace.", ""),
        # qualities make a finding of a place
        ("Lung volumes are low.", "+low"),
        ("Large heart.", "+cardiomegaly"),
        ("Large lung volumes.", "+hyperinflate"),
        ("A large effusion.", "+effusion"),
        ("Heart size mildly enlarged.", "+cardiomegaly"),
    ],
)
def test_states(text, expected):
    assert states(text) == {word[1:]: SIGNS[word[0]] for word in expected.split()}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Left basilar atelectasis.", "left_lower_lung"),
        ("Bibasilar atelectasis.", "left_lower_lung right_lower_lung"),
        ("Atelectasis at the lung bases.", "left_lower_lung right_lower_lung"),
        ("Left perihilar and bibasilar atelectasis.", "left_hilar left_lower_lung right_lower_lung"),
        ("Atelectasis in the lingula and right middle lobe.", "left_mid_lung middle_right_lobe"),
        ("Atelectasis in the right middle and lower lobes.", "middle_right_lobe lower_right_lobe"),
        ("Atelectasis in the right upper and left lower lobes.", "upper_right_lobe lower_left_lobe"),
        ("Right and left lower lobe atelectasis.", "lower_left_lobe lower_right_lobe"),
        ("Right greater than left basilar atelectasis.", "left_lower_lung right_lower_lung"),
        ("Atelectasis, right greater than left.", "left_lung_unspec right_lung_unspec"),
        ("In the left lower lobe there is atelectasis.", "lower_left_lobe"),
        ("Atelectasis in the upper lobe of the right lung.", "upper_right_lobe right_lung_unspec"),
        ("Left lung demonstrates atelectasis in the upper lobe.", "left_lung_unspec upper_left_lobe"),
        ("The right apex shows atelectasis.", "right_apical_lung"),
        ("Small left pleural effusion with atelectasis.", "left_lung_unspec"),
        ("Opacity in the left upper lobe may be a scar. These represent atelectasis.", "unspecified upper_left_lobe"),
        ("Atelectasis is seen on both PA and lateral views.", "unspecified"),
        ("Atelectasis on the left lateral view.", "unspecified"),
        ("Atelectasis in the left base adjacent to the right heart border.", "left_lower_lung"),
        ("Right upper, mid, and lower lung atelectasis.", "right_upper_lung right_mid_lung right_lower_lung"),
        ("The atelectasis is right basilar without effusion.", "right_lower_lung"),
        ("The atelectasis is right basilar with clear left lung.", "right_lower_lung"),
        ("The effusion is right basilar without atelectasis.", "unspecified"),
        # a place shared in a list: with the nearer neighbour, and rather not with what is stable
        ("Atelectasis and right consolidation and left opacity.", "right_lung_unspec"),
        ("Stable left base, atelectasis and right upper lobe opacity.", "upper_right_lobe"),
        ("Atelectasis.", "unspecified"),
    ],
)
def test_places(text, expected):
    names = {triplet.anatomy for triplet in read_report(text) if triplet.pathology == "atelectasis"}
    assert names - {"unspecified"} == set(expected.split()) - {"unspecified"}
    assert names


def test_a_finding_keeps_to_the_places_it_can_lie_in():
    assert ("right_pleural", "effusion", PRESENT) in stated("Right lower lobe effusion.") | stated("Right effusion.")
    assert stated("Opacity in the left base, right effusion and edema.") == {
        ("left_lower_lung", "opacity", PRESENT),
        ("right_pleural", "effusion", PRESENT),
        ("pulmonary", "edema", PRESENT),
    }
    assert stated("Cardiomegaly with opacity in the left base.") == {
        ("heart_size", "cardiomegaly", PRESENT),
        ("left_lower_lung", "opacity", PRESENT),
    }
    assert stated("Pleural effusions.") == {(f"{side}_pleural", "effusion", PRESENT) for side in ("left", "right")}
    assert stated("No pleural effusions.") == {("pleural_unspec", "effusion", ABSENT)}


def test_spans_are_those_of_the_words():
    text = "FINDINGS:\r\n\r\nİ Ünusual. Small LEFT Pleural Effusion.\r\nHeart is enlarged."
    spans = {(triplet.pathology, text[triplet.start : triplet.end]) for triplet in read_report(text)}
    assert spans == {("effusion", "Pleural Effusion"), ("cardiomegaly", "enlarged")}


def test_a_mention_tells_what_decided_its_state():
    text = "There is no evidence of pneumonia."
    (mention,) = read_mentions(text)
    assert text[slice(*mention.cue)] == "no"


def test_only_findings_and_impression_are_read():
    text = (
        "EXAMINATION: CHEST\n\nINDICATION: cough, evaluate for pneumonia\n\nCOMPARISON: none\n\n"
        "FINDINGS: Small effusion.\n\nIMPRESSION:\n1. Cardiomegaly.\n2.No edema.\n\nRECOMMENDATION: CT of the mass."
    )
    assert states(text) == {"effusion": PRESENT, "cardiomegaly": PRESENT, "edema": ABSENT}
    assert [section.kind for section in split_sections(text)] == [
        "technique", "indication", "comparison", "findings", "impression", "other",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "heading",
    ["TYPE OF EXAMINATION", "RECOMMENDATION(S)", "REFERENCE EXAM", "COMPARISON FILM", "PRIOR STUDIES",
     "PATIENT HISTORY", "INDICATION FOR STUDY", "REASON FOR THIS EXAMINATION", "REASON", "PAST MEDICAL HISTORY",
     "SIGNS AND SYMPTOMS", "UNDERLYING MEDICAL CONDITION", "ADMITTING DIAGNOSIS", "CLINICAL STATEMENT"],
)  # fmt: skip
def test_what_is_asked_or_compared_with_is_not_read(heading):
    text = f" {heading}:  Left pneumothorax, right lung mass.\n \n FINDINGS:  Small effusion.\n"
    assert states(text) == {"effusion": PRESENT}


@pytest.mark.parametrize(
    "text",
    [
        "EXAMINATION: CHEST (PA AND LAT) INDICATION: pneumonia // edema? COMPARISON: None FINDINGS: Small effusion",
        "COMPARISON: edema\nCHEST, TWO VIEWS: Small effusion.",
        "Comparison: None. PA and lateral views of the chest: There is a small effusion.",
        "INDICATION: pneumonia\nFRONTAL CHEST RADIOGRAPH: Small effusion.",
        "INDICATION - pneumonia\nFINDINGS - Small effusion.",
        "Indication – pneumonia. Findings – Small effusion.",
        "HISTORY- pneumonia -- edema? FINDINGS- Small effusion",
    ],
)
def test_headings_inside_a_line_and_those_that_name_the_view(text):
    assert states(text) == {"effusion": PRESENT}


def test_a_dash_inside_a_sentence_heads_nothing():
    text = "Follow-up chest X-ray - no edema, no history - known effusion."
    assert [section.kind for section in split_sections(text)] == ["body"]


def test_text_under_no_heading_is_read():
    assert states("Small effusion.") == {"effusion": PRESENT}
    assert states("INDICATION: pneumonia\n\nSmall effusion.\n\nIMPRESSION: Edema.") == {
        "effusion": PRESENT,
        "edema": PRESENT,
    }


def test_headings_without_colon_and_upper_case():
    assert states("INDICATION\nPNEUMONIA\nFINDINGS\nSMALL EFFUSION\n\nIMPRESSION\nEDEMA") == {
        "effusion": PRESENT,
        "edema": PRESENT,
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("No effusion\nCardiomegaly", "-effusion +cardiomegaly"),
        ("No effusion\n- Cardiomegaly", "-effusion +cardiomegaly"),
        ("1) No effusion 2) Cardiomegaly", "-effusion +cardiomegaly"),
        ("There is no evidence in this portable radiograph of the chest of an acute\nEffusion.", "-effusion"),
        ("Atelectasis vs. pneumonia.", "?atelectasis ?pneumonia"),
        ("Effusion: None. Lines and tubes: none.", "-effusion -line"),
    ],
)
def test_sentences(text, expected):
    assert states(text) == {word[1:]: SIGNS[word[0]] for word in expected.split()}


def test_other_parts_of_the_body_are_not_read():
    text = "Chest. No pneumothorax. Right knee. Fracture of the patella. Chest: Small effusion. Left hip: Fracture."
    assert states(text) == {"pneumothorax": ABSENT, "effusion": PRESENT}


def test_labels_say_only_what_is_affirmed():
    normal = mention_labels(read_mentions("No effusion. Lungs are clear. Heart size is normal."))
    assert normal["findings"] == ["Normal"]
    text = "Left basilar opacity may be pneumonia. Calcified granuloma in the right upper lobe."
    found = mention_labels(read_mentions(text))
    assert found["findings"] == ["Calcification", "Granuloma", "Lung_Opacity"]
    assert found["pairs"] == [["Calcification", "right"], ["Granuloma", "right"], ["Lung_Opacity", "left"]]
    assert ["Lung_Opacity", "left_lower_lung"] in found["locs"]


def test_term_patterns():
    assert sorted(expand("(a|b )c?")) == ["a", "ac", "b ", "b c"]
    assert sorted(expand("[xy]z")) == ["xz", "yz"]
    with pytest.raises(ValueError, match="not closed"):
        expand("(a")


LEXICON = LEXICON_FILE.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "text, said",
    [
        (
            LEXICON + '\n[findings.twin]\npathology = "mass"\nterms = ["cardiomegaly"]\n',
            "'cardiomegaly' is a term of .findings.[a-z_]+. already. Take it out there",
        ),
        (LEXICON + '\n[findings.twin]\npathology = "nonsense"\nterms = ["zzz"]\n', "findings.twin: no .*nonsense"),
        (LEXICON + '\n[findings.twin]\npathology = "mass"\n', "no 'terms', or an entry without it"),
        (LEXICON + '\n[findings.twin]\nterms = ["a [b c"]\n', "'a \\[b c': a bracket is not closed"),
        (LEXICON + "\n[findings.twin\n", "not TOML: .*line"),
        (
            LEXICON.replace('unread = ["pressure", ', "unread = ["),
            r'no \[findings.…\] has pathology = "pressure".* or list',
        ),
    ],
    ids=["two meanings", "no pathology", "no terms", "bracket", "no TOML", "a word of the vocabulary not read"],
)
def test_a_broken_lexicon_is_refused(text, said, tmp_path):
    broken = tmp_path / "lexicon.toml"
    broken.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=f"{said}.*(Correct the lexicon; |; )no report can be read before"):
        load_lexicon(broken)


_WORDS = st.sampled_from(
    "no without left right bilateral and or , . : ; / ( ) - ? \n \r\n XXXX ___ 1. FINDINGS: IMPRESSION upper lower "
    "lobe lung base opacity effusion edema heart is enlarged low volumes may represent cannot be excluded versus there "
    "but greater than resolved normal clear calcified thickening pleural in of with not seen this".split(" ")
)


@settings(max_examples=60, deadline=None)
@given(st.one_of(st.text(max_size=300), st.lists(_WORDS, max_size=60).map(" ".join)))
def test_any_text_is_read_within_its_bounds(text):
    for triplet in read_report(text):
        assert triplet.anatomy in ANATOMY_INDEX
        assert triplet.pathology in PATHOLOGY_INDEX
        assert triplet.state in (PRESENT, ABSENT, UNCERTAIN)
        assert 0 <= triplet.start < triplet.end <= len(text)
    assert read_report(text) == read_report(text)


@pytest.mark.parametrize("text", ["", " ", "\x00", "\ud800", "." * 1000, "XXXX " * 1000, "-" * 1000, "\n" * 1000])
def test_odd_texts_hold_nothing(text):
    assert read_report(text) == []


@settings(max_examples=30, deadline=None)
@given(st.lists(_WORDS, max_size=40).map(" ".join))
def test_upper_case_and_line_ends_change_nothing(text):
    text = text.replace("\r", "")
    one_line = text.replace("\n", " ")  # a capital letter may begin a statement on a new line
    assert stated(one_line.upper()) == stated(one_line.lower())
    assert stated(text.replace("\n", "\r\n")) == stated(text)


def test_page_marks_states_and_escapes():
    text = "No effusion <left> & small right nodule."
    page = report_html(text, read_mentions(text))
    assert "&lt;left&gt; &amp; small right" in page
    assert 'aria-label="absent">effusion<sup>−</sup>' in page
    assert 'aria-label="present">nodule<sup>+</sup>' in page and "right lung unspec" in page
    assert "<u>No</u>" in page


def test_page_shows_what_words_mean_where_they_are_not_the_vocabularys():
    text = "Changes of cystic fibrosis. Nodules are noted. The heart is enlarged."
    page = report_html(text, read_mentions(text))
    assert "cystic fibrosis<small> → disease</small><sup>+</sup>" in page
    assert "Nodules<sup>+</sup>" in page and "enlarged<small> → cardiomegaly</small><sup>+</sup>" in page
