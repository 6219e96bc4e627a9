"""The runner of jobs, as the container starts it."""

from mlflow_sso.jobs.runner import run

if __name__ == "__main__":
    run()
