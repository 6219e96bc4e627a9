"""The realm of a stack that runs from rendered files, brought to what is declared over Keycloak's admin API."""
