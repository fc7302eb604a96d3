"""Sounds from spectrograms: quality and speed beside other libraries."""
