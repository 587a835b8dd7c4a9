"""Constitutions for tests."""

SHORT = """
name = "short"
[[principles]]
name = "brief"
critique = "Say what."
revision = "Mend it."
preference = "Which?"
[prompts]
harmful = ["Hi", "Yo", "Ho", "He", "Ha"]
"""
