"""Tabular and linear reinforcement learning, and its theory: small pure functions on arrays, and the figures that they draw."""
