//! `bitlake steps`: writes the SQL steps as a project of another program.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::args::StepsArgs;
use super::context::{CliContext, CommandOutcome};
use super::output::{print, replace_file};
use crate::error::{Error, ErrorKind, OrError, Result};
use crate::transform::{DBT_MARK, DbtProject, StepGraph};

/// The folder whose files belong to the export.
const MODELS: &str = "models";

pub(super) async fn run(context: &CliContext, args: &StepsArgs) -> Result<CommandOutcome> {
    let config = match context.names_a_lake() {
        true => Some(context.config_for_reading()?),
        false => None,
    };
    let tables = config.iter().flat_map(|config| &config.tables);
    let outside = tables
        .map(|table| format!("{}.{}", table.layer, table.table))
        .collect();
    let steps = StepGraph::find(args.transforming.queries.as_deref())?;
    let lake = config.as_ref().map(|config| config.lake.url.as_str());
    let lake = lake.map(absolute);
    let project = steps
        .dbt_project(args.dialect, &outside, lake.as_deref())
        .await?;
    write(&project, &args.out)?;
    let sources = project
        .not_models
        .keys()
        .filter(|name| !name.starts_with("base."));
    print(&format!(
        "wrote {} models to {}; {} tables are read from the loaded lake ({})\n",
        project.models.len(),
        args.out.display(),
        sources.count(),
        args.out.join("README.md").display()
    ))?;
    Ok(CommandOutcome::Complete)
}

/// Return the lake with an absolute path, because dbt runs in the folder of the project.
fn absolute(lake: &str) -> String {
    match lake.contains("://") {
        true => lake.to_owned(),
        false => std::path::absolute(lake)
            .map_or_else(|_| lake.to_owned(), |path| path.display().to_string()),
    }
}

/// Write the files, and remove those of a former export that the project no longer has.
fn write(project: &DbtProject, out: &Path) -> Result<()> {
    let failed = |path: &Path| {
        let path = path.display().to_string();
        move |error: Error| error.with("file", path)
    };
    let paths: BTreeSet<PathBuf> = project.files.keys().map(|path| out.join(path)).collect();
    for path in &paths {
        if is_foreign(path) {
            return Err(Error::new(
                ErrorKind::Usage,
                "the folder has a file that no export wrote",
            )
            .with("file", path.display())
            .hint("name another folder with --out"));
        }
    }
    for path in former_files(&out.join(MODELS)) {
        if !paths.contains(&path) {
            let removed =
                std::fs::remove_file(&path).or_error(ErrorKind::Usage, "cannot remove a file");
            removed.map_err(failed(&path))?;
        }
    }
    for (path, text) in &project.files {
        let path = out.join(path);
        let folder = path.parent().unwrap_or(out);
        let written = std::fs::create_dir_all(folder).and_then(|()| replace_file(&path, text));
        written
            .or_error(ErrorKind::Usage, "cannot write a file")
            .map_err(failed(&path))?;
    }
    Ok(())
}

/// Return whether the file exists and no export wrote it.
fn is_foreign(path: &Path) -> bool {
    path.exists() && !is_ours(path)
}

fn is_ours(path: &Path) -> bool {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .next()
        .is_some_and(|line| line.contains(DBT_MARK))
}

/// Return the files below `folder` that a former export wrote.
fn former_files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let paths = entries.flatten().map(|entry| entry.path());
    let found = paths.flat_map(|path| match path.is_dir() {
        true => former_files(&path),
        false => Vec::from_iter(is_ours(&path).then_some(path)),
    });
    found.collect()
}
