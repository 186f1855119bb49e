"""Prints `export EVP_NAME_PORT=...` for each name, with ports that are free, all at once."""

import random
import socket
import sys

held = []
for name in sys.argv[1:]:
    while True:
        candidate = socket.socket()
        try:
            # Below the range from which outgoing connections get theirs.
            candidate.bind(("127.0.0.1", random.randint(20000, 32000)))
            break
        except OSError:
            candidate.close()
    held.append(candidate)
    print(f"export EVP_{name}_PORT={candidate.getsockname()[1]}")
