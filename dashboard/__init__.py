"""The operator's pages in Flower: runs, tapes, schedules, drives, and the figures for Prometheus."""
