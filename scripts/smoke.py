"""Starts the server whose command is given, puts an item, takes it, and stops the server.

Needs nothing but Python, so that what was installed is tried alone. Ends with 1 if anything is
not as it should be.
"""

import socket
import subprocess
import sys
import tempfile

PATIENCE = 60.0
ASKED = b"set jobs 0 0 5\r\nhello\r\nget jobs\r\nquit\r\n"
EXPECTED = b"STORED\r\nVALUE jobs 0 5\r\nhello\r\nEND\r\n"


def main() -> int:
    """Try it."""
    with tempfile.TemporaryDirectory() as spool:
        command = [*sys.argv[1:], "--queue_path", spool, "--port", "0"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
            assert server.stderr is not None
            told = b""
            try:
                while "listening on" not in (line := server.stderr.readline()):
                    if not line:
                        print("it ended at once", file=sys.stderr)
                        return 1
                address = ("127.0.0.1", int(line.rpartition(":")[2]))
                with socket.create_connection(address, PATIENCE) as client:
                    client.sendall(ASKED)
                    while data := client.recv(4096):
                        told += data
            finally:
                server.terminate()
                server.stderr.read()
                code = server.wait(PATIENCE)
    print(f"put and taken: {told == EXPECTED}, stopped with {code}")
    return int(told != EXPECTED or code != 0)


if __name__ == "__main__":
    sys.exit(main())
