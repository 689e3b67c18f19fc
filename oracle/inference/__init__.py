"""Runs models in child processes: files by hash in, outputs, openings and findings out."""
