"""Codes and fields in memory; exact search under any filter."""
