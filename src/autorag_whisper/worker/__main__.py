"""The worker process: `python -m autorag_whisper.worker FD`."""

import signal

# Ctrl-C at a terminal goes to every process of the group: the parent decides what it means. Before anything that takes
# long to import: until then it would end this process with a traceback.
signal.signal(signal.SIGINT, signal.SIG_IGN)

if __name__ == "__main__":
    import sys

    from autorag_whisper.worker.child import main

    main(int(sys.argv[1]))
