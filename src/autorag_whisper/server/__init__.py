"""The service over HTTP (extra `[server]`): OpenAI's audio API on one engine for all clients.

`settings` what the operator decided · `app` the routes put together · `access` keys and sizes, before a body is read ·
`uploads` bodies to disk · `fields` what a request asks for · `work` one recognition, shared by identical requests ·
`bodies` and `events` the answers · `errors` what goes wrong, in OpenAI's shape · `health` whether it works ·
`observing`, `metrics` and `access_log` what an operator sees ·
`wyoming` Home Assistant's protocol, on a socket from `listening`.
"""
