"""Experiments on what theory promises, a file a subject: a measured quantity beside its bound."""
