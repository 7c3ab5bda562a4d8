#!/usr/bin/python3
"""Puts on the wire what the client of the first elivepatch (2017) does: the REST API v1.0, by the library that it used.

usage: old_client.py URL VERSION UUID DIRECTORY

The directory has a config and a main.patch, and NAME.patch files for what the kernel has already. The module goes to
livepatch.ko there. What was answered is printed as JSON.
"""

import json
import pathlib
import sys

import requests

url, version, uuid, directory = sys.argv[1:]
directory = pathlib.Path(directory)


def part(name, path):
    """A part as that client makes it, with a content type that is none of a part."""
    return name, (path.name, path.open("rb"), "multipart/form-data", {"Expires": "0"})


earlier = sorted(path for path in directory.glob("*.patch") if path.name != "main.patch")
files = [part("patch", path) for path in earlier]
files.append(part("main_patch", directory / "main.patch"))
files.append(part("config", directory / "config"))
headers = {"KernelVersion": version, "UUID": uuid}
posted = requests.post(url + "/elivepatch/api/v1.0/get_files", files=files, headers=headers)
said = {"posted": posted.status_code, "answer": posted.json()}

query = {"KernelVersion": version, "UUID": uuid}
fetched = requests.get(url + "/elivepatch/api/v1.0/send_livepatch", json=query)
said["fetched"] = fetched.status_code
if fetched.status_code == 200:
    (directory / "livepatch.ko").write_bytes(fetched.content)
else:
    said["refusal"] = fetched.json()
print(json.dumps(said))
