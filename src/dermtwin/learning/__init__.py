"""Networks, losses, pairs, training and export: the only room that imports torch."""
