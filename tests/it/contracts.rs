//! Contracts only grow: loaders created their tables from them, and old files are read under them.
//!
//! `tests/contracts.json` holds the promised columns. After a column was appended (and the contract's version raised),
//! `UPDATE_CONTRACTS=1 cargo test --test it contracts` adds it; changes that would break a loader are refused even then.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn json_of(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Return `{"types": named types, "tables": {"layer.table": {"version", "columns": [{"name", "type", "nullable"}]}}}` of
/// the schema files.
fn present() -> Value {
    let schemas = root().join("schemas");
    let mut tables = BTreeMap::new();
    for layer in bitlake::schema::LAYERS {
        for entry in std::fs::read_dir(schemas.join(layer)).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            let table = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let text = json_of(&path);
            let columns = text["columns"].as_array().unwrap().iter();
            let columns = columns.map(|column| {
                let nullable = column.get("nullable").unwrap_or(&json!(true)).clone();
                json!({"name": column["name"], "type": column["type"], "nullable": nullable})
            });
            let columns: Vec<_> = columns.collect();
            tables.insert(
                format!("{layer}.{table}"),
                json!({"version": text["version"], "columns": columns}),
            );
        }
    }
    json!({"types": json_of(&schemas.join("types.json")), "tables": tables})
}

/// Format one line per named type and per column, so that a diff shows each change by itself.
fn written(contracts: &Value) -> String {
    let types = contracts["types"].as_object().unwrap().iter();
    let types: Vec<_> = types
        .map(|(name, it)| format!("  {name:?}: {it}"))
        .collect();
    let tables = contracts["tables"].as_object().unwrap().iter();
    let tables: Vec<_> = tables
        .map(|(name, table)| {
            let columns = table["columns"].as_array().unwrap().iter();
            let columns: Vec<_> = columns.map(|it| format!("    {it}")).collect();
            format!(
                "  {name:?}: {{\"version\": {}, \"columns\": [\n{}]}}",
                table["version"],
                columns.join(",\n")
            )
        })
        .collect();
    format!(
        "{{\"types\": {{\n{}}},\n\"tables\": {{\n{}}}}}\n",
        types.join(",\n"),
        tables.join(",\n")
    )
}

/// Return the incompatibilities of `new` with `old`, one line each.
fn departures(old: &Value, new: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for (name, table) in old["tables"].as_object().unwrap() {
        let Some(now) = new["tables"].get(name) else {
            found.push(format!(
                "{name} is gone: a table that loaders read stays, if need be without rows"
            ));
            continue;
        };
        let before = Fields::of(old, &table["columns"]);
        let after = Fields::of(new, &now["columns"]);
        let mut grown = false;
        before.compare(&after, name, &mut grown, &mut found);
        let (was, is) = (&table["version"], &now["version"]);
        if is.as_u64() < was.as_u64() || (grown && is == was) {
            found.push(format!(
                "{name} has a new column: raise its version above {was}, so that old files are decoded again"
            ));
        }
    }
    found
}

/// The fields in their order, with the named types that they may use.
struct Fields<'a> {
    types: &'a Map<String, Value>,
    fields: Vec<&'a Value>,
}

impl<'a> Fields<'a> {
    fn of(contracts: &'a Value, fields: &'a Value) -> Self {
        Self::with(contracts["types"].as_object().unwrap(), fields)
    }

    fn with(types: &'a Map<String, Value>, fields: &'a Value) -> Self {
        Self {
            types,
            fields: fields.as_array().unwrap().iter().collect(),
        }
    }

    fn compare(&self, after: &Self, at: &str, grown: &mut bool, found: &mut Vec<String>) {
        for (n, old) in self.fields.iter().enumerate() {
            let name = old["name"].as_str().unwrap();
            let Some(new) = after.fields.get(n).filter(|new| new["name"] == name) else {
                found.push(format!(
                    "{at} has no `{name}` in place {n}: columns are never removed, renamed or moved; add new ones at the end"
                ));
                return;
            };
            let at = format!("{at}.{name}");
            if old.get("nullable") != new.get("nullable") {
                found.push(format!("{at} may not change whether it is nullable"));
            }
            self.compare_type(&old["type"], after, &new["type"], &at, grown, found);
        }
        for new in &after.fields[self.fields.len()..] {
            *grown = true;
            if new.get("nullable") == Some(&json!(false)) {
                let name = &new["name"];
                found.push(format!(
                    "{at} gains {name}, which must be nullable: old files do not have it"
                ));
            }
        }
    }

    fn compare_type(
        &self,
        old: &'a Value,
        after: &Self,
        new: &'a Value,
        at: &str,
        grown: &mut bool,
        found: &mut Vec<String>,
    ) {
        let (old, new) = (resolve(self.types, old), resolve(after.types, new));
        if let (Some(old), Some(new)) = (old.get("struct"), new.get("struct")) {
            let before = Self::with(self.types, old);
            let after = Self::with(after.types, new);
            return before.compare(&after, at, grown, found);
        }
        if let (Some(old), Some(new)) = (old.get("list"), new.get("list")) {
            return self.compare_type(old, after, new, &format!("{at}[]"), grown, found);
        }
        if old != new {
            found.push(format!(
                "{at} was {old} and is {new}: types never change; add a column instead"
            ));
        }
    }
}

fn resolve<'a>(types: &'a Map<String, Value>, text: &'a Value) -> &'a Value {
    match text.as_str().and_then(|name| types.get(name)) {
        Some(named) => resolve(types, named),
        None => text,
    }
}

#[test]
fn contracts_only_grow() {
    let path = root().join("tests/contracts.json");
    let (old, new) = (json_of(&path), present());
    let found = departures(&old, &new);
    assert!(found.is_empty(), "{}", found.join("\n"));
    if std::env::var_os("UPDATE_CONTRACTS").is_some() {
        std::fs::write(&path, written(&new)).unwrap();
        return;
    }
    assert!(
        old == new,
        "the contracts have grown: `UPDATE_CONTRACTS=1 cargo test --test it contracts` takes them into {}",
        path.display()
    );
}

/// Return one table of two columns, one of them a list of a named type.
fn small() -> Value {
    json!({
        "types": {"account": {"struct": [{"name": "id", "type": "string"}]}},
        "tables": {"domain.t": {"version": 1, "columns": [
            {"name": "id", "type": "string", "nullable": false},
            {"name": "people", "type": {"list": "account"}, "nullable": true}]}}
    })
}

/// Return the incompatibilities after `change` is applied to [`small`].
fn after(change: impl FnOnce(&mut Value)) -> Vec<String> {
    let mut new = small();
    change(&mut new);
    departures(&small(), &new)
}

fn push(list: &mut Value, field: Value) {
    list.as_array_mut().unwrap().push(field);
}

#[test]
fn an_appended_column_passes_with_a_higher_version() {
    let column = || json!({"name": "more", "type": "bigint", "nullable": true});
    let grown = after(|new| {
        let table = &mut new["tables"]["domain.t"];
        table["version"] = json!(2);
        push(&mut table["columns"], column());
        push(
            &mut new["types"]["account"]["struct"],
            json!({"name": "mail", "type": "string"}),
        );
    });
    assert!(grown.is_empty(), "{grown:?}");
    let same_version = after(|new| push(&mut new["tables"]["domain.t"]["columns"], column()));
    assert!(
        same_version[0].contains("raise its version"),
        "{same_version:?}"
    );
    let nested = after(|new| {
        push(
            &mut new["types"]["account"]["struct"],
            json!({"name": "mail", "type": "string"}),
        );
    });
    assert!(nested[0].contains("raise its version"), "{nested:?}");
}

type Change = dyn Fn(&mut Vec<Value>);

#[test]
fn a_change_that_breaks_a_loader_is_named() {
    let columns = |new: &mut Value, change: &Change| {
        let table = &mut new["tables"]["domain.t"];
        table["version"] = json!(2);
        change(table["columns"].as_array_mut().unwrap());
    };
    let cases: [(&Change, &str); 5] = [
        (&|it| drop(it.remove(0)), "domain.t has no `id` in place 0"),
        (&|it| it.swap(0, 1), "domain.t has no `id` in place 0"),
        (
            &|it| it[0]["type"] = json!("bigint"),
            "domain.t.id was \"string\" and is \"bigint\"",
        ),
        (
            &|it| it[0]["nullable"] = json!(true),
            "domain.t.id may not change",
        ),
        (
            &|it| it.push(json!({"name": "n", "type": "bigint", "nullable": false})),
            "domain.t gains \"n\", which must be nullable",
        ),
    ];
    for (change, expected) in cases {
        let found = after(|new| columns(new, change));
        assert!(
            found.len() == 1 && found[0].starts_with(expected),
            "{found:?}"
        );
    }
    let nested = after(|new| new["types"]["account"]["struct"][0]["type"] = json!("bigint"));
    assert!(
        nested[0].starts_with("domain.t.people[].id was"),
        "{nested:?}"
    );
    let gone = after(|new| new["tables"].as_object_mut().unwrap().clear());
    assert!(gone[0].starts_with("domain.t is gone"), "{gone:?}");
}
