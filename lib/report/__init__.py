"""The report of a run: one HTML file, made of study records alone, that needs no network, no script and no other file."""

from lib.report.document import REPORT, render, write_report

__all__ = ["REPORT", "render", "write_report"]
