"""The command line: one thin verb a file; each parses, calls one function, prints."""

from dermtwin.cli.app import main

__all__ = ["main"]
