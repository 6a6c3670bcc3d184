"""Models that MeDSLIP is compared with: image and report are contrasted, with no triplets read from the report.

Each is its objective, written here from its paper, on the trunk, images, text encoder, optimiser and steps that all
models of a comparison share. What a paper changes besides (its own trunk, views or text encoder) is not repeated.
"""
