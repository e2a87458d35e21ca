"""Try a wheel, and make the archives of a release from wheels.

    package.py try WHEEL FOLDER           install it into an empty environment, and run its demo and report into FOLDER
    package.py archive WHEEL NAME FOLDER  write bitlake-VERSION-NAME.tar.gz (.zip for Windows) and its SBOM into FOLDER
    package.py checksums FOLDER           write FOLDER/SHA256SUMS
    package.py image ARCHIVE FOLDER       lay out what the Dockerfile copies from its first stage, with the program of an archive
    package.py tag TAG                    refuse a tag that is not vX.Y.Z with the version of Cargo.toml
    package.py latest VERSION < TAGS      print whether no stable version among the tags is higher
    package.py verify FOLDER              check SHA256SUMS, the contents of each archive, and its program on this machine

The program of an archive is that of the wheel. Its completions and man pages are printed by the program itself, so an archive is made on
the platform that it is for. The bytes of an archive depend on its content alone.
"""

import gzip
import hashlib
import io
import os
import pathlib
import re
import stat
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile

ROOT = pathlib.Path(__file__).parents[1]
SHELLS = {"bash": "bitlake.bash", "zsh": "_bitlake", "fish": "bitlake.fish", "powershell": "_bitlake.ps1", "elvish": "bitlake.elv"}
DOCUMENTS = ["CHANGELOG.md", "LICENSE", "README.md", "SECURITY.md"]
# A version that is published.
STABLE = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*)){2}")
# The first time that a zip file can hold.
EPOCH = (1980, 1, 1, 0, 0, 0)


def run(program, *arguments, **options):
    """Return what a program prints."""
    return subprocess.run([program, *arguments], check=True, stdout=subprocess.PIPE, **options).stdout


def try_wheel(wheel, folder):
    wheel, folder = pathlib.Path(wheel).resolve(), pathlib.Path(folder).resolve()
    with tempfile.TemporaryDirectory() as temporary:
        environment = pathlib.Path(temporary)
        venv.create(environment, with_pip=True)
        programs = environment / ("Scripts" if os.name == "nt" else "bin")
        pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", "--no-deps"]
        run(programs / "python", *pip, wheel)
        # No compiler, no cargo, no configuration.
        kept = {name: os.environ[name] for name in ("SYSTEMROOT", "TEMP", "TMPDIR") if name in os.environ}
        alone = {"cwd": environment, "env": {**kept, "PATH": str(programs), "NO_COLOR": "1"}}
        bitlake = programs / ("bitlake.exe" if os.name == "nt" else "bitlake")
        version = run(bitlake, "--version", **alone).decode().strip()
        assert version == f"bitlake {wheel.name.split('-')[1]}", version
        sys.stdout.buffer.write(run(bitlake, "demo", "--out", folder / "lake", **alone))
        page = folder / "report.html"
        run(bitlake, "report", "--lake", folder / "lake", "--out", page, **alone)
        assert page.read_bytes() == (folder / "lake" / "report.html").read_bytes(), "the report of a demo is that of its lake"


def archive(wheel, name, folder):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    version = pathlib.Path(wheel).name.split("-")[1]
    with zipfile.ZipFile(wheel) as packed:
        (program,) = [entry for entry in packed.namelist() if re.search(r"\.data/scripts/bitlake(\.exe)?$", entry)]
        (sbom,) = [entry for entry in packed.namelist() if entry.endswith(".cyclonedx.json")]
        files = contents(pathlib.PurePosixPath(program).name, packed.read(program))
        files["bitlake.cyclonedx.json"] = packed.read(sbom)
    top = f"bitlake-{version}-{name}"
    (folder / f"{top}.cyclonedx.json").write_bytes(files["bitlake.cyclonedx.json"])
    write = write_zip if program.endswith(".exe") else write_tar
    write(folder / top, {f"{top}/{path}": files[path] for path in sorted(files)})


def contents(name, program):
    """Return the files of an archive by path, with what the program prints about itself."""
    files = {document: (ROOT / document).read_bytes() for document in DOCUMENTS}
    files[name] = program
    with tempfile.TemporaryDirectory() as temporary:
        temporary = pathlib.Path(temporary)
        bitlake = temporary / name
        bitlake.write_bytes(program)
        bitlake.chmod(0o755)
        for shell, completions in SHELLS.items():
            files[f"completions/{completions}"] = run(bitlake, "completions", shell)
        files["bitlake.schema.json"] = run(bitlake, "init", "--schema")
        run(bitlake, "man", "--out", temporary / "man")
        for page in (temporary / "man").iterdir():
            files[f"man/{page.name}"] = page.read_bytes()
    return files


def is_program(path):
    return path.rsplit("/", 1)[-1] in ("bitlake", "bitlake.exe")


def write_tar(path, files):
    with open(f"{path}.tar.gz", "wb") as out, gzip.GzipFile("", "wb", 6, out, mtime=0) as packed:
        with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for name, content in files.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                entry.mode = 0o755 if is_program(name) else 0o644
                tar.addfile(entry, io.BytesIO(content))


def write_zip(path, files):
    with zipfile.ZipFile(f"{path}.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in files.items():
            packed.writestr(zipfile.ZipInfo(name, EPOCH), content, zipfile.ZIP_DEFLATED)


def image(path, folder):
    """Lay out what the last stage copies from the stage `build`: the program, and nothing of this machine."""
    with tarfile.open(path) as packed:
        (program,) = [packed.extractfile(entry).read() for entry in packed if is_program(entry.name)]
    copied = re.findall(r"^COPY --from=build (\S+) ", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    (source,) = copied
    assert is_program(source), f"{source} would be that of this machine"
    target = pathlib.Path(folder) / source.lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(program)
    target.chmod(0o755)


def check_tag(tag):
    """Refuse a tag that is not the version of Cargo.toml, or is one of a pre-release."""
    version = tag.removeprefix("v")
    if not STABLE.fullmatch(version):
        sys.exit(f"{tag} is no tag of a release: write vX.Y.Z; versions such as v1.0.0-rc.1 are not published")
    if f'version = "{version}"' not in (ROOT / "Cargo.toml").read_text(encoding="utf-8").splitlines():
        sys.exit(f"{tag} is not the version in Cargo.toml")


def is_latest(version):
    """Print whether a version is the highest of itself and the stable versions among the tags of standard input."""
    tags = [line.strip().removeprefix("v") for line in sys.stdin if line.startswith("v")]
    versions = [tag for tag in [version, *tags] if STABLE.fullmatch(tag)]
    print(str(version == max(versions, key=lambda it: [int(part) for part in it.split(".")], default=None)).lower())


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def checksums(folder):
    folder = pathlib.Path(folder)
    files = sorted(path for path in folder.iterdir() if path.name != "SHA256SUMS")
    lines = [f"{sha256(path)}  {path.name}\n" for path in files]
    (folder / "SHA256SUMS").write_text("".join(lines), encoding="utf-8", newline="\n")


def verify(folder):
    folder = pathlib.Path(folder)
    for line in (folder / "SHA256SUMS").read_text(encoding="utf-8").splitlines():
        digest, name = line.split("  ")
        assert sha256(folder / name) == digest, f"{name} is not what SHA256SUMS says"
    archives = [path for path in folder.iterdir() if path.name.endswith((".tar.gz", ".zip"))]
    assert archives, f"{folder} has no archive"
    for path in archives:
        with tempfile.TemporaryDirectory() as temporary:
            verify_archive(path, pathlib.Path(temporary))


def verify_archive(path, temporary):
    if path.suffix == ".zip":
        zipfile.ZipFile(path).extractall(temporary)
    else:
        with tarfile.open(path) as packed:
            assert all(entry.isfile() and not entry.name.startswith("/") for entry in packed)
            packed.extractall(temporary)
    (top,) = temporary.iterdir()
    assert path.name.startswith(top.name)
    found = {file.relative_to(top).as_posix() for file in top.rglob("*") if file.is_file()}
    (program,) = [name for name in found if is_program(name)]
    bitlake = top / program
    assert os.name == "nt" or bitlake.stat().st_mode & stat.S_IXUSR, "the program can be run"
    version = top.name.split("-")[1]
    assert run(bitlake, "--version").decode().strip() == f"bitlake {version}"
    commands = re.findall(r"^  ([a-z]+)  ", run(bitlake, "--help").decode().split("Commands:")[1].split("\n\n")[0], re.MULTILINE)
    assert len(commands) > 10, commands
    wanted = {program, "bitlake.cyclonedx.json", "bitlake.schema.json", "man/bitlake.1", *DOCUMENTS}
    wanted |= {f"completions/{name}" for name in SHELLS.values()}
    wanted |= {f"man/bitlake-{command}.1" for command in commands if command != "help"}
    assert wanted <= found, f"{path.name} lacks {sorted(wanted - found)}"
    assert all((top / name).stat().st_size for name in found), "no file is empty"


COMMANDS = {
    "try": try_wheel,
    "archive": archive,
    "checksums": checksums,
    "image": image,
    "tag": check_tag,
    "latest": is_latest,
    "verify": verify,
}

if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] not in COMMANDS:
        sys.exit(__doc__)
    COMMANDS[sys.argv[1]](*sys.argv[2:])
