#!/usr/bin/env python3
"""Makes gitleaks.toml from the configuration of gitleaks: vendor.py <config/gitleaks.toml> <version> > gitleaks.toml"""

import pathlib
import sys
import tomllib

# What every rule has whose secret is known only by the words before it: "adobe… = 0123…".
OPERATOR = r"(?:=|>|:{1,3}=|\|\||:|=>|\?=|,)"
# Rules without it whose shape alone would match ordinary text as well.
CONTEXT = {
    "azure-ad-client-secret",
    "clickhouse-cloud-api-secret-key",
    "curl-auth-header",
    "curl-auth-user",
    "facebook-access-token",
    "kubernetes-secret-yaml",
    "nuget-config-password",
    "square-access-token",
}
# Numbers that name a task or an application, and are no secrets.
LEFT_OUT = {"asana-client-id", "discord-client-id"}
# Go reads a brace that begins no repetition as a brace; Rust wants it escaped.
BRACES = [
    (r"\d+|{\d+}", r"\d+|\{\d+\}"),
    (r"^\${(", r"^\$\{("),
    (r"\$?{{[^}]+}}", r"\$?\{\{[^}]+\}\}"),
]
HEADER = """\
# The rules of gitleaks for secrets in texts, from config/gitleaks.toml of https://github.com/gitleaks/gitleaks,
# {version}.
# Copyright (c) 2019 Zachary Rice, MIT License: see gitleaks.LICENSE beside this file.
#
# Made by vendor.py; do not edit. Of each rule these are kept: id, regex, keywords, secretGroup, and what its allowlists
# say of secrets and matches; what concerns paths is not, because a text of a record has none. Rules that bitlake.toml
# replaces are left out. `context = true` is added where only the words before a secret tell it from ordinary text, and
# the entropy is kept there alone: a token that has a shape of its own is a secret whatever its letters.
"""


def literal(text):
    for go, rust in BRACES:
        text = text.replace(go, rust)
    return f"'''{text}'''"


def listed(name, values):
    lines = "".join(f"    {value},\n" for value in values)
    return f"{name} = [\n{lines}]\n"


def allowlist(header, given):
    out = ""
    if given.get("regexTarget", "secret") != "secret":
        out += f'regexTarget = "{given["regexTarget"]}"\n'
    if given.get("regexes"):
        out += listed("regexes", map(literal, given["regexes"]))
    if given.get("stopwords"):
        out += listed("stopwords", map(literal, given["stopwords"]))
    return f"{header}\n{out}" if out else ""


def rule(given):
    regex = given["regex"]
    out = f'\n[[rules]]\nid = "{given["id"]}"\nregex = {literal(regex)}\n'
    if OPERATOR in regex or given["id"] in CONTEXT:
        out += "context = true\n"
        if "entropy" in given:
            out += f"entropy = {float(given['entropy'])}\n"
    if "secretGroup" in given:
        out += f"secretGroup = {given['secretGroup']}\n"
    keywords = ", ".join(f'"{keyword}"' for keyword in given["keywords"])
    out += f"keywords = [{keywords}]\n"
    return out + "".join(allowlist("[[rules.allowlists]]", it) for it in given.get("allowlists", []))


def main():
    given = tomllib.loads(pathlib.Path(sys.argv[1]).read_text())
    own = tomllib.loads(pathlib.Path(__file__).with_name("bitlake.toml").read_text())
    left_out = LEFT_OUT | {rule["id"] for rule in own["rules"]}
    print(HEADER.format(version=sys.argv[2]))
    print(allowlist("[[allowlists]]", given["allowlist"]), end="")
    for one in given["rules"]:
        if "regex" in one and one["id"] not in left_out:
            print(rule(one), end="")


main()
