"""The run report: one self-contained HTML page of what a run did."""

from museg.runs.report.rendering import write_report

__all__ = ["write_report"]
