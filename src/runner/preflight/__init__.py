"""Everything that is wrong with a run, or with all jobs of a sweep, said before any work starts."""

from runner.preflight.check import Job, check
from runner.preflight.findings import Findings

__all__ = ["Findings", "Job", "check"]
