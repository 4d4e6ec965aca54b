"""Runs and their steps: every change of a state happens here."""
