"""The losses of MeDSLIP, functions of tensors; one file per term, and the objective that adds them."""
