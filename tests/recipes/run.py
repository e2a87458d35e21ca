"""Execute the commands of the recipes as cron, systemd, Kubernetes and Docker would.

Called by `tests/it/recipes.rs` as `run.py COMMAND PLAN`. The plan names the program, the sources, and a folder with a
configuration whose Bitbucket is slow once, so that a run with a deadline of one second ends with exit 4. The script ends
with an assertion error when a recipe does not behave as documented.
"""

import configparser
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time
import urllib.request


class Ground:
    def __init__(self, plan):
        self.program = plan["program"]
        self.root = pathlib.Path(plan["root"])
        self.folder = pathlib.Path(plan["folder"])
        self.recipes = self.root / "recipes"

    def recipe(self, name):
        return (self.recipes / name).read_text()

    def run(self, *args, **env):
        """The exit code, and what was said on stderr."""
        env = os.environ | {"BITBUCKET_TOKEN": "good"} | env
        ended = subprocess.run([self.program, *args], cwd=self.folder, env=env, capture_output=True, text=True)
        return ended.returncode, ended.stderr

    def codes(self, args):
        """The exit codes of a recipe's arguments: when the deadline passes, and at the end of the work."""
        codes = [self.run(*hurried(args))[0], self.run(*args)[0]]
        assert codes == [4, 0], codes
        return codes


def hurried(args):
    """With a deadline that passes, and without the transform, which has no part in it and takes most of the time."""
    args = ["1s" if args[n - 1] == "--deadline" else arg for n, arg in enumerate(args)]
    assert "1s" in args and args[0] == "run", args
    return ["collect", *args[1:]]


def wait_for(path):
    until = time.monotonic() + 120
    while not path.exists():
        assert time.monotonic() < until, f"{path} never came"
        time.sleep(0.02)


def crontab(ground):
    entries = re.findall(r"^(?:[\d*,/-]+ ){5}(.*)$", ground.recipe("crontab"), re.M)
    assert len(entries) == 2 and not any("%" in entry for entry in entries), entries
    nightly, late = (entry.replace("/srv/bitlake", str(ground.folder)) for entry in entries)
    line = " ".join(["bitlake", *hurried(["run", "--deadline", "5h"])])
    brief = nightly.replace("bitlake run --deadline 5h", line)
    assert brief != nightly
    late = late.replace("26h", "1s")
    tools = ground.folder / "tools"
    tools.mkdir()
    (tools / "bitlake").symlink_to(ground.program)
    (tools / "sleep").write_text(f'#!/bin/sh\necho "$@" >> {ground.folder}/slept\n')
    (tools / "sleep").chmod(0o755)
    (ground.folder / "bitlake.env").write_text("export BITBUCKET_TOKEN=good\n")
    cron = {"env": {"PATH": f"{tools}:/usr/bin:/bin"}, "text": True}
    sh = ["/bin/sh", "-c"]

    assert "more than 26 hours old" in subprocess.run([*sh, late], capture_output=True, **cron).stdout
    first = subprocess.Popen([*sh, brief], stderr=subprocess.PIPE, **cron)
    wait_for(ground.folder / "lake/_bitlake/lock")
    time.sleep(0.5)
    beside = subprocess.run([*sh, nightly], capture_output=True, **cron)
    assert "another run is writing this lake" in beside.stderr, beside
    assert not (ground.folder / "slept").exists(), "beside another run it ends at once"
    first.communicate()
    assert (ground.folder / "slept").read_text().startswith("3600\n"), "after the deadline it goes on an hour later"
    quiet = subprocess.run([*sh, nightly], capture_output=True, **cron)
    assert (quiet.stdout, quiet.stderr) == ("", ""), "a good night sends no mail"
    assert ground.run("status", "--max-age", "26h")[0] == 0


def systemd(ground):
    unit, timer = (configparser.RawConfigParser(strict=False) for _ in range(2))
    unit.optionxform = timer.optionxform = str
    unit.read_string(ground.recipe("bitlake.service"))
    timer.read_string(ground.recipe("bitlake.timer"))
    service = unit["Service"]
    codes = lambda key: {int(code) for code in service[key].split()}
    program, *args = service["ExecStart"].split()
    assert program == "/usr/local/bin/bitlake"
    unfinished, complete = ground.codes(args)
    assert codes("RestartForceExitStatus") == {unfinished} and service["Restart"] == "no"
    assert codes("SuccessExitStatus") == {1, unfinished}, "stale and unfinished runs are no failures"
    refused, _ = ground.run(*args, BITBUCKET_TOKEN="bad")
    assert refused == 3 and refused not in codes("SuccessExitStatus")
    if not shutil.which("systemd-analyze"):
        print("systemd-analyze is not here: the units were executed and not verified")
        return
    copies = ground.folder / "units"
    copies.mkdir()
    for name in ("bitlake.service", "bitlake.timer"):
        (copies / name).write_text(ground.recipe(name).replace(program, ground.program))
    verify = ["systemd-analyze", "verify", *map(str, copies.iterdir())]
    verified = subprocess.run(verify, capture_output=True, text=True)
    assert verified.returncode == 0 and not verified.stderr, verified
    subprocess.run(["systemd-analyze", "calendar", timer["Timer"]["OnCalendar"]], check=True, capture_output=True)


def kubernetes(ground):
    import kubernetes_validate
    import yaml

    manifest = yaml.safe_load(ground.recipe("cronjob.yaml"))
    for version in ("1.30", "1.33", "1.37"):
        kubernetes_validate.validate(manifest, version, strict=True)
    job = manifest["spec"]["jobTemplate"]["spec"]
    pod = job["template"]["spec"]
    (container,) = pod["containers"]
    # The API server asks for these two, and no schema says so.
    assert pod["restartPolicy"] == "Never"
    rules = [rule["onExitCodes"] for rule in job["podFailurePolicy"]["rules"] if "onExitCodes" in rule]
    for rule in rules:
        assert rule["containerName"] == container["name"] and rule["values"] == sorted(set(rule["values"]))

    def action(code):
        """What the job controller does about a container that ends with this code."""
        for rule in job["podFailurePolicy"]["rules"]:
            codes = rule.get("onExitCodes")
            if codes and (code in codes["values"]) == (codes["operator"] == "In"):
                return rule["action"]
        return "Count"

    environment = {entry["name"] for entry in container["env"]}
    assert {"BITBUCKET_TOKEN", "BITLAKE_CONFIG"} <= environment
    unfinished, _ = ground.codes(container["args"])
    refused, _ = ground.run(*container["args"], BITBUCKET_TOKEN="bad")
    wrong, _ = ground.run(*container["args"], BITLAKE_CONFIG="nowhere.toml")
    assert (unfinished, refused, wrong) == (4, 3, 2)
    assert {action(code) for code in (unfinished, refused, wrong)} == {"FailJob"}, "not tried again at once"
    nowhere, _ = ground.run(*container["args"], BITLAKE__LAKE__URL="bitlake.toml")
    assert nowhere == 5 and action(nowhere) == "Count", "tried again, as often as backoffLimit says"
    assert action(137) == "Count", "a killed run goes on"
    assert job["activeDeadlineSeconds"] > 90 * 60, "the program ends by itself first"


def cluster(ground):
    import kubernetes_validate
    import yaml

    manifests = list(yaml.safe_load_all(ground.recipe("cluster.yaml")))
    for manifest in manifests:
        for version in ("1.30", "1.33", "1.37"):
            kubernetes_validate.validate(manifest, version, strict=True)
    collect, transform, workers, service, policy = manifests
    assert [it["kind"] for it in manifests] == ["CronJob", "CronJob", "StatefulSet", "Service", "NetworkPolicy"]
    pods = [job["spec"]["jobTemplate"]["spec"]["template"] for job in (collect, transform)] + [workers["spec"]["template"]]
    collector, coordinator, worker = (pod["spec"]["containers"][0] for pod in pods)

    # The workers have the names that the coordinator uses, and only the pods of the recipe reach them.
    name, port = workers["metadata"]["name"], worker["ports"][0]
    labels = workers["spec"]["selector"]["matchLabels"]
    assert labels == service["spec"]["selector"] == policy["spec"]["podSelector"]["matchLabels"]
    assert service["metadata"]["name"] == workers["spec"]["serviceName"] == name
    named = coordinator["args"][coordinator["args"].index("--workers") + 1].split(",")
    replicas = workers["spec"]["replicas"]
    assert named == [f"{name}-{n}.{name}:{port['containerPort']}" for n in range(replicas)]
    allowed = policy["spec"]["ingress"][0]["from"][0]["podSelector"]["matchLabels"]
    assert all(allowed.items() <= pod["metadata"]["labels"].items() for pod in pods)

    # What the containers run.
    tokens, tools = ground.folder / "tokens", ground.folder / "tools"
    tokens.mkdir()
    tools.mkdir()
    (tools / "bitlake").symlink_to(ground.program)
    job = collect["spec"]["jobTemplate"]["spec"]
    mount = collector["volumeMounts"][1]["mountPath"]
    for index in range(job["completions"]):
        (tokens / str(index)).write_text("good\n")
        shell, flag, text = collector["command"]
        assert f"/{job['completions']} " in text and f"{mount}/$JOB_COMPLETION_INDEX" in text
        env = os.environ | {"PATH": f"{tools}:/usr/bin:/bin", "JOB_COMPLETION_INDEX": str(index)}
        command = [shell, flag, text.replace(mount, str(tokens))]
        subprocess.run(command, cwd=ground.folder, env=env, check=True, capture_output=True)
    served = worker["args"][:-1] + ["127.0.0.1:0"]
    with subprocess.Popen([ground.program, *served], cwd=ground.folder, stdout=subprocess.PIPE, text=True) as process:
        try:
            url = process.stdout.readline().strip()
            probe = worker["readinessProbe"]["httpGet"]
            assert probe["port"] == port["name"] and urllib.request.urlopen(url + probe["path"]).status == 200
            args = [url if arg == ",".join(named) else arg for arg in coordinator["args"]]
            ended = subprocess.run([ground.program, *args], cwd=ground.folder, capture_output=True, text=True, check=True)
            (report,) = json.loads(ended.stdout)["transform"]["workers"]
            assert report["tasks"] > 0 and "lost" not in report, report
        finally:
            process.terminate()
    assert process.returncode == 0


def docker(ground):
    hadolint = pathlib.Path(sys.executable).parent / "hadolint"
    subprocess.run([hadolint, ground.root / "Dockerfile"], check=True)
    text = (ground.root / "Dockerfile").read_text()
    (toolchain,) = re.findall(r'rust-version = "(.*)"', (ground.root / "Cargo.toml").read_text())
    assert text.startswith(f"FROM rust:{toolchain}-"), "the oldest toolchain that will do"
    assert len(set(re.findall(r"^FROM (rust:\S+)", text, re.MULTILINE))) == 1, "the certificates are those of the same image"
    stage = text.split("\nFROM ")[0]
    copy = ground.folder / "src"
    copy.mkdir()
    context = context_of(ground)
    fetched = False
    for line in stage.splitlines():
        word, _, rest = line.partition(" ")
        if word == "COPY":
            *sources, target = rest.split()
            for source in sources:
                place(context, source, copy / target)
        elif word == "RUN" and "cargo build" in rest:
            assert fetched and "--offline --locked" in rest, rest
            resolve = rest.replace("cargo build --release", "cargo metadata --format-version 1").replace("--bin bitlake", "")
            subprocess.run(["/bin/sh", "-c", resolve], cwd=copy, check=True, stdout=subprocess.DEVNULL)
        elif word == "RUN":
            subprocess.run(["/bin/sh", "-c", rest], cwd=copy, check=True)
            fetched |= "cargo fetch --locked" in rest
    # Files that the sources compile into the program must be in the image.
    sources = [source for folder in ("src", "crates") for source in (copy / folder).rglob("*.rs")]
    for source in sources:
        package = next(folder for folder in source.parents if (folder / "Cargo.toml").exists())
        for found in re.findall(r'include_(?:dir|str|bytes)!\(\s*"([^"]+)"', source.read_text()):
            where = found.replace("$CARGO_MANIFEST_DIR", str(package))
            assert (source.parent / where).exists(), f"{source} includes {found}, which .dockerignore leaves out"


def context_of(ground):
    """What .dockerignore lets through, by the paths of its exceptions."""
    lines = (ground.root / ".dockerignore").read_text().splitlines()
    lines = [line for line in lines if line and not line.startswith("#")]
    assert lines[0] == "*" and all(line.startswith("!") for line in lines[1:])
    context = ground.folder / "context"
    for line in lines[1:]:
        place(ground.root, line[1:], context / line[1:])
    return context


def place(folder, source, target):
    """As COPY does: a folder's content, or a file to a path or into a folder."""
    source = folder / source
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
        return
    if target.is_dir():
        target = target / source.name
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)


if __name__ == "__main__":
    command, plan = sys.argv[1:]
    ground = Ground(json.loads(pathlib.Path(plan).read_text()))
    commands = {"crontab": crontab, "systemd": systemd, "kubernetes": kubernetes, "cluster": cluster, "docker": docker}
    commands[command](ground)
