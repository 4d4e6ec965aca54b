"""A year of many drives on one control host: the product's planner, rules and database, with a clock of its
own."""
