"""The two lists of an idle pass of tagkeeper and the same checks, by the `docker` package from PyPI.

    same_checks.py REPOSITORY CONTAINER SOAK_SECS

Says what should be done, and does nothing. The low-level client with its default version: no call but the ones needed.
"""

import os
import sys
import time

import docker


def main(repository, container, soak_secs):
    client = docker.APIClient(base_url=os.environ["DOCKER_HOST"])
    images = client.images(all=True)
    containers = client.containers(all=True)

    prefix = repository + ":"
    latest = next((image["Id"] for image in images if prefix + "latest" in (image["RepoTags"] or [])), None)
    serving = next((c for c in containers if "/" + container in c["Names"] and c["State"] == "running"), None)
    if serving is None:
        print("nothing serves")
        return
    if serving["ImageID"] != latest and time.time() - serving["Created"] >= int(soak_secs):
        print("promote", serving["ImageID"])
    used = {c["ImageID"] for c in containers}
    unused = [
        name
        for image in images
        if image["Id"] != latest and image["Id"] not in used
        for name in image["RepoTags"] or []
        if name.startswith(prefix)
    ]
    print(len(unused), "unused")


if __name__ == "__main__":
    main(*sys.argv[1:])
