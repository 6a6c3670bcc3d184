"""Zero-shot grounding: where the model looks when asked for a pathology or an anatomy, scored against boxes or masks.

`maps` says where it looks, on `views` that keep its cells in place, `truth` what is asked and where that really is,
`scores` how well they agree on each image, and `summary` over images and labels. Maps are [n, h, w], one per image, and
always come with the truth of the same rows. Unlike the published code, which divides by the maximum of a batch, each
map is normalised by itself, and thresholds come from validation rows. Its pointing game is more lenient: a hit is any
pixel of the brightest 16 x 16 block inside a box, here the maximum of the map itself.

Source: paper arXiv 2403.10635, zero-shot grounding.
"""
