"""Strategies of cases, one module for a family of operators; see ``minilite.testing.cases``."""
