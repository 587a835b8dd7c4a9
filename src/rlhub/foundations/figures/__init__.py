"""The figures and examples of Sutton & Barto (2018), a file a chapter."""
