"""What the text queries say: one sentence per anatomy, one explanation per pathology.

Written for this project, in the manner of a radiologist explaining the word to a student. The anatomy sentences spell
out zone and side (the patient's). Sentence encoders hardly hear "left" and "right", so each side is also told by the
organs that lie there.
Source of the idea: paper, section "Text"; the published code builds its anatomy sentence from a template.
"""

from medslip_core.vocabulary import ANATOMIES, PATHOLOGIES

_LEFT = "on the left, the side of the heart apex, the aortic arch, the stomach and the spleen"
_RIGHT = "on the right, the side of the liver, the superior vena cava and the azygos vein"

ANATOMY_SENTENCES: dict[str, str] = {
    "trachea": "The trachea, the windpipe, a dark air-filled tube in the midline of the neck and upper chest.",
    "left_hilar": f"The left hilum, root of the left lung with left pulmonary artery and bronchus, {_LEFT}.",
    "right_hilar": f"The right hilum, root of the right lung with right pulmonary artery and bronchus, {_RIGHT}.",
    "hilar_unspec": "The hila, both lung roots with their arteries, veins and bronchi, side not stated.",
    "left_pleural": f"The left pleura, lining and pleural space around the left lung, {_LEFT}.",
    "right_pleural": f"The right pleura, lining and pleural space around the right lung, {_RIGHT}.",
    "pleural_unspec": "The pleura and pleural space between lung and chest wall, side not stated.",
    "heart_size": "The size of the heart, its width compared with the width of the chest.",
    "heart_border": "The border of the heart, the outline of the cardiac silhouette against the lungs.",
    "left_diaphragm": f"The left hemidiaphragm, the lower dome under the left lung, {_LEFT}.",
    "right_diaphragm": f"The right hemidiaphragm, the higher dome under the right lung, {_RIGHT}.",
    "diaphragm_unspec": "The diaphragm, the dome-shaped muscle under the lungs, side not stated.",
    "retrocardiac": "The retrocardiac region: lung hidden behind the heart, in front of the spine.",
    "lower_left_lobe": f"The left lower lobe, on the diaphragm behind the heart, back of the left lung, {_LEFT}.",
    "upper_left_lobe": f"The left upper lobe with the lingula, from the apex of the left lung downwards, {_LEFT}.",
    "lower_right_lobe": f"The right lower lobe, on the diaphragm, at the back of the right lung, {_RIGHT}.",
    "middle_right_lobe": f"The right middle lobe, a wedge under the minor fissure beside the right atrium, {_RIGHT}.",
    "upper_right_lobe": f"The right upper lobe, from the apex of the right lung to the minor fissure, {_RIGHT}.",
    "left_lower_lung": f"The left lower zone, base of the left lung resting on the diaphragm, {_LEFT}.",
    "left_mid_lung": f"The left mid zone, middle third of the left lung at the height of the hilum, {_LEFT}.",
    "left_upper_lung": f"The left upper zone, top of the left lung at the first ribs and clavicle, {_LEFT}.",
    "left_apical_lung": f"The left apex, tip of the left lung above the clavicle, {_LEFT}.",
    "left_lung_unspec": f"The left lung as a whole, zone not stated, {_LEFT}.",
    "right_lower_lung": f"The right lower zone, base of the right lung resting on the diaphragm, {_RIGHT}.",
    "right_mid_lung": f"The right mid zone, middle third of the right lung at the height of the hilum, {_RIGHT}.",
    "right_upper_lung": f"The right upper zone, top of the right lung at the first ribs and clavicle, {_RIGHT}.",
    "right_apical_lung": f"The right apex, tip of the right lung above the clavicle, {_RIGHT}.",
    "right_lung_unspec": f"The right lung as a whole, zone not stated, {_RIGHT}.",
    "lung_apices": "Both lung apices, the tips of the two lungs above the clavicles.",
    "lung_bases": "Both lung bases, the lowest parts of the two lungs just above the diaphragm.",
    "left_costophrenic": f"The left costophrenic angle, the corner between left ribs and left diaphragm, {_LEFT}.",
    "right_costophrenic": f"The right costophrenic angle, the corner between right ribs and right diaphragm, {_RIGHT}.",
    "costophrenic_unspec": "The costophrenic angles, the corners between ribs and diaphragm, side not stated.",
    "cardiophrenic_sulcus": "The cardiophrenic sulcus, the corner where the heart border meets the diaphragm.",
    "mediastinal": "The mediastinum, the central compartment between the lungs with great vessels and lymph nodes.",
    "spine": "The thoracic spine, the column of vertebrae and discs in the midline.",
    "clavicle": "The clavicles, the collar bones crossing the top of the chest.",
    "rib": "The ribs, the curved bones of the thoracic cage.",
    "stomach": "The stomach with its gas bubble, in the upper abdomen below the diaphragm.",
    "right_atrium": "The right atrium, the heart chamber that receives the venae cavae and ends central lines.",
    "right_ventricle": "The right ventricle, the heart chamber that pumps blood to the lungs and holds pacing leads.",
    "aorta": "The aorta, the great artery with its arch and knob and the descending thoracic part.",
    "svc": "The superior vena cava, the large vein above the heart in which central venous catheters end.",
    "interstitium": "The interstitium, the supporting tissue of the lung with septa, small vessels and lymphatics.",
    "parenchymal": "The lung parenchyma, the air-containing lung tissue itself.",
    "cavoatrial_junction": "The cavoatrial junction, where superior vena cava and atrium meet, goal of catheter tips.",
    "cardiopulmonary": "Heart and lungs together, the cardiopulmonary system as a whole.",
    "pulmonary": "The pulmonary vessels and lungs in general, the pulmonary circulation.",
    "lung_volumes": "The lung volumes, how deeply the patient has breathed in and how far both lungs are expanded.",
    "unspecified": "An unspecified place, no location is stated.",
    "other": "Another place outside the chest organs, such as neck, abdomen, breast, shoulder or soft tissues.",
}
"""Anatomy -> the sentence that is embedded for it."""

PATHOLOGY_EXPLANATIONS: dict[str, str] = {
    "normal": "Normal: the structure looks as it should, nothing abnormal is seen.",
    "clear": "Clear: the lungs are dark and well aerated, without opacity, fluid or nodules.",
    "sharp": "Sharp: a border or costophrenic angle is crisply outlined, so no fluid blunts it.",
    "sharply": "Sharply: the margin is sharply defined against the neighbouring lung.",
    "unremarkable": "Unremarkable: the appearance is ordinary and needs no comment.",
    "intact": "Intact: bones, wires or hardware are whole, without a break.",
    "stable": "Stable: the appearance has not changed since the earlier examination.",
    "free": "Free: no free air lies under the diaphragm, the region is free of abnormal content.",
    "effusion": "Pleural effusion: fluid collects in the pleural space, blunts the costophrenic angle and forms a "
    "white layer with a curved meniscus at the lung base.",
    "opacity": "Opacity: an area of lung is whiter than it should be, whatever fills it.",
    "pneumothorax": "Pneumothorax: air in the pleural space lets the lung collapse; a thin white pleural line is seen "
    "with no lung markings beyond it.",
    "edema": "Pulmonary edema: fluid leaks from congested vessels into the lungs, with hazy perihilar opacities on "
    "both sides and thickened septal lines.",
    "atelectasis": "Atelectasis: part of the lung has lost its air and shrunk, seen as linear or plate-like white "
    "bands or volume loss, often at the bases.",
    "tube": "Tube: a hollow device such as an endotracheal tube, nasogastric tube or chest tube crosses the chest.",
    "consolidation": "Consolidation: the air spaces of the lung are filled, giving a dense white area with air "
    "bronchograms that hides vessels.",
    "process": "Process: a disease process of any kind is going on in the heart or lungs.",
    "abnormality": "Abnormality: something deviates from the normal appearance.",
    "enlarge": "Enlarged: a structure such as the heart, hilum or mediastinum is bigger than it should be.",
    "tip": "Tip: the end of a tube or catheter, whose position is checked.",
    "low": "Low: the lung volumes are low because of a shallow breath, or a device lies low.",
    "pneumonia": "Pneumonia: an infection of the lung, seen as a patchy or lobar white opacity with soft borders, with "
    "fever and cough.",
    "line": "Line: a thin catheter in a vein or artery, such as a central venous line.",
    "congestion": "Congestion: the pulmonary vessels are swollen with blood because the heart does not keep up.",
    "catheter": "Catheter: a thin flexible tube in a vessel or body cavity, its course and tip visible.",
    "cardiomegaly": "Cardiomegaly: the heart is too large, wider than half of the chest.",
    "fracture": "Fracture: a broken bone, such as a rib, clavicle or vertebra, with a gap or step in its outline.",
    "air": "Air: gas where it is looked for, as free air under the diaphragm or in soft tissues.",
    "tortuous": "Tortuous: the aorta or another vessel winds instead of running straight, common in old age.",
    "lead": "Lead: the insulated wire of a pacemaker or defibrillator that runs to the heart.",
    "disease": "Disease: an illness of heart or lungs is present or is being excluded.",
    "calcification": "Calcification: calcium deposits, very white specks or rims, as in the aorta or old granulomas.",
    "prominence": "Prominence: a structure such as the hilum or interstitial markings stands out more than usual.",
    "device": "Device: implanted or external medical equipment is visible on the image.",
    "engorgement": "Engorgement: veins of the lung are overfilled and wide.",
    "picc": "PICC: a peripherally inserted central catheter that enters through the arm and ends near the heart.",
    "clip": "Clip: small metal surgical clips from an earlier operation.",
    "elevation": "Elevation: one dome of the diaphragm stands higher than it should.",
    "expand": "Expanded: the lungs are well expanded with air.",
    "nodule": "Nodule: a small round white spot in the lung, up to three centimetres.",
    "wire": "Wire: metal wires, such as the loops that close the sternum after heart surgery.",
    "fluid": "Fluid: liquid in the pleural space, a fissure or the lung.",
    "degenerative": "Degenerative: wear of the spine or joints, with bony spurs and narrowed discs.",
    "pacemaker": "Pacemaker: a metal generator under the skin of the chest with leads to the heart.",
    "thicken": "Thickening: pleura, septa or bronchial walls are thicker than normal, as after inflammation.",
    "marking": "Markings: the fine branching lines of vessels and interstitium, which may be increased.",
    "scar": "Scar: old healed damage, seen as a fibrous strand that distorts the lung.",
    "hyperinflate": "Hyperinflation: the lungs hold too much air, the diaphragm is flat and the chest is long.",
    "blunt": "Blunting: the sharp costophrenic angle is rounded off by a little fluid or scar.",
    "loss": "Loss: a vertebra has lost height, or a lobe has lost volume.",
    "widen": "Widening: the mediastinum is broader than normal.",
    "collapse": "Collapse: a whole lobe or lung has lost its air and folds up, pulling its neighbours along.",
    "density": "Density: a white spot or region whose nature is not clear.",
    "emphysema": "Emphysema: lung tissue is destroyed and replaced by large dark air spaces, with few vessels and flat "
    "diaphragms.",
    "aerate": "Aerated: air reaches the lung, which is dark as it should be.",
    "mass": "Mass: a large solid white lesion of more than three centimetres, suspicious for a tumour.",
    "crowd": "Crowding: vessels lie close together because the lung is poorly expanded.",
    "infiltrate": "Infiltrate: ill-defined hazy white shadows in the lung, from infection or inflammation.",
    "obscure": "Obscured: a border cannot be seen because something white lies against it.",
    "deformity": "Deformity: a bone is misshapen, for example by an old healed fracture.",
    "hernia": "Hiatal hernia: part of the stomach has slipped through the diaphragm and shows behind the heart as a "
    "rounded shadow with air and fluid.",
    "drainage": "Drainage: a drain removes air or fluid from the chest.",
    "distention": "Distention: stomach, bowel or veins are stretched wide by gas or fluid.",
    "shift": "Shift: the mediastinum or trachea is pushed or pulled to one side.",
    "stent": "Stent: a metal mesh tube keeps a vessel or airway open.",
    "pressure": "Pressure: the venous pressure in the lungs is raised.",
    "lesion": "Lesion: a circumscribed abnormal spot in bone or lung.",
    "finding": "Finding: an observation on the image worth reporting.",
    "borderline": "Borderline: at the upper limit of normal, as a heart of borderline size.",
    "hardware": "Hardware: metal plates, screws or rods from an operation on the bones.",
    "dilation": "Dilation: a vessel, airway or bowel loop is wider than normal.",
    "chf": "Congestive heart failure: a weak heart with large silhouette, congested vessels, edema and effusions.",
    "redistribution": "Redistribution: blood flow shifts to the upper lungs, whose vessels become wide, an early sign "
    "of heart failure.",
    "aspiration": "Aspiration: food or fluid was inhaled and inflames the dependent parts of the lungs.",
    "tail_abnorm_obs": "Another rare abnormality that has no name of its own here, such as fibrosis with coarse "
    "reticular scarring.",
    "excluded_obs": "Another remark about the examination that is not a disease.",
}
"""Pathology -> the explanation that is embedded for it."""


def anatomy_texts() -> list[str]:
    """The anatomy sentences in the order of the vocabulary.

    Raises:
        ValueError: an anatomy has none.
    """
    return _texts(ANATOMIES, ANATOMY_SENTENCES, "ANATOMY_SENTENCES")


def pathology_texts() -> list[str]:
    """The pathology explanations in the order of the vocabulary.

    Raises:
        ValueError: a pathology has none.
    """
    return _texts(PATHOLOGIES, PATHOLOGY_EXPLANATIONS, "PATHOLOGY_EXPLANATIONS")


def _texts(words: tuple[str, ...], described: dict[str, str], table: str) -> list[str]:
    undescribed = [word for word in words if word not in described]
    if undescribed:
        raise ValueError(
            f"{', '.join(undescribed)}: in the vocabulary, but not described; add to {table} in "
            "medslip_core/descriptions.py, and to data_prep/reports/lexicon.toml how reports say it"
        )
    return [described[word] for word in words]
