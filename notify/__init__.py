"""Events and words (zh, en), and the channels that carry them."""
