//! `bitlake init`: writes a configuration in which every setting is explained, or prints its JSON Schema.

use std::fs::OpenOptions;
use std::io::{ErrorKind as IoErrorKind, Write};
use std::path::Path;

use super::args::InitArgs;
use super::context::{CliContext, CommandOutcome};
use super::output;
use crate::config::json_schema;
use crate::error::{Error, ErrorKind, OrError, Result};

/// The configuration. A setting that is commented out follows the `#` directly; a comment follows a blank.
const TEMPLATE: &str = include_str!("init.toml");

pub(super) fn run(context: &CliContext, args: &InitArgs) -> Result<CommandOutcome> {
    if args.schema {
        output::print_data(json_schema().as_bytes())?;
        return Ok(CommandOutcome::Complete);
    }
    let path = context.config_path();
    write(&path)?;
    output::print(&format!(
        "wrote {}: set your workspace and token in it, then run `bitlake check`\n",
        path.display()
    ))?;
    Ok(CommandOutcome::Complete)
}

fn write(path: &Path) -> Result<()> {
    // `create_new` checks and creates in one step, so that no other process can create the file in between.
    match OpenOptions::new().write(true).create_new(true).open(path) {
        Err(error) if error.kind() == IoErrorKind::AlreadyExists => Err(Error::new(
            ErrorKind::Usage,
            format!("{} already exists", path.display()),
        )
        .hint("move the file, or name another file with --config")),
        opened => opened
            .and_then(|mut file| file.write_all(TEMPLATE.as_bytes()))
            .or_error(ErrorKind::Usage, format!("cannot write {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::{Config, RuleSet};

    fn load(text: &str) -> Config {
        Config::parse(text, Path::new("bitlake.toml"), &BTreeMap::new(), &[]).unwrap()
    }

    #[test]
    fn the_template_shows_the_defaults() {
        let config = load(TEMPLATE);
        assert_eq!(config.connections.len(), 1);
        let written = &config.rules["default"];
        let standard = RuleSet::standard("default", written.place.clone());
        assert_eq!(*written, standard, "the template shows the real defaults");
    }

    #[test]
    fn every_setting_that_is_commented_out_is_valid() {
        let uncomment = |line: &str| match line.strip_prefix('#') {
            Some(rest) if !rest.starts_with(' ') => rest.to_owned(),
            _ => line.to_owned(),
        };
        let text: Vec<String> = TEMPLATE.lines().map(uncomment).collect();
        let config = load(&text.join("\n"));
        assert_eq!(config.projects.len(), 1);
        assert_eq!(config.tables.len(), 1);
        assert!(config.sync.cron.is_some() && config.org.users.is_some());
    }

    #[test]
    fn an_existing_file_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bitlake.toml");
        write(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), TEMPLATE);
        std::fs::write(&path, "mine").unwrap();
        let error = write(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert_eq!(
            error.to_string(),
            format!(
                "{} already exists: move the file, or name another file with --config",
                path.display()
            )
        );
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    }
}
