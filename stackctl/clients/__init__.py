"""The HTTP interfaces of the stack's programs: OpenID Connect, Keycloak's administration, MLflow."""
