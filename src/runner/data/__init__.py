"""Data: sources give the examples, feeds put them on the device, order says which come when."""
