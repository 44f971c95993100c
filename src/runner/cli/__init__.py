"""The command line. Free of torch until work starts."""
