"""The team's servers and workers as processes of this machine, from `docker-compose.yml`: up, down, status.

`compose` reads the file, `placement` says what a service is as a process here, `supervisor` keeps them running,
`command` is what people call. Nothing here knows what the services do, but for PostgreSQL's first start (`postgres`).
"""
