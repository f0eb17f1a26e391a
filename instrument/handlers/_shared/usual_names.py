"""
What usually is a secret: handlers for people mask it unasked.
"""

from instrument._payloads.names import Names

USUAL_NAMES = (
    *("authorization", "cookie", "credentials", "passphrase", "passwd", "password"),
    *("secret", "client_secret", "secret_key", "private_key", "access_key", "api_key"),
    *("access_token", "auth_token", "bearer_token", "id_token", "refresh_token"),
    "session_token",
)
USUAL = Names(USUAL_NAMES)
