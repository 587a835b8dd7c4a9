"""The hub's web site: what `rlhub serve` opens."""
