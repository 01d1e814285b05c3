"""Metric learning's pure parts: losses, bits, balanced batches and augmentation."""
