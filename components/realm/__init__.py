"""The realm of Keycloak: what is in it, as Pulumi resources, and as a document to import."""
