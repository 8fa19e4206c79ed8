"""Scenarios: what is done in a guest and what must be seen, written in YAML."""

from vmlab.scenario.expand import Expanded, RunStep, expand
from vmlab.scenario.known import Known
from vmlab.scenario.load import Loaded, ScenarioError, load

__all__ = ["Expanded", "Known", "Loaded", "RunStep", "ScenarioError", "expand", "load"]
