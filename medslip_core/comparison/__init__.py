"""Ways to pre-train, one thing changed at a time, under one budget, compared on the same images."""
