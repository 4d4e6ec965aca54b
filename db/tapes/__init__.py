"""Cartridges, drives, and the permits to format."""
