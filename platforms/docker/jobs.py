"""How a workload runs at set times or on demand on a Docker engine, which knows no times.

At set times its own container waits for them: it runs for ever, comes back after a restart of the machine, and has no
access to the engine. Its image has bash and the programs `sleep` and `timeout`, and its entrypoint ends in the command
it is given. On demand its container is there and somebody starts it; `timeout` ends a run that takes too long.
"""

from __future__ import annotations

from collections.abc import Sequence

from platforms.schedule import parse
from platforms.workload import ExecCheck, OnDemand, Probe, Service, Workload

# There while the last run was not a success. Scratch in memory: a new start knows of no run.
FAILED = "/tmp/.last-run-failed"
# Arguments: the allowed minutes, hours, days, months and weekdays, each with commas around its numbers, the seconds
# that a run may take, those it has to end once it was asked to, and the command. A time that
# comes while a run lasts, or while the machine is down, is passed over.
_WAIT = """
times=("${@:1:5}") limit=$6 grace=$7
shift 7
end() {
  # What the shell knows from the fork on: a variable would be empty for a moment in which a run goes on already. So it
  # is for `timeout`, which then leaves its run to itself; both are in the group that it makes.
  local job all=($(jobs -p))
  for job in "${all[@]}"; do kill -TERM -"$job" || kill -TERM "$job"; done 2> /dev/null
  wait
  for job in "${all[@]}"; do while kill -0 -"$job"; do sleep 0.1; done; done 2> /dev/null
  exit 143
}
trap end TERM INT
allowed() {
  local now field
  TZ=UTC0 printf -v now '%(%-M %-H %-d %-m %w)T' -1
  read -ra now <<< "$now"
  for field in 0 1 2 3 4; do
    [[ ${times[field]} == *",${now[field]},"* ]] || return 1
  done
}
while :; do
  printf -v second '%(%-S)T' -1
  sleep $((60 - second)) &
  wait $!
  allowed || continue
  echo "schedule: a run starts"
  timeout --kill-after="$grace" "$limit" "$@" &
  wait $!
  code=$?
  if ((code == 0)); then rm -f "%(failed)s"; else : > "%(failed)s"; fi
  echo "schedule: the run ended with exit code $code"
  if ((code == 124)); then echo "schedule: it was ended after $limit s, the most it may take"; fi
done
""".replace("%(failed)s", FAILED)


def command(workload: Workload) -> tuple[str, ...]:
    """What its container runs: its arguments, within the time they have, or what waits for the times they run at."""
    if isinstance(workload.runs, Service):
        return workload.args
    if isinstance(workload.runs, OnDemand):
        # It exits with 124 where it ended the run (coreutils manual, "timeout").
        grace = f"--kill-after={workload.stop_seconds}"
        return ("timeout", grace, str(workload.runs.timeout_seconds), *workload.args)
    times = parse(workload.runs.cron)
    fields = (times.minutes, times.hours, times.days, times.months, times.weekdays)
    bounds = (str(workload.runs.timeout_seconds), str(workload.stop_seconds))
    return ("bash", "-c", _WAIT, "schedule", *map(_listed, fields), *bounds, *workload.args)


# How many words of a command stand before the arguments, by the way it runs as its label has it.
_BEFORE = {"scheduled": 11, "on-demand": 3}


def arguments(told: Sequence[str], runs: str) -> tuple[str, ...]:
    """The arguments of a workload, from what its container was told to run; the inverse of `command`.

    runs: the way it runs, by its label `LABEL_RUNS`; empty for one that serves.
    """
    return tuple(told[_BEFORE.get(runs, 0) :])


def _listed(values: Sequence[int]) -> str:
    return "".join(f",{value}" for value in values) + ","


def probe(workload: Workload) -> Probe | None:
    """How the engine learns that it is well: a scheduled one, when its last run was; none where nothing runs."""
    if isinstance(workload.runs, Service):
        return workload.runs.probe
    if isinstance(workload.runs, OnDemand):
        return None
    return Probe(ExecCheck(("bash", "-c", f"[[ ! -e {FAILED} ]]")), interval_seconds=30, failures=1)


def starts(workload: Workload) -> bool:
    """Whether its container runs as soon as it is there."""
    return not isinstance(workload.runs, OnDemand)


def restart(workload: Workload) -> str:
    """When the engine starts it again (Docker documentation, "Start containers automatically")."""
    return "unless-stopped" if starts(workload) else "no"
