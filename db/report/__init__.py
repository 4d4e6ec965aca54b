"""What the report says: what is protected since when, what went wrong, which tapes are needed."""
