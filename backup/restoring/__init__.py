"""From archives on a volume to files in a folder, each verified before it counts."""
