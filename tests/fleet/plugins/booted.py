"""A connection of Ansible's to a container of the private engine, through its client."""

import shlex
import subprocess

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.plugins.connection import ConnectionBase

DOCUMENTATION = """
name: booted
short_description: a booted container of the engine that DOCKER_HOST names
description: Runs commands by `docker exec` as root.
options:
  remote_addr:
    description: The name of the container.
    default: inventory_hostname
    vars:
      - name: inventory_hostname
      - name: ansible_host
"""


class Connection(ConnectionBase):
    transport = "booted"
    has_pipelining = True

    def _connect(self):
        self._connected = True
        return self

    def _run(self, command, stdin=b""):
        name = self.get_option("remote_addr")
        exec_ = ["docker", "exec", "--interactive", name, "/bin/sh", "-c", command]
        ran = subprocess.run(exec_, input=stdin or b"", capture_output=True, check=False)
        if b"is not running" in ran.stderr:
            raise AnsibleConnectionFailure(f"{name} is not running")
        return ran.returncode, ran.stdout, ran.stderr

    def exec_command(self, cmd, in_data=None, sudoable=True):
        super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        return self._run(cmd, in_data)

    def put_file(self, in_path, out_path):
        super().put_file(in_path, out_path)
        with open(in_path, "rb") as file:
            code, _, said = self._run(f"cat >{shlex.quote(out_path)}", file.read())
        if code:
            raise AnsibleError(f"failed to write {out_path}: {said}")

    def fetch_file(self, in_path, out_path):
        super().fetch_file(in_path, out_path)
        code, data, said = self._run(f"cat {shlex.quote(in_path)}")
        if code:
            raise AnsibleError(f"failed to read {in_path}: {said}")
        with open(out_path, "wb") as file:
            file.write(data)

    def close(self):
        self._connected = False
