"""Measures, protocols, intervals and the report; it reads hits and nothing else."""
