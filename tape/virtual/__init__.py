"""The virtual drive: cartridges as folders, with faults as data."""
