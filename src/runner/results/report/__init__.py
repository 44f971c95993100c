"""Seeds as one result: what the runs of one or several sweeps say together. Free of torch."""

from runner.results.report.files import Report, report

__all__ = ["Report", "report"]
