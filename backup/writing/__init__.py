"""From packed files to sealed archives on a volume."""
