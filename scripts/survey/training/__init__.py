"""Trains small models of every kind that exporters to ONNX know; runs in an environment of its own.

Nothing here imports the law. What is trained has other bytes on another processor.
"""
