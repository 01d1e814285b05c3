"""The record of cases: schema, image store, change log, erasure."""
