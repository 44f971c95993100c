"""What a run leaves behind, and how it is read. Free of torch, but for what a run needs to write it."""
