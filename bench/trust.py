"""What TLS adds, of which loopback has none: reading the certificates that are trusted, once for each library.

`python -S -P trust.py` with the package on PYTHONPATH; prints seconds of CPU and kilobytes as JSON. Handshakes are left
out: they need a host.
"""

import json
import ssl
import time

import botocore.httpsession
import requests.adapters

from bench.drive import peak_kilobytes


def main() -> None:
    before, began = peak_kilobytes(), time.process_time()
    contexts = [ssl.create_default_context(cafile=botocore.httpsession.get_cert_path(verify=True))]
    seconds = time.process_time() - began
    contexts.append(ssl.create_default_context(cafile=requests.adapters.DEFAULT_CA_BUNDLE_PATH))
    print(json.dumps({"seconds": seconds, "kilobytes": peak_kilobytes() - before, "contexts": len(contexts)}))


if __name__ == "__main__":
    main()
