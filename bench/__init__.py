"""How fast taskdir is, beside its peers: `make bench`, `make soak` (CONTRIBUTING, "Benchmarks")."""
