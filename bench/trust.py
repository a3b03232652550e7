"""What TLS adds to a run, since there is none on loopback: each library reads the trusted certificates once.

Run `python -S -P trust.py` with the package on PYTHONPATH. It prints seconds of CPU for one library, and kilobytes for
both, as JSON. `bench.handshake` measures handshakes.
"""

import json
import ssl
import time

import botocore.httpsession
import requests.adapters

from bench.drive import peak_kilobytes


def main() -> None:
    peak_before = peak_kilobytes()
    started_at = time.process_time()
    botocore_context = ssl.create_default_context(cafile=botocore.httpsession.get_cert_path(verify=True))
    seconds = time.process_time() - started_at
    requests_context = ssl.create_default_context(cafile=requests.adapters.DEFAULT_CA_BUNDLE_PATH)
    kilobytes = peak_kilobytes() - peak_before
    contexts = [botocore_context, requests_context]  # both are alive at the peak
    print(json.dumps({"seconds": seconds, "kilobytes": kilobytes, "contexts": len(contexts)}))


if __name__ == "__main__":
    main()
