"""All rules, by their names."""

from __future__ import annotations

from local.rules.of_ledger import RULES_OF_LEDGER
from local.rules.of_policy import RULES_OF_POLICY

RULES = {rule.name: rule for rule in [*RULES_OF_POLICY, *RULES_OF_LEDGER]}
