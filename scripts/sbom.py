#!/usr/bin/env python3
"""Makes of what cargo-cyclonedx wrote the list of what one program is compiled of; the same for the same source.

usage: scripts/sbom.py make RAW DIRECTORY TREE LOCK PROGRAM OUTPUT
       scripts/sbom.py check SBOM TREE LOCK PROGRAM

RAW is what cargo-cyclonedx wrote in DIRECTORY; TREE what `cargo tree --prefix none --format {p}` says of the crates of
the program; LOCK is Cargo.lock; PROGRAM is the program as it is released. SOURCE_DATE_EPOCH is the time in the list.
"""

import datetime
import hashlib
import json
import os
import re
import sys
import tomllib
import uuid


def fail(message, hint):
    sys.exit(f"error: {message}\nhint: {hint}")


def read_tree(path):
    """The crates of the program, by name and version."""
    lines = re.findall(r"^(\S+) v(\S+)", open(path, encoding="utf-8").read(), re.MULTILINE)
    if not lines:
        fail(f"{path} names no crate", "look at what cargo tree says")
    return set(lines)


def read_checksums(path):
    """The digests of the crates that come from a registry."""
    with open(path, "rb") as file:
        packages = tomllib.load(file)["package"]
    return {(each["name"], each["version"]): each["checksum"] for each in packages if "checksum" in each}


def identity(component):
    return component["name"], component["version"]


def sha256(path):
    return {"alg": "SHA-256", "content": hashlib.sha256(open(path, "rb").read()).hexdigest()}


def make(raw, directory, tree, lock, program):
    """The list: only the crates of the program, in an order of their own, without places and times of this machine."""
    text = open(raw, encoding="utf-8").read().replace(os.path.realpath(directory), "/elivepatch")
    text = text.replace(directory, "/elivepatch")
    bom = json.loads(text)
    crates = read_tree(tree)
    checksums = read_checksums(lock)
    main = bom["metadata"]["component"]
    main["hashes"] = [sha256(program)]
    # The targets within a crate say nothing that the crate does not.
    main.pop("components", None)
    components = [each for each in bom["components"] if identity(each) in crates and identity(each) != identity(main)]
    for component in components:
        checksum = checksums.get(identity(component))
        if checksum:
            component["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    bom["components"] = sorted(components, key=lambda each: each["bom-ref"])
    known = {main["bom-ref"]} | {each["bom-ref"] for each in components}
    dependencies = []
    for each in bom.get("dependencies", []):
        if each["ref"] in known:
            on = sorted(ref for ref in each.get("dependsOn", []) if ref in known)
            dependencies.append({"ref": each["ref"], **({"dependsOn": on} if on else {})})
    bom["dependencies"] = sorted(dependencies, key=lambda each: each["ref"])
    time = datetime.datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), datetime.timezone.utc)
    bom["metadata"]["timestamp"] = time.strftime("%Y-%m-%dT%H:%M:%SZ")
    properties = bom["metadata"].setdefault("properties", [])
    properties.append({"name": "cdx:reproducible", "value": "true"})
    # A number for this very content.
    bom.pop("serialNumber", None)
    digest = hashlib.sha256(json.dumps(bom, sort_keys=True).encode()).digest()
    bom["serialNumber"] = f"urn:uuid:{uuid.UUID(bytes=digest[:16], version=5)}"
    return bom


def check(bom, tree, lock, program):
    """Ends the script when the list is not what it should be."""
    hint = "look at it, and at what cargo tree says"
    if bom.get("bomFormat") != "CycloneDX" or bom.get("specVersion") not in ("1.4", "1.5", "1.6"):
        fail("this is no list in the form of CycloneDX 1.4 to 1.6", hint)
    main = bom["metadata"]["component"]
    if main.get("hashes") != [sha256(program)]:
        fail(f"the list is not that of {program}", hint)
    listed = [identity(each) for each in [main, *bom["components"]]]
    crates = read_tree(tree)
    if missing := crates - set(listed):
        fail(f"crates are missing in the list: {sorted(missing)}", hint)
    if strange := set(listed) - crates:
        fail(f"crates are in the list that the program has not: {sorted(strange)}", hint)
    if len(listed) != len(set(listed)):
        fail("a crate is in the list twice", hint)
    checksums = read_checksums(lock)
    for each in bom["components"]:
        name, version = identity(each)
        if not each.get("purl", "").startswith(f"pkg:cargo/{name}@{version}"):
            fail(f"{name} {version} has no address (purl)", hint)
        if not each.get("licenses"):
            fail(f"{name} {version} has no licence", hint)
        checksum = checksums.get((name, version))
        if checksum and each.get("hashes") != [{"alg": "SHA-256", "content": checksum}]:
            fail(f"{name} {version} has another digest than in {lock}", hint)
    refs = {main["bom-ref"], *(each["bom-ref"] for each in bom["components"])}
    for each in bom["dependencies"]:
        if not {each["ref"], *each.get("dependsOn", [])} <= refs:
            fail(f"{each['ref']} depends on what is not in the list", hint)
    print(f"{main['name']}: {len(bom['components'])} crates", file=sys.stderr)


def main():
    match sys.argv[1:]:
        case ["make", raw, directory, tree, lock, program, output]:
            bom = make(raw, directory, tree, lock, program)
            check(bom, tree, lock, program)
            with open(output, "w", encoding="utf-8") as file:
                json.dump(bom, file, indent=2, sort_keys=True)
                file.write("\n")
        case ["check", sbom, tree, lock, program]:
            with open(sbom, encoding="utf-8") as file:
                check(json.load(file), tree, lock, program)
        case _:
            sys.exit(__doc__)


main()
