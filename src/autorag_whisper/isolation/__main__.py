"""The fork server: `python -m autorag_whisper.isolation FD`."""

import signal

# Ctrl-C at a terminal goes to every process of the group: the parent decides what it means.
signal.signal(signal.SIGINT, signal.SIG_IGN)

if __name__ == "__main__":
    import sys

    from autorag_whisper.isolation.fork_server import main

    main(int(sys.argv[1]))
