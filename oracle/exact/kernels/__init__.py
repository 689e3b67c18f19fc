"""Kernels for which numpy has no ufunc, compiled by numba: one subject a file, imported when first
needed.

They compute in float64 or float32 as IEEE says, without contracting or reordering operations unless
their bounds allow it, and say which elements their bounds leave open. The plain rules in `ops`
compute those again.
"""
