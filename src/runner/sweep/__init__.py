"""Many runs as one experiment. Free of torch."""
