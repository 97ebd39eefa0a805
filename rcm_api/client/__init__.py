"""The only code that talks to the API server.

`api` says what is asked and answered; `reflector` keeps a view up to date; both move through a
`transport`. Errors are one tree (`errors`). What an object means, and when it is written, is the
caller's: nothing here knows a rollout or a host.
"""
