"""The database as a whole: dumped, loaded, held after a restore; who may read it."""
