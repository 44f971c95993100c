"""Sweeps that choose their jobs by what the jobs before them scored. Free of torch."""
