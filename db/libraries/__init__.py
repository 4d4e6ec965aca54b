"""Libraries: what is where, which cartridge a barcode promises, and one move at a time."""
