"""Ablations: one part of the method taken away or changed at a time, under one budget, compared on the same images."""
