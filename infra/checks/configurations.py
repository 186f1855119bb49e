"""Has the services judge every configuration that is shipped: of the units, of compose.yaml, and of what
kustomize and helm make.

    configurations.py BIN units CONFIG UNIT...
    configurations.py BIN compose FILE
    configurations.py BIN kubernetes FILE...

A service runs with nothing in its environment but what the package gives it. Files of secrets, which are
not shipped, hold made-up values.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

SECRETS = {"admin": "0123456789abcdef0123456789abcdef", "redis": "rediss://u:p@redis.example", "mongo": "mongodb://u:p@mongo.example/"}
SERVICES = ("ingest", "processor", "aggregator")
DOCKERFILE = Path(__file__).parent.parent / "container/Dockerfile"


class Judge:
    def __init__(self, binaries):
        self.binaries = Path(binaries)
        self.folder = Path(tempfile.mkdtemp(prefix="evp-configurations-"))
        self.judged = 0

    def judge(self, what, service, environment, config=None):
        arguments = [self.binaries / f"evp-{service}", "--check-config"]
        if config is not None:
            path = self.folder / "evp.toml"
            path.write_text(config)
            arguments += ["--config", path]
        environment = {name: self.value(name, value) for name, value in environment.items()}
        result = subprocess.run(arguments, env=environment, capture_output=True, text=True)
        if result.returncode != 0:
            sys.exit(f"{what}: evp-{service} says {result.returncode}: {result.stderr or result.stdout}")
        self.judged += 1

    def value(self, name, value):
        """A file of a secret is made; which secret it is stands in its name."""
        if not name.endswith("_FILE"):
            return value
        kind = next(kind for kind in SECRETS if kind in Path(value).name)
        path = self.folder / kind
        path.write_text(SECRETS[kind])
        return str(path)


def of_image(service):
    """The ENV of the image's last stage."""
    stage = re.search(rf"^FROM base AS {service}\n(.*?)(?=^FROM|\Z)", DOCKERFILE.read_text(), re.M | re.S)
    line = re.search(r"^ENV (.*)$", stage.group(1), re.M)
    return dict(pair.split("=", 1) for pair in line.group(1).split())


def units(judge, config, *paths):
    for path in map(Path, paths):
        text = path.read_text()
        service = re.search(r"^ExecStart=\S*/evp-(\w+)", text, re.M).group(1)
        environment = {}
        for line in re.findall(r"^Environment=(.*)$", text, re.M):
            line = line.replace("%i", "1").replace("%H", "host").replace("%d", "/run/credentials")
            environment.update(pair.split("=", 1) for pair in line.split())
        judge.judge(path.name, service, environment, Path(config).read_text())


def compose(judge, path):
    text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", Path(path).read_text())
    for service, spec in yaml.safe_load(text)["services"].items():
        if service in SERVICES:
            judge.judge(path, service, of_image(service) | spec["environment"])


def kubernetes(judge, *paths):
    for path in paths:
        documents = [each for each in yaml.safe_load_all(Path(path).read_text()) if each]
        maps = {each["metadata"]["name"]: each["data"] for each in documents if each["kind"] == "ConfigMap"}
        for workload in documents:
            if workload["kind"] not in ("Deployment", "StatefulSet"):
                continue
            pod = workload["spec"]["template"]["spec"]
            [config] = [each["configMap"]["name"] for each in pod["volumes"] if "configMap" in each]
            [container] = pod["containers"]
            environment = {each["name"]: each.get("value", "pod-0") for each in container["env"]}
            service = container["name"]
            judge.judge(path, service, of_image(service) | environment, maps[config]["evp.toml"])


if __name__ == "__main__":
    binaries, kind, *arguments = sys.argv[1:]
    judge = Judge(os.path.abspath(binaries))
    {"units": units, "compose": compose, "kubernetes": kubernetes}[kind](judge, *arguments)
    print(f"{kind}: {judge.judged} configurations are good")
    if judge.judged == 0:
        sys.exit("nothing was judged")
