"""Commands that gather what is elsewhere: the report, the audit, all about one set."""
