"""Compiled leaves: typed arrays, scalars and a range in, one output written.

This package imports NumPy and Numba only and knows nothing of graphs. ``kernel.py`` turns a plain
Python function into a kernel that a plan can call by address; ``simd.py`` has the explicit
vectors that the hot kernels are written with; ``walker.py`` runs a plan's steps.
"""
