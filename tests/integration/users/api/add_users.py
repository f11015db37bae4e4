# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for the script of an API's image, with its contract and its manners.

``add_users.py <api endpoint> <api token> <path>``: one JSON object per line. Like the original it prints each user with
the password, and ends at the first that cannot be added.
"""

import json
import sys
import time
import urllib.request

endpoint, token, path = sys.argv[1:]
with open(path) as lines:  # noqa: PTH123
    for line in lines:
        user = json.loads(line)
        print("adding", user, "with", token)  # noqa: T201
        if user["role"] == "slow":
            time.sleep(600)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{endpoint}/users", json.dumps({"users": user}).encode(), headers)  # noqa: S310
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            print("added", answer.read().decode())  # noqa: T201
