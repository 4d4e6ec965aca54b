"""What run_backup needs: the set's row and request, the guard over its sources, its journal."""
