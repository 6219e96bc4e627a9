"""mlflow-oidc-auth: the variables of each line of its versions."""
