"""Supervised transfer with few labels: classification and segmentation on top of pre-trained weights.

`fractions` says who is learned from, `initial` what is started from, `classifier` and `segmenter` what is trained,
`training` how, `results` how well; `grid` runs all of it, cell by cell.
"""
