"""How a comparison reads: in tables, in words and as a figure."""

import pandas as pd

from medslip_core.comparison import reading
from medslip_core.comparison.compare import compare


def test_a_variant_that_was_not_asked_has_no_row_and_a_dash(asked) -> None:
    more = {name: [seed, seed.assign(figure="AUROC, b")] for name, (seed,) in asked.items()}
    both = {name: [pd.concat(seeds)] for name, seeds in more.items()}
    both["same"] = asked["same"]
    result = compare(both, resamples=20)
    assert result.loc[result["figure"] == "AUROC, b", "variant"].tolist() == ["full", "noisy", "guess"]
    wide = reading.differences(result).set_index("variant")
    assert wide.loc["same", "AUROC, b"] == "–" != wide.loc["same", "AUROC, a"]


def test_what_is_asked_with_labels_reads_apart(asked) -> None:
    labelled = {name: pd.concat([seed, *(
        seed.assign(figure=f"AUROC, b, linear, {share} % of labels", protocol="linear") for share in (1, 10)
    )]) for name, (seed,) in asked.items()}  # fmt: skip
    labelled["guess"] = asked["guess"][0]
    result = compare({name: [seed] for name, seed in labelled.items()}, resamples=5)
    assert set(reading.zero_shot(result, ["same", "guess"])["figure"]) == {"AUROC, a"}
    assert reading.zero_shot(result, [])["figure"].tolist() == [], "nothing to compare with"
    ((learned, part),) = reading.finetuned(result, ["same", "guess"]).items()
    assert learned == "AUROC, b, linear" and set(part["variant"]) == {"full", "same"}
    assert list(reading.differences(part)) == ["variant", "1 % of labels", "10 % of labels"]
    assert reading.finetuned(result, ["guess"]) == {} == reading.finetuned(compare(asked, resamples=2), ["same"])


def test_how_it_reads(asked) -> None:
    result = compare({name: seeds * 2 for name, seeds in asked.items()}, resamples=500)
    wide = reading.differences(result)
    assert wide["variant"].tolist() == list(asked) and wide.loc[1, "AUROC, a"].endswith("(+0.000)")
    assert wide.loc[3, "AUROC, a"].endswith("*)") and "−" in wide.loc[3, "AUROC, a"]
    assert reading.in_words(result).startswith("- **AUROC, a**: below *full* beyond chance: guess (")
    alone = reading.in_words(compare(asked, resamples=50))
    assert alone == "- **AUROC, a**: not tested (one seed, or few patients)."
    assert reading.options({"icl_weight": 0.0, "model": {"gated": False}}) == "icl_weight 0.0, model.gated False"
    assert "guess" in reading.forest_of_differences(result).alt


def test_single_seeds_stand_beside_their_mean(asked) -> None:
    (full,), (guess,) = asked["full"], asked["guess"]
    worse = guess.assign(score=guess["score"] - 0.05 * guess["truth"])
    result = compare({"full": [full, full], "guess-ed": [guess, worse]}, resamples=500)
    told = result.set_index("variant").loc["guess-ed"]
    least, most = (f"\u2212{abs(told[name]):.3f}" for name in ("difference_most", "difference_least"))
    assert least != most
    words = reading.in_words(result)
    assert words == f"- **AUROC, a**: below *full* beyond chance: guess-ed ({least} to {most})."
    figure = reading.forest_of_differences(result).figure
    rings = [line.get_xdata()[0] for line in figure.axes[0].lines if line.get_markerfacecolor() == "none"]
    assert rings == [told["difference_least"], told["difference_most"]]


def test_the_way_that_a_variant_was_asked_in_stands_behind_its_value(asked) -> None:
    side = {
        name: [seeds[0].assign(figure="AUROC, side", way=way) for way in ways]
        for (name, seeds), ways in zip(asked.items(), (["maps", "ICL"], ["maps", "maps"]), strict=False)
    }
    full, same = reading.differences(compare(side, resamples=2))["AUROC, side"]
    assert full.endswith("by maps or ICL") and same.endswith("(+0.000) by maps")
