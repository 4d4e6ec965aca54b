"""What a set looks like on tape: tar, frames, index, manifest, encryption. Reading and writing share it."""
