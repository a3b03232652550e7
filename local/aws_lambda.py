"""How Lambda runs the function: what template.yaml sets, and what AWS does by itself. All in seconds."""

from __future__ import annotations

from local.durations import MINUTE

# As in template.yaml.
TIMEOUT_SECONDS = 420.0
MAX_EVENT_AGE_SECONDS = 1_800.0
MAX_EVENT_AGE_OF_MANY_SECONDS = 21_600.0  # in a deployment of many connections
# Lambda repeats an asynchronous invocation that failed: one minute after the failure, and then after two more.
RETRY_PAUSES_SECONDS = (MINUTE, 2 * MINUTE)
# For how long Lambda keeps an idle process. AWS states no figure.
MIN_WARM_SECONDS = 300.0
MAX_WARM_SECONDS = 2_700.0
