"""What numpy has no ufunc for, compiled by numba: one subject a file, imported when first needed.

Kernels here compute in float64 or in float32 as IEEE has it, nothing contracted or reordered, and
say which elements their bounds leave open; the plain rules in `ops` redo those.
"""
