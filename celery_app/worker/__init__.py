"""What a worker process does besides its tasks: guards, pulse, delivery of messages."""
