"""The driver of real changers on Linux, through the program mtx."""
