"""What others learn at regular times: the report, and whether all is well."""
