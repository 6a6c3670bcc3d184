"""The sentences of the phantom's reports, in the markup of `phrases.py`.

Written for this project in the common manner of chest radiograph reports; none is taken from a real one.
"""

from dataclasses import dataclass

_LUNGS = "left_lung_unspec+right_lung_unspec"


@dataclass(frozen=True)
class Wording:
    """How one kind of finding is written: plainly, with doubt, and in short for the impression."""

    organ: str  # part of the FINDINGS section: "devices", "lungs", "pleura", "heart", "mediastinum", "bones", "abdomen"
    plain: tuple[str, ...]
    hedged: tuple[str, ...] = ()
    short: tuple[str, ...] = ()


FINDINGS: dict[str, Wording] = {
    "effusion": Wording(
        "pleura",
        plain=(
            "There is a {size} {at} [effusion].",
            "{Size} {at} [effusion] is present.",
            "A {size} {at} [effusion] is noted.",
            "A {size} {at} [effusion] is again seen.",
            "{Size} {side} [effusion].",
            "A {size} {at} [effusion] is present. There is [blunting|blunt@{angles}] of the {side} costophrenic angle.",
        ),
        hedged=("Possible {size} {at} [effusion|?effusion].", "A {size} {at} [effusion|?effusion] cannot be excluded."),
        short=("{Size} {at} [effusion].", "{Size} {side} [effusion]."),
    ),
    "pneumothorax": Wording(
        "pleura",
        plain=(
            "There is a {size} {side} [pneumothorax].",
            "A {size} {side} [pneumothorax] is present.",
            "{Size} {side} [pneumothorax] is seen.",
            "A {size} {side} [pneumothorax] is again noted.",
        ),
        hedged=("Possible {size} {side} [pneumothorax|?pneumothorax].",),
        short=("{Size} {side} [pneumothorax].",),
    ),
    "thickening": Wording(
        "pleura",
        plain=(
            "There is {degree} {at} [thickening|thicken].",
            "{Degree} {at} [thickening|thicken] is present.",
            "{Degree} {at} [thickening|thicken] is again noted.",
        ),
        hedged=("Possible {at} [thickening|?thicken].",),
        short=("{Degree} {at} [thickening|thicken].",),
    ),
    "pneumonia": Wording(
        "lungs",
        plain=(
            "{At} changes are consistent with [pneumonia].",
            "There is {at} [pneumonia].",
            "{Degree} {at} [opacity] is consistent with [pneumonia].",
            "There is a focal [opacity] in the {in} compatible with [pneumonia].",
            "There is airspace [opacity] in the {in}, most consistent with [pneumonia].",
        ),
        hedged=(
            "{Degree} {at} [opacity] may represent [pneumonia|?pneumonia].",
            "There is a [opacity] in the {in}, possibly [pneumonia|?pneumonia].",
        ),
        short=("{At} [pneumonia].", "{At} [opacity] compatible with [pneumonia]."),
    ),
    "consolidation": Wording(
        "lungs",
        plain=(
            "There is [consolidation] in the {in}.",
            "{Degree} {at} [consolidation] is seen.",
            "There is {degree} {at} [consolidation].",
            "There is a focal [consolidation] in the {in}.",
            "Confluent [consolidation] is seen in the {in}.",
        ),
        hedged=("Possible {at} [consolidation|?consolidation].",),
        short=("{At} [consolidation].",),
    ),
    "infiltrate": Wording(
        "lungs",
        plain=(
            "There is a {degree} {at} [infiltrate].",
            "There is an [infiltrate] in the {in}.",
            "{Degree} patchy {at} [infiltrates|infiltrate] are seen.",
            "Ill-defined [infiltrates|infiltrate] are present in the {in}.",
        ),
        hedged=("Possible {at} [infiltrate|?infiltrate].",),
        short=("{At} [infiltrate].",),
    ),
    "haze": Wording(
        "lungs",
        plain=(
            "There is a {degree} {at} [opacity].",
            "There is an ill-defined [opacity] in the {in}.",
            "{Degree} {at} [opacity] is noted.",
            "Hazy [opacity] is seen in the {in}.",
        ),
        hedged=("Questionable {at} [opacity|?opacity].",),
        short=("{At} [opacity].",),
    ),
    "plate atelectasis": Wording(
        "lungs",
        plain=(
            "There is {degree} {at} [atelectasis].",
            "{Degree} [atelectasis] is seen in the {in}.",
            "Linear [atelectasis] is present in the {in}.",
            "{Degree} {at} [atelectasis] is again noted.",
            "Platelike [atelectasis] is noted in the {in}.",
        ),
        hedged=("Possible {at} [atelectasis|?atelectasis].",),
        short=("{Degree} {at} [atelectasis].",),
    ),
    "edema": Wording(
        "lungs",
        plain=(
            "There is {degree} pulmonary [edema|edema@pulmonary].",
            "{Degree} pulmonary [edema|edema@pulmonary] is present.",
            "There is evidence of {degree} pulmonary [edema|edema@pulmonary].",
            "{Degree} pulmonary [edema|edema@pulmonary] has increased compared to the prior study.",
            "There is {degree} interstitial [edema|edema@interstitium].",
            "{Degree} pulmonary [edema|edema@pulmonary] is present. There are increased interstitial "
            "[markings|marking@interstitium].",
        ),
        hedged=("Possible {degree} pulmonary [edema|?edema@pulmonary].",),
        short=("{Degree} pulmonary [edema|edema@pulmonary].",),
    ),
    "nodule": Wording(
        "lungs",
        plain=(
            "There is a {mm} mm [nodule] in the {in}.",
            "A [nodule] measuring {mm} mm is seen in the {in}.",
            "There is a {at} [nodule].",
            "A {mm} mm [nodule] projects over the {in}.",
        ),
        hedged=("Possible [nodule|?nodule] in the {in}.", "A {at} [nodule|?nodule] is suspected."),
        short=("{At} [nodule].",),
    ),
    "mass": Wording(
        "lungs",
        plain=(
            "There is a {mm} mm [mass] in the {in}.",
            "A {at} [mass] is present.",
            "A rounded [mass] is seen in the {in}.",
        ),
        hedged=("Possible [mass|?mass] in the {in}.",),
        short=("{At} [mass].",),
    ),
    "granuloma": Wording(
        "lungs",
        plain=(
            "There is a [calcification] in the {in}.",
            "A small {at} [calcification] is again seen.",
        ),
    ),
    "scar": Wording(
        "lungs",
        plain=(
            "There is {degree} [scarring|scar] in the {in}.",
            "[Scarring|scar] in the {in} is again noted.",
        ),
        short=("[Scarring|scar] in the {in}.",),
    ),
    "emphysema": Wording(
        "lungs",
        plain=(
            f"There is {{degree}} [emphysema|emphysema@{_LUNGS}].",
            f"[Emphysema|emphysema@{_LUNGS}] is again seen.",
            f"The lungs are [hyperinflated|hyperinflate@{_LUNGS}], consistent with [emphysema|emphysema@{_LUNGS}].",
            f"{{Degree}} [emphysematous changes|emphysema@{_LUNGS}] are present.",
        ),
        hedged=(f"Possible [emphysema|?emphysema@{_LUNGS}].",),
        short=(f"[Emphysema|emphysema@{_LUNGS}].",),
    ),
    "fibrosis": Wording(
        "lungs",
        plain=(
            "There is {degree} [fibrosis|tail_abnorm_obs] in the {in}.",
            "{At} [fibrosis|tail_abnorm_obs] is present.",
            "There are {degree} [fibrotic changes|tail_abnorm_obs] in the {in}.",
            "There is {degree} interstitial [fibrosis|tail_abnorm_obs@interstitium].",
            "There are increased interstitial [markings|marking@interstitium]. "
            "There is {at} [fibrosis|tail_abnorm_obs].",
        ),
        hedged=("Possible {at} [fibrosis|?tail_abnorm_obs].",),
        short=("{At} [fibrosis|tail_abnorm_obs].",),
    ),
    "low volumes": Wording(
        "lungs",
        plain=(
            "Lung volumes are [low|low@lung_volumes].",
            "There are [low lung volumes|low@lung_volumes].",
            "[Low lung volumes|low@lung_volumes] are again seen.",
        ),
    ),
    "cardiomegaly": Wording(
        "heart",
        plain=(
            "There is {degree} [cardiomegaly|cardiomegaly@heart_size].",
            "{Degree} [cardiomegaly|cardiomegaly@heart_size] is present.",
            "The [heart is enlarged|cardiomegaly@heart_size].",
            "The [cardiac silhouette is enlarged|cardiomegaly@heart_size].",
            "{Degree} [cardiomegaly|cardiomegaly@heart_size] is again seen.",
        ),
        hedged=("Possible {degree} [cardiomegaly|?cardiomegaly@heart_size].",),
        short=("{Degree} [cardiomegaly|cardiomegaly@heart_size].",),
    ),
    "tortuous aorta": Wording(
        "mediastinum",
        plain=(
            "The aorta is [tortuous|tortuous@aorta].",
            "There is a [tortuous|tortuous@aorta] thoracic aorta.",
            "The aorta is [dilated|dilation@aorta] and [tortuous|tortuous@aorta].",
        ),
    ),
    "aortic calcification": Wording(
        "mediastinum",
        plain=(
            "There is {degree} [calcification] of the aorta.",
            "Aortic [calcifications|calcification] are noted.",
            "The aortic arch is [calcified|calcification].",
        ),
    ),
    "hilar enlargement": Wording(
        "mediastinum",
        plain=(
            "There is {degree} {side} hilar [enlargement|enlarge].",
            "There is {degree} {side} hilar [prominence].",
            "{Degree} {side} hilar [enlargement|enlarge] is again seen.",
        ),
        hedged=("Possible {side} hilar [enlargement|?enlarge].",),
        short=("{Side} hilar [enlargement|enlarge].",),
    ),
    "wide mediastinum": Wording(
        "mediastinum",
        plain=("There is {degree} [widening|widen] of the mediastinum.", "The mediastinum is [widened|widen]."),
        hedged=("Possible [widening|?widen] of the mediastinum.",),
        short=("{Degree} [widening|widen] of the mediastinum.",),
    ),
    "tracheal deviation": Wording(
        "mediastinum",
        plain=(
            "There is {side}ward [deviation|shift] of the trachea.",
            "The trachea is [deviated|shift] to the {side}.",
        ),
    ),
    "fat pad": Wording(
        "mediastinum",
        plain=(
            "There is a [density] in the {side} cardiophrenic sulcus.",
            "Increased [density] is seen at the {side} cardiophrenic angle.",
        ),
    ),
    "wide atrium": Wording(
        "heart",
        plain=(
            "There is {degree} [enlargement|enlarge] of the right atrium.",
            "The right atrium is [enlarged|enlarge].",
        ),
        hedged=("Possible [enlargement|?enlarge] of the right atrium.",),
    ),
    "obscured border": Wording(
        "lungs",
        plain=(
            "There is [obscuration|obscure] of the left heart border.",
            "[Obscuration|obscure] of the left heart border is seen.",
        ),
        short=("[Obscuration|obscure] of the left heart border.",),
    ),
    "retrocardiac opacity": Wording(
        "lungs",
        plain=(
            "There is a {degree} retrocardiac [opacity].",
            "Retrocardiac [opacity] is present.",
            "{Degree} retrocardiac [opacity] is seen.",
        ),
        hedged=("Possible retrocardiac [opacity|?opacity].",),
        short=("Retrocardiac [opacity].",),
    ),
    "blunted angle": Wording(
        "pleura",
        plain=(
            "There is {degree} [blunting|blunt@{angles}] of the {side} costophrenic angle.",
            "{Degree} [blunting|blunt@{angles}] of the {side} costophrenic angle is again seen.",
        ),
    ),
    "raised diaphragm": Wording(
        "abdomen",
        plain=(
            "There is {degree} [elevation] of the {side} hemidiaphragm.",
            "{Degree} [elevation] of the {side} hemidiaphragm is again seen.",
        ),
        hedged=("Possible [elevation|?elevation] of the {side} hemidiaphragm.",),
        short=("{Degree} [elevation] of the {side} hemidiaphragm.",),
    ),
    "free air": Wording(
        "abdomen",
        plain=(
            "There is [free air|air] under the right hemidiaphragm.",
            "[Free air|air] is seen beneath the right hemidiaphragm.",
        ),
        short=("[Free air|air] under the right hemidiaphragm.",),
    ),
    "distended stomach": Wording(
        "abdomen",
        plain=("The stomach is [distended|distention].", "There is gaseous [distention] of the stomach."),
    ),
    "hernia": Wording(
        "abdomen",
        plain=(
            "There is a {size} hiatal [hernia|hernia@stomach].",
            "A {size} hiatal [hernia|hernia@stomach] is noted.",
            "A hiatal [hernia|hernia@stomach] is again seen.",
        ),
        hedged=("Possible {size} hiatal [hernia|?hernia@stomach].",),
        short=("Hiatal [hernia|hernia@stomach].",),
    ),
    "worn spine": Wording(
        "bones",
        plain=(
            "There are {degree} [degenerative changes|degenerative] of the thoracic spine.",
            "{Degree} [degenerative changes|degenerative] are seen in the thoracic spine.",
        ),
    ),
    "scoliosis": Wording(
        "bones",
        plain=(
            "There is {degree} [deformity] of the thoracic spine.",
            "There is scoliotic [deformity] of the thoracic spine.",
        ),
    ),
    "clavicle fracture": Wording(
        "bones",
        plain=(
            "There is a [fracture] of the {side} clavicle.",
            "A [fracture] of the {side} clavicle is again seen.",
        ),
        short=("[Fracture] of the {side} clavicle.",),
    ),
    "rib fracture": Wording(
        "bones",
        plain=(
            "There is a [fracture] of a {side} rib.",
            "A [fracture] of a {side} rib is again seen.",
        ),
        short=("[Fracture] of a {side} rib.",),
    ),
    "endotracheal tube": Wording(
        "devices",
        plain=(
            "An [endotracheal tube|tube@trachea] is in place in the trachea.",
            "The [endotracheal tube|tube@trachea] terminates in the mid trachea.",
            "The [endotracheal tube|tube@trachea] terminates {carina} cm above the carina.",
            "[ET tube|tube@trachea] [tip|tip@trachea] is {carina} cm above the carina.",
        ),
    ),
    "gastric tube": Wording(
        "devices",
        plain=(
            "A [nasogastric tube|tube@stomach] terminates in the stomach.",
            "An [enteric tube|tube@stomach] courses into the stomach.",
            "The [nasogastric tube|tube@stomach] [tip|tip@stomach] projects over the stomach.",
        ),
    ),
    "chest tube": Wording("devices", plain=("A {side} [chest tube|tube] is in place in the pleural space.",)),
    "central line": Wording(
        "devices",
        plain=(
            "A [central venous catheter|catheter] terminates in the {in}.",
            "A [central venous catheter|catheter] is seen with its [tip] in the {in}.",
        ),
    ),
    "picc": Wording(
        "devices",
        plain=(
            "A [PICC|picc] terminates in the {in}.",
            "A [PICC line|picc] is seen with its [tip] in the {in}.",
        ),
    ),
    "pacemaker": Wording(
        "devices",
        plain=(
            "A [pacemaker] projects over the {in}.",
            "A [pacemaker] has [leads|lead] in the {in}.",
        ),
    ),
    "leadless pacemaker": Wording("devices", plain=("A leadless [pacemaker] projects over the {in}.",)),
    "nerve stimulator": Wording(
        "devices",
        plain=("A [vagus nerve stimulator|device] is in place.", "A [nerve stimulator|device] is again seen."),
    ),
    "vena cava stent": Wording(
        "devices",
        plain=("A [stent] is seen in the SVC.", "An SVC [stent] is in place.", "An SVC [stent] is again seen."),
    ),
    "dialysis catheter": Wording(
        "devices",
        plain=(
            "A [dialysis catheter|catheter] terminates in the {in}.",
            "A large-bore [catheter] is seen with its [tip] in the {in}.",
        ),
    ),
    "spinal hardware": Wording(
        "devices",
        plain=("Spinal [hardware] is in place.", "There is [hardware] in the thoracic spine."),
    ),
    "sternal wires": Wording("devices", plain=("[Sternal wires|wire@unspecified] are [intact|intact@other].",)),
    "clips": Wording("devices", plain=("Surgical [clips|clip] project over the {in}.",)),
}
"""Kind of finding (`catalogue.CATALOGUE`) -> its wordings."""


@dataclass(frozen=True)
class Health:
    """Sentences on a healthy organ, true when the study has none of `unless` (kinds, or organs of the report)."""

    organ: str
    unless: tuple[str, ...]
    sentences: tuple[str, ...]


_OPACITIES = (
    "pneumonia", "consolidation", "infiltrate", "haze", "mass", "edema", "obscured border", "retrocardiac opacity",
)  # fmt: skip

HEALTH: tuple[Health, ...] = (
    Health(
        "lungs",
        ("lungs", "pleura"),
        (
            f"The lungs are [clear|clear@{_LUNGS}].",
            f"Lungs are [clear|clear@{_LUNGS}].",
            f"Both lungs are [clear|clear@{_LUNGS}].",
            f"The lungs are well [expanded|expand@{_LUNGS}] and [clear|clear@{_LUNGS}].",
            f"The lungs are [clear|clear@{_LUNGS}] without focal [consolidation|!consolidation@unspecified].",
        ),
    ),
    Health(
        "lungs",
        _OPACITIES,
        (
            "There is no focal [consolidation|!consolidation@unspecified].",
            "No focal [consolidation|!consolidation@unspecified] is seen.",
            f"There is no [consolidation|!consolidation@{_LUNGS}] in the lungs.",
            "No evidence of [pneumonia|!pneumonia@unspecified].",
            "There is no focal airspace [opacity|!opacity@unspecified].",
        ),
    ),
    Health(
        "lungs",
        ("nodule", "mass", "granuloma"),
        (
            "No [nodule|!nodule@unspecified] or [mass|!mass@unspecified] is seen.",
            "No suspicious pulmonary [nodules|!nodule@unspecified].",
        ),
    ),
    Health(
        "lungs",
        ("edema",),
        (
            "There is no pulmonary [edema|!edema@pulmonary].",
            "Pulmonary vasculature is [normal|normal@pulmonary].",
            "No pulmonary vascular [congestion|!congestion@pulmonary].",
        ),
    ),
    Health(
        "pleura",
        ("effusion", "pneumothorax"),
        (
            "There is no pleural [effusion|!effusion@pleural_unspec] or [pneumothorax|!pneumothorax@pleural_unspec].",
            "No pleural [effusion|!effusion@pleural_unspec] or [pneumothorax|!pneumothorax@pleural_unspec] is seen.",
            "No [pneumothorax|!pneumothorax@pleural_unspec] or pleural [effusion|!effusion@pleural_unspec].",
        ),
    ),
    Health(
        "pleura",
        ("effusion",),
        (
            "There is no pleural [effusion|!effusion@pleural_unspec].",
            "No pleural [effusion|!effusion@pleural_unspec] is identified.",
        ),
    ),
    Health(
        "pleura",
        ("effusion", "thickening", "emphysema", "blunted angle"),
        ("The costophrenic angles are [sharp|sharp@left_costophrenic+right_costophrenic].",),
    ),
    Health(
        "pleura",
        ("pneumothorax",),
        (
            "There is no [pneumothorax|!pneumothorax@pleural_unspec].",
            "No definite [pneumothorax|!pneumothorax@pleural_unspec].",
            "No [pneumothorax|!pneumothorax@pleural_unspec] is detected.",
            "No evidence of [pneumothorax|!pneumothorax@pleural_unspec].",
        ),
    ),
    Health(
        "heart",
        ("heart",),
        (
            "The heart size is [normal|normal@heart_size].",
            "Heart size is [normal|normal@heart_size].",
            "The heart is [normal|normal@heart_size] in size.",
            "Cardiac silhouette is within [normal limits|normal@heart_size].",
            "The cardiac silhouette is [unremarkable|unremarkable@heart_size].",
        ),
    ),
    Health(
        "mediastinum",
        ("mediastinum", "hernia", "edema"),
        (
            "The mediastinal and hilar contours are [normal|normal@mediastinal+hilar_unspec].",
            "Mediastinal and hilar contours are [unremarkable|unremarkable@mediastinal+hilar_unspec].",
            "The mediastinum is [unremarkable|unremarkable@mediastinal].",
            "Hilar contours are [normal|normal@hilar_unspec].",
            "The hila are [unremarkable|unremarkable@hilar_unspec].",
        ),
    ),
    Health(
        "mediastinum",
        ("mediastinum", "heart", "hernia", "obscured border", "retrocardiac opacity"),
        (
            "The cardiomediastinal silhouette is [normal|normal@heart_size+mediastinal].",
            "Cardiomediastinal contours are [unremarkable|unremarkable@heart_size+mediastinal].",
        ),
    ),
    Health(
        "bones",
        ("bones",),
        (
            "No acute osseous [abnormality|!abnormality@other].",
            "Osseous structures are [unremarkable|unremarkable@other].",
            "The bony structures are [intact|intact@other].",
            "No [fracture|!fracture@rib] of the ribs.",
        ),
    ),
    Health(
        "mediastinum", ("tortuous aorta", "aortic calcification"), ("The aorta is [normal|normal@aorta] in contour.",)
    ),
    Health("mediastinum", ("tracheal deviation",), ("Trachea is midline.",)),
    Health("abdomen", ("abdomen",), ("No [free air|!air@other] is seen.",)),
)
"""In the order of a report."""

HEALTHY_SIDE: dict[str, tuple[str, ...]] = {
    "lungs": ("The {other} lung is [clear|clear@{other}_lung_unspec].",),
    "effusion": ("There is no {other} pleural [effusion|!effusion@{other}_pleural].",),
    "pneumothorax": ("There is no {other} [pneumothorax|!pneumothorax@{other}_pleural].",),
}
"""Organ or kind of a one-sided finding -> what is said of the other side."""

COMPARED: dict[bool, tuple[str, ...]] = {
    True: (", similar to the prior study.", ", not significantly changed since ___.", ", as seen on ___."),
    False: (
        ", increased compared to ___.",
        ", decreased from the prior study.",
        ", new since ___.",
        ", similar to the prior study.",
    ),
}
"""Ends of a sentence that compare with the study before; True: of findings that stay (`Kind.chronic`)."""

NOTHING_FOUND = (
    "No acute cardiopulmonary [process|!process@cardiopulmonary].",
    "No acute cardiopulmonary [abnormality|!abnormality@cardiopulmonary].",
    "No evidence of acute cardiopulmonary [disease|!disease@cardiopulmonary].",
)

DISTRACTORS = (
    "Cholecystectomy [clips|clip@other] are seen in the right upper quadrant.",
    "Comparison is made to the prior study of ___.",
    "Evaluation is limited by patient positioning.",
    "The patient's chin overlies the upper field of view.",
    "Evaluation is limited by portable technique.",
    "Overlying monitoring equipment is in place.",
    "The lateral view adds nothing.",
)
"""Sentences on what the image does not show, or that state nothing at all."""

NOTES = (
    "The above was discussed with Dr. ___ by telephone at ___ on ___.",
    "Clinical correlation is recommended.",
    "Short interval follow-up is recommended.",
)

INDICATIONS = (
    "{age} {sex} with shortness of breath // evaluate for pneumonia",
    "{age} {sex} with cough and fever // infiltrate?",
    "{age} {sex} with chest pain // acute process?",
    "{age} {sex} with hypoxia // edema, effusion",
    "{age} {sex} with ___ // pre-op",
    "{age} {sex} s/p ___, evaluate for pneumothorax",
    "{age} {sex} with new line placement // confirm position",
    "History: {sex} with fall // rib fracture?",
)
