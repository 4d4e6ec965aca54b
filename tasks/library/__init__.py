"""The library of a drive: its robot, which cartridge a run fetches, and whether it is the right one."""
