"""What a scanner of Kubernetes YAML says of the rendered stack: nothing but what a decision answers."""

from __future__ import annotations

import json
import re
import subprocess
from collections import Counter
from pathlib import Path

from settings import ROOT
from stackctl.directories import cache_home
from tests.contract.kubernetes_samples import SAMPLES, rendered

DECISION = ROOT / "docs/decisions/0010-kubernetes.md"


def test_checkov_finds_only_what_was_decided(tmp_path: Path) -> None:
    program = cache_home() / "checkov/bin/checkov"
    assert program.exists(), "checkov is not installed: run scripts/test-tools"
    for name, config in SAMPLES.items():
        folder = tmp_path / name.replace(" ", "-")
        folder.mkdir()
        for file, text in rendered(config).files().items():
            (folder / file).write_text(text)
    done = subprocess.run(
        (program, "--directory", tmp_path, "--framework", "kubernetes", "--compact", "--quiet", "--output", "json"),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    report = json.loads(done.stdout)
    summary = report["summary"]
    assert summary["parsing_errors"] == 0
    assert summary["passed"] > 1000, f"it looked at too little: {summary}"
    decided = set(re.findall(r"^\| (CKV2?_K8S_\d+),", DECISION.read_text(), re.MULTILINE))
    found = Counter(check["check_id"] for check in report["results"]["failed_checks"])
    assert set(found) == decided, {
        check["check_id"]: (check["check_name"], check["resource"]) for check in report["results"]["failed_checks"]
    }
