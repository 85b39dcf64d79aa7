"""Decoding media of strangers in processes of their own, one for each recording, without network, files or privileges.

```
 reader's thread: IsolatedDecoder          fork server (python -m autorag_whisper.isolation)         decoder process
   Task + media, data, leash (open files) --> takes a process that it has forked in advance -- Task, media, data -->
   <============================ Info, blocks of samples, End or an error ================================== data
   <----------- leash: how the process ended (closed by the reader: it is killed)
```
"""
