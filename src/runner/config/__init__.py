"""Configuration: its schema, its names, saved runs, and the one place where it becomes objects."""
