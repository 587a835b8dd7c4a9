"""Drawings of what the lens measures: maps, curves, circuits, weight changes, all in one style."""
